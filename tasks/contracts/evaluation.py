"""`reports/evaluation/<target>/`: what was measured on the exported artefact.

predictions.parquet   boxes of val and test (contracts.tables.PREDICTIONS), from `Output.min_score` up
evaluation.json       this module's Evaluation
metrics.json          the headline figures, flat, for `dvc metrics`
resamples.parquet     one row per bootstrap resample, one column per metric name of `metric_names`: the same seed and
                      groups give the same resamples for every target, so two targets' rows are paired
curves.parquet        columns label, threshold, precision, recall, f1 at IoU 0.5 on test
"""

from tasks.contracts.record import Record


class Interval(Record):
    """A measured value and its 95 % bootstrap interval; null where nothing could be measured."""

    value: float | None
    low: float | None
    high: float | None


class ClassEvaluation(Record):
    """One class on the test split."""

    objects: int
    groups: int  # groups of the test split that hold at least one object of it
    threshold: float  # operating score threshold, chosen on val
    true_positives: int  # at the threshold, IoU 0.5
    false_positives: int
    ap50: Interval
    ap50_95: Interval
    precision: Interval
    recall: Interval
    f1: Interval


class Slice(Record):
    """A part of the test split: by object size, by source, by an attribute."""

    by: str  # size, source or the attribute's name
    part: str
    images: int
    objects: int
    ap50: Interval
    recall: Interval


class ScoreBin(Record):
    """Predictions of one band of scores, and how many of them were right (IoU 0.5)."""

    low: float
    high: float
    predictions: int
    mean_score: float | None
    precision: float | None


class Latency(Record):
    """Milliseconds from a decoded image to boxes, batch 1, on the machine named."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    images: int
    machine: str
    threads: int
    device: str


class Evaluation(Record):
    """All figures of one target, on the test split unless they say otherwise."""

    target: str
    absent: str | None = None  # the reason why there is nothing to measure: no champion yet
    registry_version: str | None = None  # of a champion
    images: int = 0
    objects: int = 0
    groups: int = 0
    resampled: str = "groups"  # or "images", where groups are too few; `resampling_reason` says so
    resampling_reason: str = ""
    resamples: int = 0
    overall: dict[str, Interval] = {}  # map50, map50_95, precision, recall, f1
    val: dict[str, float | None] = {}  # the same on val, without intervals
    classes: dict[str, ClassEvaluation] = {}
    errors: dict[str, dict[str, int]] = {}  # label -> missed, background, class, localisation, duplicate
    confusion: dict[str, dict[str, int]] = {}  # truth -> predicted -> objects; "background" on either side
    slices: list[Slice] = []
    calibration_error: float | None = None  # expected calibration error over score_bins
    score_bins: list[ScoreBin] = []
    latency: Latency | None = None
    peak_memory_mb: float | None = None  # resident, over the predictions alone
    size_bytes: int = 0
