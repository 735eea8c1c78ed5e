"""What keeps a bundle from being made: it is not the checkpoint, or the checkpoint is not run as it was trained."""

import logging

import numpy as np

from tasks.contracts.bundle import Bundle
from tasks.contracts.errors import PipelineError
from tasks.dataset.decoding import Image
from tasks.exporting.image_sample import Sample
from tasks.exporting.parity import (
    ImageParity,
    compare,
    compare_with_library,
    grey_levels_off,
    side_by_side,
    summarise,
)
from tasks.exporting.tolerance import Tolerance, faults_of
from tasks.runtimes.protocol import LibraryRun, NotFiniteError, Runtime, refuse_not_finite

log = logging.getLogger(__name__)

_GREY_LEVELS = 0.5  # rounding apart, the network's input is the library's
_NOT_OURS = "What training saw is not what would be measured and served. The fault is in our processing"


def refuse_other_than_library(
    reference: Runtime,
    images: list[Image],
    seen: list[LibraryRun],
    golden: Sample,
    *,
    tolerance: Tolerance,
    score: float,
) -> None:
    """Raises PipelineError if the checkpoint gets other pixels from us, or gives other boxes, than in its library."""
    off = [grey_levels_off(reference, image, each) for image, each in zip(images, seen, strict=True)]
    worst = int(np.argmax(off))
    if off[worst] > _GREY_LEVELS:
        raise PipelineError(
            "the network's input is not what the training library makes of the same image",
            f"up to {off[worst]:.3g} grey levels off, {_GREY_LEVELS:g} allowed, worst on {golden.names[worst]}",
            f"{_NOT_OURS}: tasks/runtimes/processing.py",
        )
    try:
        compared = compare_with_library(reference, images, seen, score)
    except NotFiniteError:
        refuse_not_finite(reference, _not_finite(reference, images, golden), len(images))
        raise
    faults = faults_of(summarise(compared), tolerance)
    if faults:
        raise _refusal(
            f"boxes of the checkpoint are not those of the training library's predict ({'; '.join(faults)})",
            compared,
            reference.bundle.classes,
            golden,
            f"Above, `artefact` is the library. {_NOT_OURS}: tasks/runtimes/processing.py",
        )


def compare_on_golden(
    reference: Runtime, artefact: Runtime, images: list[Image], golden: Sample, score: float
) -> list[ImageParity]:
    """Hold the artefact to the checkpoint; raises PipelineError if numbers of one of them are not finite."""
    try:
        return compare(reference, artefact, images, score)
    except NotFiniteError:
        refuse_not_finite(artefact, _not_finite(artefact, images, golden), len(images))
        raise


def _not_finite(runtime: Runtime, images: list[Image], golden: Sample) -> list[str]:
    """Names of the golden images on which a network's output is not finite."""
    names = []
    for name, image in zip(golden.names, images, strict=True):
        try:
            runtime.run(image)
        except NotFiniteError:
            names.append(name)
    return names


def refuse_beyond_tolerance(bundle: Bundle, compared: list[ImageParity], golden: Sample, tolerance: Tolerance) -> None:
    """Raises PipelineError with the worst image if the artefact lacks, moves or adds more than is tolerated."""
    parity = summarise(compared)
    if not (parity.boxes or parity.extra):
        log.warning("the checkpoint finds nothing on %d golden images: parity shows nothing", parity.images)
        return
    faults = faults_of(parity, tolerance)
    if faults:
        what = f"{bundle.target} is not the checkpoint any more ({'; '.join(faults)})"
        raise _refusal(what, compared, bundle.classes, golden, _hint(bundle))


def _refusal(what: str, compared: list[ImageParity], classes: list[str], golden: Sample, hint: str) -> PipelineError:
    worst = max(range(len(compared)), key=lambda index: compared[index].badness)
    shown = side_by_side(compared[worst], classes)
    return PipelineError(what, f"worst on {golden.names[worst]}\n{shown}\n", hint)


def _hint(bundle: Bundle) -> str:
    hint = f"Leave {bundle.target} out of export.targets or widen export.tolerance.{bundle.precision} in params.yaml"
    precision = bundle.hints.get("INFERENCE_PRECISION_HINT", "f32")
    return hint if precision == "f32" else f"Set export.openvino_precision to f32 (it is {precision}). {hint}"
