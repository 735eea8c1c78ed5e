"""What a table of predictions is worth in the use case's words: map50, `recall of "crack"`, ...

Overall mAP is the mean over classes that have objects, as COCO has it. Overall precision, recall and F1 are over all
objects and detections together, each class at its own operating threshold, IoU 0.5.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.contracts.quoting import quoted, written_part
from tasks.contracts.tables import counted
from tasks.contracts.use_case import UseCase
from tasks.metrics.average_precision import average_precisions
from tasks.metrics.matching import Bools, Floats, Ints, Matches, match, scene
from tasks.metrics.operating_points import choose_thresholds, operating_points

AP_NAMES = ("ap50", "ap50_95")
RATE_NAMES = ("precision", "recall", "f1")
COUNT_NAMES = ("right", "wrong", "objects")  # what rates are made of


def metric_name(name: str, label: str | None = None, where: tuple[str, str] | None = None) -> str:
    """How a figure is called everywhere: `map50`, `recall of "crack"`, `recall of "crack" where size = small`."""
    of = "" if label is None else f" of {quoted(label)}"
    part = "" if where is None else f" where {written_part(*where)}"
    return f"{name}{of}{part}"


@dataclass(frozen=True)
class Headline:
    """All headline figures by `metric_name`; None where nothing could be measured."""

    figures: dict[str, float | None]
    thresholds: dict[str, float]  # operating score threshold by label


def use_case_value(use_case: UseCase, truth: pd.DataFrame, predictions: pd.DataFrame) -> float | None:
    """`use_case.metric` of predictions on the images that they and the truth name; None if it cannot be measured.

    truth: columns image_id, label, the box, and `ignored` if any are; predictions: contracts.tables.PREDICTIONS. The
    operating point is chosen on the same predictions, so this is for val, not for test.
    """
    return headline(use_case, truth, predictions).figures.get(use_case.metric)


def headline(use_case: UseCase, truth: pd.DataFrame, predictions: pd.DataFrame) -> Headline:
    """Every headline figure at once: map50, map50_95, precision, recall, f1, and ap50, ap50_95 and rates per class.

    Tables as in `use_case_value`. A class that only `use_case.operating_points` names has no figure here.
    """
    labels = sorted({*counted(truth)["label"], *predictions["label"], *use_case.operating_points})
    images = sorted({*truth["image_id"], *predictions["image_id"]})
    matches = match(scene(truth, predictions, images, labels))
    thresholds = [threshold.score for threshold in choose_thresholds(matches, operating_points(use_case, labels))]
    return Headline(figures(matches, thresholds), dict(zip(labels, thresholds, strict=True)))


def figures(matches: Matches, thresholds: list[float]) -> dict[str, float | None]:
    """Every headline figure by its `metric_name`, at the thresholds given per class."""
    one_group = np.zeros(1 + max(matches.image.max(initial=0), matches.truth_image.max(initial=0)), dtype=np.int64)
    aps = average_precisions(matches, one_group, np.ones((1, 1)))[:, :, 0]
    return _ap_figures(matches.labels, aps) | _rate_figures(matches, *counts_at(matches, thresholds))


def counts_at(matches: Matches, thresholds: list[float]) -> tuple[Ints, Ints]:
    """Right and wrong detections per class at the operating thresholds and IoU 0.5."""
    right, wrong = operating(matches, thresholds)
    size = len(matches.labels)
    return np.bincount(matches.label[right], minlength=size), np.bincount(matches.label[wrong], minlength=size)


def operating(matches: Matches, thresholds: list[float]) -> tuple[Bools, Bools]:
    """Which detections are right and which wrong at IoU 0.5, of those with at least their class's threshold."""
    counts = (matches.score >= np.append(thresholds, np.inf)[matches.label]) & ~matches.ignored[:, 0]
    found = matches.found[:, 0] >= 0
    return counts & found, counts & ~found


def _ap_figures(labels: list[str], aps: Floats) -> dict[str, float | None]:
    """Figures of AP out of (classes, thresholds), NaN for a class without objects."""
    ap50, ap50_95 = aps[:, 0], aps.mean(axis=1)
    named = {"map50": _mean(ap50), "map50_95": _mean(ap50_95)}
    for name, values in zip(AP_NAMES, (ap50, ap50_95), strict=True):
        named |= {metric_name(name, label): _number(value) for label, value in zip(labels, values, strict=True)}
    return named


def _rate_figures(matches: Matches, right: Ints, wrong: Ints) -> dict[str, float | None]:
    overall = rates(right.sum(), wrong.sum(), matches.objects.sum())
    named = {name: _number(value) for name, value in zip(RATE_NAMES, overall, strict=True)}
    per_class = rates(right, wrong, matches.objects)
    for name, values in zip(RATE_NAMES, per_class, strict=True):
        named |= {metric_name(name, label): _number(value) for label, value in zip(matches.labels, values, strict=True)}
    return named


def rates(right: Floats | Ints, wrong: Floats | Ints, objects: Floats | Ints) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 element by element; NaN where there is nothing to divide by, F1 also without objects."""
    right, wrong, objects = (np.asarray(counts, dtype=np.float64) for counts in (right, wrong, objects))
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = np.where(objects > 0, 2 * right / (right + wrong + objects), np.nan)
        return right / (right + wrong), right / objects, f1


def _mean(values: Floats) -> float | None:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else None


def _number(value: Floats | float) -> float | None:
    return None if np.isnan(value) else float(value)
