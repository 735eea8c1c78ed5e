"""The family `ultralytics`: YOLO11, YOLO26, RT-DETR and architecture files. The library is imported when used."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from tasks.contracts.bundle import Bundle, Output, Preprocessing
from tasks.dataset.decoding import Image
from tasks.detectors.protocol import Detector, Epoch, Measure, Trained, TrainingData
from tasks.detectors.ultralytics_presence import recipe_faults
from tasks.detectors.ultralytics_recipe import UltralyticsRecipe
from tasks.execution.garbage import no_garbage_collection
from tasks.runtimes.protocol import LibraryRun, Network


class UltralyticsDetector(Detector[UltralyticsRecipe]):
    """`protocol.Detector` for this family."""

    recipe: ClassVar = UltralyticsRecipe
    code_licence: ClassVar = "AGPL-3.0"
    libraries: ClassVar = ("torch", "ultralytics")
    onnx_libraries: ClassVar = ("onnxslim",)

    def faults(self, recipe: UltralyticsRecipe) -> Iterator[str]:
        """Weights or an architecture that are not there or not to be trusted."""
        return recipe_faults(recipe)

    def start_sha256(self, recipe: UltralyticsRecipe) -> str:
        """sha256 of the weights file, or of the architecture as the library gets it."""
        _wait_passively()
        with no_garbage_collection():
            from tasks.detectors.ultralytics_models import find_start  # noqa: PLC0415
        return find_start(recipe).sha256

    def train(
        self,
        *,
        data: TrainingData,
        recipe: UltralyticsRecipe,
        seed: int,
        measure: Measure,
        work: Path,
        on_epoch: Callable[[Epoch], None],
    ) -> Trained:
        """Train to the end, with smaller batches if memory runs out."""
        _wait_passively()
        with no_garbage_collection():
            from tasks.detectors.ultralytics_training import train  # noqa: PLC0415
        return train(data, recipe, seed=seed, measure=measure, work=work, on_epoch=on_epoch)

    def input_and_output(self, weights: Path, image_size: int, nms_free: bool) -> tuple[Preprocessing, Output]:
        """As `Detector` says; nms_free: the one-to-one head, which YOLO26 has."""
        with no_garbage_collection():
            from tasks.detectors.ultralytics_export import input_and_output  # noqa: PLC0415
        return input_and_output(weights, image_size, nms_free)

    def open_network(self, bundle: Bundle, weights: Path, threads: int | None, device: str) -> Network:
        """Load the checkpoint, whose layers must be known ones."""
        with no_garbage_collection():
            from tasks.detectors.ultralytics_export import open_network  # noqa: PLC0415
        return open_network(bundle, weights, threads, device)

    def write_onnx(self, bundle: Bundle, weights: Path, opset: int, to: Path) -> None:
        """Write the ONNX of the library's own export, simplified."""
        from tasks.detectors.ultralytics_export import write_onnx  # noqa: PLC0415

        write_onnx(weights, bundle, opset, to)

    def write_torchscript(self, bundle: Bundle, weights: Path, to: Path) -> None:
        """Write the TorchScript of the library's own export, frozen."""
        from tasks.detectors.ultralytics_export import write_torchscript  # noqa: PLC0415

        write_torchscript(weights, bundle, to)

    def in_float(self, operations: Sequence[str]) -> list[str]:
        """Operations of the last layer itself, which turn maps into boxes and scores."""
        from tasks.detectors.ultralytics_export import decoding  # noqa: PLC0415

        return decoding(operations)

    def seen_by_library(
        self, weights: Path, image_size: int, output: Output, images: Sequence[Image]
    ) -> list[LibraryRun]:
        """Run the library's predict, which resizes as its validation does."""
        with no_garbage_collection():
            from tasks.detectors.ultralytics_reference import seen_by_library  # noqa: PLC0415
        return seen_by_library(weights, image_size, output, images)


def _wait_passively() -> None:
    # Torch reads this once, at its import. Threads that spin while they wait for each other make an epoch ten times as
    # long where other work is on the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
