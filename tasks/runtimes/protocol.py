"""How a bundle is opened and run, whatever its artefact: decoded image in, boxes out.

`open_runtime` reads `bundle.json`, checks that every file is the one that was exported, and loads the artefact with
the library that it needs, and no other. A Runtime serves one thread: open one per thread.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from tasks.contracts.bundle import DESCRIPTION, PICKLED, Bundle, bundle_faults, bundle_sha256
from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.record import read_record
from tasks.dataset.decoding import Image
from tasks.runtimes.kinds import KINDS
from tasks.runtimes.processing import Detections, Floats, Placement, postprocess, preprocess

_EXPORT_AGAIN = "Export it again, or pull it again from where it came"


class NotFiniteError(ArithmeticError):
    """A network gave NaN or infinity: its boxes mean nothing, and to find none would be a lie."""


@dataclass(frozen=True, slots=True)
class LibraryRun:
    """What the training library itself made of an image."""

    pixels: Floats  # its network's input, (1, 3, height, width)
    found: Detections


class Network(Protocol):
    """An artefact that is loaded and ready: what each module of this folder provides."""

    device: str  # where it really runs, in its library's words: cpu, cuda:0, GPU.1

    def __call__(self, pixels: Floats) -> Floats:
        """Run (1, 3, height, width) float32 through the network; the output's layout is in the bundle."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A bundle that is loaded and ready."""

    bundle: Bundle
    network: Network

    def predict(self, image: Image, min_score: float = 0.0) -> Detections:
        """Find objects in an RGB uint8 image (height, width, 3).

        `min_score` raises the bundle's own floor: fewer boxes, sooner; those that stay are the same.
        Raises NotFiniteError.
        """
        output = self.bundle.output
        if min_score > output.min_score:
            output = output.model_copy(update={"min_score": min_score})
        raw, placement = self.run(image)
        return postprocess(raw, output, placement, self.bundle.preprocessing.input_wh)

    def run(self, image: Image) -> tuple[Floats, Placement]:
        """The network's output for an image, and where that stood in its input. Raises NotFiniteError."""
        pixels, placement = preprocess(image, self.bundle.preprocessing)
        raw = self.network(pixels)
        if not np.isfinite(raw).all():
            raise NotFiniteError(f"{self.bundle.target} gives numbers that are not finite")
        return raw, placement


def open_runtime(
    folder: Path,
    threads: int | None = None,
    device: str = "auto",
    *,
    target: str | None = None,
    sha256: str | None = None,
) -> Runtime:
    """Load the bundle in `folder` with the library that its target needs.

    threads: CPU threads of one prediction; None or 0 leaves them to the library. device: `auto`, `cpu`, the number of a
    CUDA device, or for OpenVINO that of an Intel GPU or one of its own device names.
    target: what the bundle has to be; None takes its own word, but for a target that is a pickle: reading one can run
    code, so it has to be asked for. sha256: of the whole bundle (contracts.bundle), as its release names it.
    Raises PipelineError if the bundle is not whole or not the one asked for, or its library or device is not there.
    """
    bundle = read_bundle(folder)
    if target is not None and bundle.target != target:
        raise PipelineError(
            f"bundle is of target {bundle.target!r}, and {target!r} was asked for", str(folder), _EXPORT_AGAIN
        )
    if target is None and bundle.target in PICKLED:
        raise PipelineError(
            f"bundle says that it is {bundle.target!r}, which is a pickle, and that was not asked for",
            str(folder),
            "Nothing out of a registry is unpickled, as that can run code: take another target",
        )
    if sha256 is not None and bundle_sha256(bundle) != sha256:
        raise PipelineError("bundle is not the one that was released (sha256 differs)", str(folder), _EXPORT_AGAIN)
    return Runtime(bundle, _open_network(bundle, folder, threads or None, device))


def read_bundle(folder: Path) -> Bundle:
    """Read `bundle.json` and hold every file of the bundle to its sha256.

    Raises PipelineError naming every file that is missing or changed, or does not belong to it.
    """
    bundle = read_record(folder / DESCRIPTION, Bundle)
    faults = bundle_faults(folder, bundle)
    if faults:
        raise PipelineError("bundle is not whole", f"{folder}\n{first_of(faults)}\n", _EXPORT_AGAIN)
    return bundle


def _open_network(bundle: Bundle, folder: Path, threads: int | None, device: str) -> Network:
    kind = KINDS.get(bundle.target)
    if kind is None:
        raise PipelineError(f"no runtime for target {bundle.target!r}", str(folder), _EXPORT_AGAIN)
    if bundle.artefact != kind.artefact:
        raise PipelineError(
            f"the artefact of {bundle.target} is {kind.artefact}, not {bundle.artefact!r}", str(folder), _EXPORT_AGAIN
        )
    # By name, so that only the one library is imported that the artefact needs: a server holds no other.
    module = importlib.import_module(kind.module)
    network: Network = module.open_network(bundle, folder / kind.artefact, threads, device)
    return network


def refuse_not_finite(runtime: Runtime, images: Sequence[str], of: int) -> None:
    """Raises PipelineError if there are `images`, of so many, on which the network's output is not finite."""
    if images:
        bundle = runtime.bundle
        raise PipelineError(
            f"{bundle.target} gives numbers that are not finite (NaN or infinity), from which there are no boxes",
            f"on {len(images):,} of {of:,} images, the first {images[0]}",
            f"Weights of {bundle.architecture} or their conversion are broken: train again, or leave {bundle.target} "
            "out of export.targets in params.yaml",
        )
