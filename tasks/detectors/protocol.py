"""What a family of detectors offers to the stages that train: the Detector protocol and what it exchanges.

A family gets tables and gives tables. Metrics are computed by us, from its predictions on val, so that the same code
measures every family, in training as in evaluation.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pandas as pd

from tasks.detectors.recipe import Recipe
from tasks.execution.garbage import no_garbage_collection

METRIC = "metric"  # name of the use case's metric among the figures of an epoch

Figures = Mapping[str, float | None]
Measure = Callable[[pd.DataFrame], Figures]  # contracts.tables.PREDICTIONS on val to figures, METRIC among them


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
    """One finished epoch."""

    number: int  # counted from 1
    losses: dict[str, float]  # on train; box, cls, dfl for YOLO
    figures: dict[str, float | None]  # on val: METRIC, map50, map50_95, precision, recall, f1
    learning_rate: float
    seconds: float

    def row(self) -> dict[str, float | None]:
        """One line of history.csv."""
        named = {"epoch": self.number, **self.losses, **self.figures}
        return {**named, "lr": self.learning_rate, "seconds": round(self.seconds, 3)}

    def measured(self) -> dict[str, float]:
        """What there is of it, under names that tracking takes."""
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
    resumed: int
    versions: dict[str, str] = field(default_factory=dict)


class Detector(Protocol):
    """A family of detectors."""

    code_licence: str  # SPDX

    def start_sha256(self, recipe: Recipe) -> str:
        """What a training starts from: part of the key of its progress, since a file may change under its name.

        Raises PipelineError if it is not there or does not suit the recipe.
        """
        ...

    def train(
        self,
        *,
        data: TrainingData,
        recipe: Recipe,
        seed: int,
        measure: Measure,
        work: Path,
        on_epoch: Callable[[Epoch], None],
    ) -> Trained:
        """Train, or go on where the training in the `work` folder stopped; the best epoch is that of METRIC.

        `on_epoch` hears of every finished epoch and may end the training by raising. After a stop it hears of the last
        finished epoch once more. `measure` is pickled when several GPUs train.

        Raises PipelineError for what the user can fix: weights that are not there, a device that does not exist, too
        little memory for a single image, a loss that stays not a number.
        """
        ...


def load_family(family: str) -> Detector:
    """The family by its name in params or on a card. Imports its library, which takes seconds."""
    assert family == "ultralytics", f"Recipe allows no family {family}"
    # Torch reads this once, at its import. Threads that spin while they wait for each other make an epoch ten times as
    # long where other work is on the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with no_garbage_collection():
        from tasks.detectors.ultralytics_training import UltralyticsDetector  # noqa: PLC0415

    return UltralyticsDetector()
