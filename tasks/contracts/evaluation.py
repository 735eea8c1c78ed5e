"""`reports/evaluation/<target>/`: what was measured on the exported artefact.

predictions.parquet   boxes of val and test (contracts.tables.PREDICTIONS), from `Output.min_score` up
evaluation.json       this module's Evaluation
resamples.parquet     one row per bootstrap resample, one column per metric name (`map50`, `recall of "crack"`, `ap50 of
                      "crack" where size = small`), and per class the counts that rates are made of (`right of "crack"`,
                      `wrong of`, `objects of`): the same seed and groups give the same resamples for every target, so
                      two targets' rows are paired
curves.parquet        columns label, threshold, precision, recall, f1 at IoU 0.5 on test

Overall mAP is the mean over the classes that have objects. Overall precision, recall and F1 are over all objects and
detections together, each class at its own operating threshold.
"""

from pathlib import Path

from tasks.contracts.digests import content_sha256, record_sha256
from tasks.contracts.record import Record


class Interval(Record):
    """A measured value and its 95 % interval over resampled scenes; null where nothing could be measured.

    Where objects are so few, or results so even, that resampling alone would be too sure of itself, the interval is
    widened to the exact binomial one. See tasks/metrics/intervals.py.
    """

    value: float | None
    low: float | None
    high: float | None


class ClassEvaluation(Record):
    """One class on the test split."""

    objects: int
    groups: int  # of the test split's that are resampled, those that hold at least one object of it
    equal_groups: float = 0.0  # groups of equal weight that would tell the same, after Kish; 0: not counted
    images: int = 0  # images of the test split that do
    threshold: float  # operating score threshold, chosen on val
    true_positives: int  # at the threshold, IoU 0.5
    false_positives: int
    found: int = 0  # objects that a detection of any score finds, IoU 0.5
    operating_point: str = ""  # as params ask for it, e.g. recall >= 0.95
    operating_note: str = ""  # why the threshold is not that, e.g. it cannot be reached on val
    ap50: Interval
    ap50_95: Interval
    precision: Interval
    recall: Interval
    f1: Interval


class ClassSlice(Record):
    """One class's objects in a part of the test split."""

    objects: int
    groups: int  # that hold at least one of them
    equal_groups: float = 0.0  # as in ClassEvaluation
    images: int
    true_positives: int  # at the operating threshold
    found: int  # at any score
    ap50: Interval
    recall: Interval


class Slice(Record):
    """A part of the test split: by object size, by source, by an attribute.

    Size is the box's area in pixels of the stored image, parted as COCO does: small, medium, large. Objects of other
    parts are neither looked for nor mistakes when found. A detection that finds nothing counts against the part of its
    own size, of its image's source, or of the attribute values that its image holds.
    """

    by: str  # size, source or the attribute's name
    part: str
    images: int
    objects: int
    ap50: Interval
    recall: Interval
    classes: dict[str, ClassSlice] = {}  # those that have objects in it


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
    p50_interval_ms: tuple[float, float] | None = None  # 95 %, over rounds of predictions
    p95_interval_ms: tuple[float, float] | None = None
    rounds: int = 1
    others_share: float | None = None  # of the processors that it may use, what other processes took meanwhile
    load: float | None = None  # of the machine, mean of the last minute
    busy: str = ""  # why this is the machine's latency and not the artefact's, in figures; empty: it was calm


class Evaluation(Record):
    """All figures of one target, on the test split unless they say otherwise."""

    target: str
    absent: str | None = None  # the reason why there is nothing to measure: no champion yet
    registry_version: str | None = None  # of a champion
    images: int = 0
    unreadable: int = 0  # images of val and test that could not be decoded and are left out
    objects: int = 0
    groups: int = 0  # of what is resampled
    test_sha256: str = ""  # of test and val, their truth, groups and the seed: equal where resamples are paired
    resampled: str = "groups"  # or "parts" of them, where the split divided scenes in time; `resampling_reason` says so
    resampling_reason: str = ""
    fewest_groups: int = 0  # with objects in fewer groups, rules on them are undecided
    resamples: int = 0
    overall: dict[str, Interval] = {}  # map50, map50_95, precision, recall, f1
    val: dict[str, float | None] = {}  # the same on val, without intervals
    classes: dict[str, ClassEvaluation] = {}  # that the artefact knows, and all others that val or test hold
    known: list[str] = []  # classes that the artefact knows; earlier versions do not say
    errors: dict[str, dict[str, int]] = {}  # label -> kind (metrics.error_kinds.ERROR_KINDS) -> count
    confusion: dict[str, dict[str, int]] = {}  # truth -> predicted -> objects; "background" on either side
    slices: list[Slice] = []
    left_out: dict[str, int] = {}  # attribute -> how many of its values are in no slice, the most frequent 20 being so
    calibration_error: float | None = None  # expected calibration error over score_bins
    score_bins: list[ScoreBin] = []
    latency: Latency | None = None
    peak_memory_mb: float | None = None  # resident, added by loading and running the artefact; 10^6 bytes
    size_bytes: int = 0
    hints: list[str] = []  # what to change in params where one kind of error stands out
    bundle_sha256: str = ""  # of the whole bundle that was measured, see contracts.bundle
    inputs_sha256: dict[str, str] = {}  # tables by file name; pixels of val and test; params with the seed
    files_sha256: dict[str, str] = {}  # of the tables beside this file
    figures_sha256: str = ""  # of all else in this file, last: shows that a figure was changed by hand


def figures_sha256(evaluation: Evaluation) -> str:
    """Of every field but itself; `evaluation` as it was read."""
    return record_sha256(evaluation, leave_out={"figures_sha256"})


def evaluation_faults(folder: Path, evaluation: Evaluation) -> list[str]:
    """What keeps a folder from being just what evaluate wrote, `evaluation` being its `evaluation.json`."""
    if not evaluation.figures_sha256:
        return ["evaluation.json names no digests: an earlier version wrote it"]
    faults = []
    if figures_sha256(evaluation) != evaluation.figures_sha256:
        faults.append("evaluation.json is not what evaluate wrote (its digest differs)")
    found = {path.name: content_sha256(path) for path in folder.iterdir() if path.name != "evaluation.json"}
    faults += [
        f"{name} is not what evaluate wrote"
        for name in sorted({*found, *evaluation.files_sha256})
        if found.get(name) != evaluation.files_sha256.get(name)
    ]
    return faults
