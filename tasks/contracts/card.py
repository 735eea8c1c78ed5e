"""`models/trained/card.json`: what was trained, from what, and how it went."""

from tasks.contracts.record import Record


class Lineage(Record):
    """Which code, data and params made a model."""

    commit: str | None  # Git commit of the pipeline; null outside a repository
    dirty: bool  # uncommitted changes beside it
    data_sha256: dict[str, str]  # of the input tables, by file name
    start_sha256: str | None = None  # of the weights file or the architecture it started from
    params: dict[str, str | int | float | bool | None]  # flat, e.g. train.epochs
    versions: dict[str, str]  # distribution name to version


class Card(Record):
    """Lies beside `weights` and `history.csv` in `models/trained/`."""

    family: str  # detectors module that can load the weights, e.g. ultralytics
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
    seconds: float
    resumed: int  # times that training went on after a stop
    experiment_id: str | None  # MLflow experiment
    run_id: str | None  # MLflow run in it
    lineage: Lineage
