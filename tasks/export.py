"""Turn the checkpoint into one bundle: an artefact for a target, and all that a server needs to know about it.

Targets: pytorch (the checkpoint itself, the reference), torchscript, onnx, openvino-fp32, openvino-fp16,
openvino-int8, tensorrt-fp16 (on a machine with an NVIDIA GPU), and champion (the live bundle, out of the registry).

Where its family has a library of its own, the checkpoint as we run it is compared with that library's predict on golden
images: the network's input pixel by pixel, and the boxes. Every artefact is run beside the checkpoint on them; how far
its boxes are off is recorded in bundle.json. Beyond export.tolerance, or where numbers are not finite, there is no
bundle. What training measured on val goes into bundle.json, for evaluate to compare with. Equal checkpoints give equal
artefacts, byte by byte (TensorRT apart).

In:
  --raw              data/raw, the exports as ingest keeps them
  --annotations      data/annotations, the tables that parse writes
  --split            data/split.parquet; train calibrates INT8, on val the artefact is compared with the checkpoint
  --trained          models/trained: weights, card.json and history.csv

Out:
  --bundle           the artefact and bundle.json, nothing else; loads without a training library (but `pytorch`)
    absent.json      instead, for target champion, while the registry has no champion

Params: seed, use_case, tracking, export, publish.log, publish.new_registry, publish.verify_with

Example:
  python -m tasks.export --target openvino-int8 --raw data/raw --annotations data/annotations \\
    --split data/split.parquet --trained models/trained --bundle models/exported/openvino-int8
"""

import hashlib
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import pandas as pd
import typer
from pydantic import Field

from tasks.contracts.bundle import DESCRIPTION, Bundle, Calibration, NoChampion, Output, TrainedVal
from tasks.contracts.card import Card
from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Params, Releases, Target, Tracking, read_params, read_releases, read_seed
from tasks.contracts.record import read_record, write_record
from tasks.contracts.use_case import UseCase
from tasks.contracts.whole_output import whole_output
from tasks.dataset.decoding import read_listed_image
from tasks.dataset.read_split import Dataset, read_split
from tasks.detectors.families import load_family
from tasks.detectors.protocol import Detector
from tasks.detectors.recipe import Recipe
from tasks.execution.stage_command import run
from tasks.exporting.acceptance import compare_on_golden, refuse_beyond_tolerance, refuse_other_than_library
from tasks.exporting.artefact import write_artefact
from tasks.exporting.image_sample import Sample, draw_sample
from tasks.exporting.parity import summarise
from tasks.exporting.tolerance import Tolerances
from tasks.runtimes.kinds import KINDS, libraries_of, library_version
from tasks.runtimes.protocol import Runtime, open_runtime, read_bundle

log = logging.getLogger(__name__)

_COMPARED = ("map50", "map50_95")  # without thresholds, whose choice may jump


