"""`models/trained/card.json`: what was trained, from what, and how it went.

Equal inputs give equal cards: when, how long, how often stopped and at which commit stands in the training's MLflow
run, which has the weights' sha256 as a tag.
"""

from typing import Any

from pydantic import model_validator

from tasks.contracts.record import Record


def _without(names: set[str], given: Any) -> Any:
    return {name: value for name, value in given.items() if name not in names} if isinstance(given, dict) else given


class Lineage(Record):
    """Which code, data and params made a model."""

    code_sha256: str = ""  # of the modules that train it; empty in cards of earlier versions
    data_sha256: dict[str, str]  # of the input tables, by file name
    start_sha256: str | None = None  # of the weights file or the architecture it started from
    params: dict[str, str | int | float | bool | None]  # flat, e.g. train.epochs
    versions: dict[str, str]  # distribution name to version

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, given: Any) -> Any:
        return _without({"commit", "dirty"}, given)


class Card(Record):
    """Lies beside `weights` and `history.csv` in `models/trained/`."""

    family: str  # by which detectors.families loads the weights, e.g. ultralytics
    architecture: str  # e.g. yolo26n, or the stem of an architecture file
    code_licence: str  # SPDX
    weights_licence: str  # SPDX, of the pretrained weights it started from; "none" from scratch
    classes: list[str]  # index is the class number of the weights
    image_size: int  # pixels; the square that images are fitted into
    weights: str  # file name beside the card
    weights_sha256: str
    metric: str  # use_case.metric
    best_epoch: int  # counted from 1
    best_value: float | None  # the metric at that epoch on val
    epochs: int  # finished
    parameters: int  # of the network
    batch: int  # the batch it ended with; smaller than asked for after an out-of-memory
    device: str
    lineage: Lineage

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, given: Any) -> Any:
        return _without({"seconds", "resumed", "experiment_id", "run_id"}, given)
