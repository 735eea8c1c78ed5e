"""What a family of detectors offers to the stages: the Detector protocol and what it exchanges.

A family gets tables and gives tables. Metrics are computed by us, from its predictions on val, so that the same code
measures every family, in training as in evaluation.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import pandas as pd

from tasks.contracts.bundle import Bundle, Output, Preprocessing
from tasks.dataset.decoding import Image
from tasks.detectors.recipe import Recipe
from tasks.runtimes.protocol import LibraryRun, Network

USE_CASE_METRIC = "metric"  # name of the use case's metric among the figures of an epoch

Figures = Mapping[str, float | None]
Measure = Callable[[pd.DataFrame], Figures]  # contracts.tables.PREDICTIONS on val to figures, USE_CASE_METRIC too


@dataclass(frozen=True)
class TrainingData:
    """Labelled images of train and val; the test split is not here."""

    classes: list[str]  # index is the class number
    train: pd.DataFrame  # image_id, path, width, height
    val: pd.DataFrame
    objects: pd.DataFrame  # image_id, label and the box, of both splits: those to learn and to find
    ignored: pd.DataFrame  # the same, and why: those on val that nobody has to find, for `measure`


@dataclass(frozen=True)
class Epoch:
    """What a finished epoch of training came to."""

    number: int  # counted from 1
    losses: dict[str, float]  # on train; box, cls, dfl for YOLO
    figures: dict[str, float | None]  # on val: USE_CASE_METRIC, map50, map50_95, precision, recall, f1
    learning_rate: float
    seconds: float

    def row(self) -> dict[str, float | None]:
        """One line of history.csv, by its columns; a figure that could not be measured is None."""
        named = {"epoch": self.number, **self.losses, **self.figures}
        return {**named, "lr": self.learning_rate, "seconds": round(self.seconds, 3)}

    def measured(self) -> dict[str, float]:
        """The figures that could be measured, under names that tracking takes."""
        losses = {f"{name}_loss": value for name, value in self.losses.items()}
        figures = {name: value for name, value in self.figures.items() if value is not None}
        return {**losses, **figures, "lr": self.learning_rate, "seconds": self.seconds}


@dataclass(frozen=True)
class Trained:
    """The outcome of a training."""

    weights: Path  # of the best epoch, in the family's own format; lies in the work folder
    architecture: str
    weights_licence: str
    epochs: list[Epoch]
    best_epoch: int
    parameters: int
    batch: int
    device: str
    seconds: float
    resumed: int  # times that it went on after a stop


R_contra = TypeVar("R_contra", bound=Recipe, contravariant=True)


class Detector(Protocol[R_contra]):
    """A family of detectors: a class without arguments that inherits from this one; its abstract methods are required.

    Its module is loaded by every stage that asks for licence or params, the doctor among them: a library that takes
    seconds to import is imported within the methods.
    """

    recipe: ClassVar[type[Recipe]]  # its class of section `train`
    code_licence: ClassVar[str]  # SPDX
    libraries: ClassVar[tuple[str, ...]]  # distributions that train and run a checkpoint: part of what made a model
    onnx_libraries: ClassVar[tuple[str, ...]] = ()  # that its export to ONNX takes beside those and `onnx`

    def faults(self, recipe: R_contra) -> Iterator[str]:  # noqa: ARG002
        """Tell in seconds, a line each, what a training would lack on this machine; devices are looked for anyway."""
        yield from ()

    @abstractmethod
    def start_sha256(self, recipe: R_contra) -> str:
        """What a training starts from: part of the key of its progress, since a file may change under its name.

        Raises PipelineError if it is not there or does not suit the recipe.
        """
        ...

    @abstractmethod
    def train(
        self,
        *,
        data: TrainingData,
        recipe: R_contra,
        seed: int,
        measure: Measure,
        work: Path,
        on_epoch: Callable[[Epoch], None],
    ) -> Trained:
        """Train, or go on where the training in the `work` folder stopped; the best epoch is that of USE_CASE_METRIC.

        Boxes for `measure` are those of `runtimes.processing.postprocess` under Output's defaults, as evaluate compares
        its own figures on val with them. `on_epoch` hears of every finished epoch and may end the training by raising.
        After a stop it hears of the last finished epoch once more. `measure` is pickled when several GPUs train.

        Raises PipelineError for what the user can fix: weights that are not there, a device that does not exist, too
        little memory for a single image, a loss that stays not a number.
        """
        ...

    @abstractmethod
    def input_and_output(self, weights: Path, image_size: int, nms_free: bool) -> tuple[Preprocessing, Output]:
        """How images go into the checkpoint's network and boxes come out of it, as in its own validation.

        nms_free: the head that needs no NMS, where the network has a choice.
        """
        ...

    @abstractmethod
    def open_network(self, bundle: Bundle, weights: Path, threads: int | None, device: str) -> Network:
        """Load the checkpoint, without running code that might be in it, to run as `bundle` says.

        device is auto, cpu or the number of a CUDA device.
        """
        ...

    @abstractmethod
    def write_onnx(self, bundle: Bundle, weights: Path, opset: int, to: Path) -> None:
        """Write the network of `open_network`: float32, batch 1, fixed input size, without NMS; the same bytes again.

        All other targets but `torchscript` are made of it.
        """
        ...

    @abstractmethod
    def write_torchscript(self, bundle: Bundle, weights: Path, to: Path) -> None:
        """Write the same as a TorchScript archive that runs where the family's library is not installed."""
        ...

    def in_float(self, operations: Sequence[str]) -> list[str]:  # noqa: ARG002
        """Of all operations of its ONNX, by name, those that would not survive the 8 bits of INT8."""
        return []

    def seen_by_library(
        self, weights: Path, image_size: int, output: Output, images: Sequence[Image]
    ) -> list[LibraryRun] | None:
        """What the family's own library, without our code, makes of RGB images under these settings of NMS, on the CPU.

        image_size: as trained. None where training takes our processing: then there is nothing to hold that to.
        """
        ...