class ExportParams(Params):
    """Which targets are built, how, and how far they may be off the checkpoint."""

    targets: list[Target] = Field(
        min_length=1,
        description="what the detector is exported to and measured as; pytorch is the checkpoint, with which rules on "
        "a drop compare; champion is the live model, measured again on today's test images",
        json_schema_extra={"uniqueItems": True},
    )
    opset: int = Field(ge=16, le=20, description="ONNX operator set")
    nms_free: bool = Field(
        description="YOLO26: export the one-to-one head, which needs no NMS, instead of the one validation measures"
    )
    nms_iou: float = Field(gt=0, lt=1, description="overlap above which NMS drops the lower score")
    nms_agnostic: bool = Field(default=False, description="NMS over all classes together: one class per object")
    max_detections: int = Field(ge=1, le=10_000, description="boxes per image, the best by score")
    openvino_precision: Literal["f32", "bf16", "f16"] = Field(description="arithmetic of OpenVINO; bf16: less exact")
    calibration_images: int = Field(ge=1, description="images of train that INT8 ranges are measured on")
    golden_images: int = Field(ge=1, description="images of val on which artefact and checkpoint are compared")
    golden_score: float = Field(gt=0, lt=1, description="boxes of the checkpoint that count in it, from this score")
    tolerance: Tolerances = Field(description="per precision, what parity may be at worst")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What train made, and the family that runs it."""

    card: Card
    detector: Detector[Recipe]
    weights: Path
    figures: dict[str, float | None]  # of val at the epoch of the weights


def export(
    target: str, checkpoint: Checkpoint, to: Path, *, calibration: Sample | None, golden: Sample, params: ExportParams
) -> Bundle:
    """Write the artefact for `target` and its bundle.json into the folder `to`, and hold it to the checkpoint.

    calibration: for INT8 only.

    Raises PipelineError if pixels or boxes of the checkpoint on the golden images are not those of the training
    library, or the artefact's boxes are further from the checkpoint's than the params allow.
    """
    detector, weights = checkpoint.detector, checkpoint.weights
    bundle = _describe(target, checkpoint, params)
    images = [read_listed_image(path) for path in golden.paths]
    as_checkpoint = bundle.model_copy(update={"target": "pytorch"})
    reference = Runtime(as_checkpoint, detector.open_network(bundle, weights, None, "cpu"))
    seen = detector.seen_by_library(weights, checkpoint.card.image_size, bundle.output, images)
    if seen is not None:
        refuse_other_than_library(
            reference, images, seen, golden, tolerance=params.tolerance.fp32, score=params.golden_score
        )
    if calibration is not None:
        bundle = bundle.model_copy(update={"calibration": _calibration(calibration)})
    calibrate_on = [] if calibration is None else calibration.paths
    write_artefact(detector, bundle, weights, calibrate_on, opset=params.opset, to=to / bundle.artefact)
    bundle = _with_files(bundle, to)
    write_record(bundle, to / "bundle.json")
    if target != "pytorch":
        device = "auto" if target.startswith("tensorrt-") else "cpu"
        artefact = open_runtime(to, device=device, target=target)
        compared = compare_on_golden(reference, artefact, images, golden, params.golden_score)
        bundle = bundle.model_copy(update={"parity": summarise(compared)})
        refuse_beyond_tolerance(bundle, compared, golden, getattr(params.tolerance, bundle.precision))
        write_record(bundle, to / "bundle.json")
    return bundle


def _describe(target: str, checkpoint: Checkpoint, params: ExportParams) -> Bundle:
    """The bundle as far as it is known before there is an artefact."""
    card, kind, detector = checkpoint.card, KINDS[target], checkpoint.detector
    preprocessing, output = detector.input_and_output(checkpoint.weights, card.image_size, params.nms_free)
    if params.nms_agnostic and output.layout != "yolo":
        log.warning("export.nms_agnostic changes nothing: %s goes without NMS", card.architecture)
    suppression = params.model_dump(include={"nms_iou", "nms_agnostic", "max_detections"})
    suppression["nms_agnostic"] &= output.layout == "yolo"
    output = output.model_copy(update=suppression)
    # Validation within training has the defaults, and the head that needs NMS.
    as_trained = output == Output(layout=output.layout) and output.layout != "end2end"
    if not as_trained:
        log.warning("%s has other NMS or another head than in training: evaluate does not compare val with it", target)
    trained_val = TrainedVal(figures=checkpoint.figures, data_sha256=card.lineage.data_sha256)
    libraries = [*detector.libraries, *libraries_of(target, detector.onnx_libraries)]
    hints = {}
    if target.startswith("openvino-"):
        # Left to itself, OpenVINO runs float32 models in bfloat16 on some CPUs: boxes move by pixels.
        hints = {"INFERENCE_PRECISION_HINT": params.openvino_precision, "PERFORMANCE_HINT": "LATENCY"}
    return Bundle(
        target=target,
        artefact=kind.artefact,
        family=card.family,
        architecture=card.architecture,
        code_licence=card.code_licence,
        weights_licence=card.weights_licence,
        classes=card.classes,
        precision=kind.precision,
        preprocessing=preprocessing,
        output=output,
        trained_val=trained_val if as_trained else None,
        hints=hints,
        versions={name: library_version(name) for name in libraries},
        files_sha256={},
        size_bytes=0,
        trained_sha256=card.weights_sha256,
    )


def _calibration(images: Sample) -> Calibration:
    digest = hashlib.sha256("".join(sorted(images.sha256)).encode())
    return Calibration(images=len(images.paths), sha256=digest.hexdigest(), objects_per_class=images.objects_per_class)


def _with_files(bundle: Bundle, folder: Path) -> Bundle:
    files = sorted(folder.iterdir())
    return bundle.model_copy(
        update={
            "files_sha256": {file.name: content_sha256(file) for file in files},
            "size_bytes": sum(file.stat().st_size for file in files),
        }
    )


def pull_live_bundle(tracking: Tracking, target: str, bundle: Path, releases: Releases | None = None) -> str:
    """Bring the live bundle out of the registry, or say in absent.json that there is none; returns what happened."""
    from tasks.releases.known_releases import pull_champion  # noqa: PLC0415

    with whole_output(bundle) as partial:
        version = pull_champion(tracking, target, partial, releases)
        if version is None:
            reason = f"the registry has no champion of {tracking.experiment!r} yet"
            write_record(NoChampion(reason=reason), partial / "absent.json")
            return reason
        pulled = read_bundle(partial).model_copy(update={"registry_version": version})
        # Only the fields that it was released with: a field more would give it another digest.
        (partial / DESCRIPTION).write_text(
            pulled.model_dump_json(indent=2, exclude_unset=True) + "\n", encoding="utf-8"
        )
    return f"version {version}, {pulled.target}"


def read_checkpoint(trained: Path) -> Checkpoint:
    """The weights of train, held to the sha256 that their card gives."""
    card = read_record(trained / "card.json", Card)
    weights = trained / card.weights
    if not weights.is_file() or content_sha256(weights) != card.weights_sha256:
        raise PipelineError("weights are missing or not those of card.json", str(weights), "Run train again")
    return Checkpoint(
        card, load_family(card.family, str(trained)), weights, _figures_on_val(trained / "history.csv", card)
    )


def _figures_on_val(history: Path, card: Card) -> dict[str, float | None]:
    """What training measured on val at the epoch whose weights it kept."""
    try:
        epochs = pd.read_csv(history).set_index("epoch")
        return {name: _number(epochs.loc[card.best_epoch, name]) for name in _COMPARED}
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise PipelineError(
            f"history does not tell what was measured at epoch {card.best_epoch}, whose weights these are",
            f"{history}: {error}",
            "Run train again",
        ) from error


def _number(value: object) -> float | None:
    number = float(str(value))
    return None if math.isnan(number) else number  # an empty cell: nothing could be measured


def _readable(dataset: Dataset, split: str) -> Dataset:
    readable = dataset.of(split).readable()
    if readable.images.empty:
        raise PipelineError(f"no image of {split} can be read", "the split", "Ingest the images and run split again")
    return readable


def main(
    *,
    target: Annotated[str, typer.Option(help="what to export to, see above")],
    raw: Annotated[Path, typer.Option(help="folder of ingest")],
    annotations: Annotated[Path, typer.Option(help="folder of parse")],
    split: Annotated[Path, typer.Option(help="split.parquet")],
    trained: Annotated[Path, typer.Option(help="folder of train")],
    bundle: Annotated[Path, typer.Option(help="folder to write")],
    params: Annotated[Path, typer.Option(help="params.yaml")] = Path("params.yaml"),
) -> None:
    """Read the checkpoint and the images, write the bundle."""
    started = time.monotonic()
    if target == "champion":
        use_case, tracking = read_params(params, "use_case", UseCase), read_params(params, "tracking", Tracking)
        pulled = pull_live_bundle(tracking, use_case.target, bundle, read_releases(params))
        log.info("exported champion: %s", pulled)
        return
    if target not in KINDS:
        raise PipelineError(f"unknown target {target!r}", "--target", f"Choose one of {', '.join(get_args(Target))}")
    settings, seed = read_params(params, "export", ExportParams), read_seed(params)
    checkpoint = read_checkpoint(trained)
    log.info("exporting %s %s to %s", checkpoint.card.architecture, checkpoint.card.weights_sha256[:12], target)

    dataset = read_split(raw, annotations, split)

    def draw(name: str, count: int) -> Sample:
        return draw_sample(_readable(dataset, name), checkpoint.card.classes, count, seed)

    golden = draw("val", settings.golden_images)
    calibration = draw("train", settings.calibration_images) if KINDS[target].precision == "int8" else None
    with whole_output(bundle) as partial:
        partial.mkdir()
        made = export(target, checkpoint, partial, calibration=calibration, golden=golden, params=settings)
    log.info("exported %s, %s, in %.1f s", target, _in_words(made), time.monotonic() - started)


def _in_words(bundle: Bundle) -> str:
    size, parity = f"{bundle.size_bytes / 1e6:.1f} MB", bundle.parity
    if parity is None or not parity.matched:
        return size
    return (
        f"{size}, {parity.matched} of {parity.boxes} boxes of the checkpoint found again on {parity.images} images, "
        f"at most {parity.max_box_px:.2g} px and {parity.max_score:.2g} of score off"
    )


if __name__ == "__main__":
    run(main)
