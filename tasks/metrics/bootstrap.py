"""Every headline figure in each of a thousand resamples of the test split.

What is drawn is groups, with replacement: frames of one scene are not independent, and drawing images would make every
interval too narrow. Detections are matched once; a resample is only a weight per group.

Val is drawn, too, and operating thresholds chosen on it again in each resample: on another val they would have been
others, and rates with them.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from tasks.metrics.average_precision import average_precisions
from tasks.metrics.intervals import ClassCounts
from tasks.metrics.matching import Floats, Ints, Matches
from tasks.metrics.use_case import COUNT_NAMES, RATE_NAMES, counts_at, metric_name, rates

_AT_ONCE = 1000  # resamples whose counts between thresholds are in memory at once: 8 MB per class


@dataclass(frozen=True)
class Resampling:
    """Which groups were drawn how often."""

    group: Ints  # (images,) row of `weights`
    weights: NDArray[np.float32]  # (groups, resamples)

    @property
    def groups(self) -> int:
        """Number of groups that are drawn from."""
        return len(self.weights)


def draw(groups: list[str], resamples: int, seed: int | list[int]) -> Resampling:
    """Draw resamples of the groups; `groups` is of each image.

    The same groups and seed give the same draw, whatever is measured on it.
    """
    names, group = np.unique(np.array(groups, dtype=object), return_inverse=True)
    rng = np.random.default_rng(seed)
    weights = np.empty((len(names), resamples), dtype=np.float32)
    for index in range(resamples):
        weights[:, index] = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
    return Resampling(group, weights)


def resampled_figures(matches: Matches, thresholds: Floats, drawn: Resampling) -> pd.DataFrame:
    """One row per resample, one column per headline figure by its `metric_name`; NaN: nothing to measure in it.

    And `right of "crack"`, `wrong of`, `objects of`, by which rates over some of the classes can be had.
    thresholds: (classes, resamples), or (classes, 1) where they are the same in all.
    """
    aps = average_precisions(matches, drawn.group, drawn.weights)
    figures = resampled_ap("ap50", "map50", matches.labels, aps[:, 0])
    figures |= resampled_ap("ap50_95", "map50_95", matches.labels, aps.mean(axis=1))
    right, wrong, objects = resampled_counts(matches, thresholds, drawn)
    figures |= dict(zip(RATE_NAMES, rates(right.sum(axis=0), wrong.sum(axis=0), objects.sum(axis=0)), strict=True))
    for index, label in enumerate(matches.labels):
        of_class = rates(right[index], wrong[index], objects[index])
        figures |= {metric_name(name, label): row for name, row in zip(RATE_NAMES, of_class, strict=True)}
        counted = (right[index], wrong[index], objects[index])
        figures |= {metric_name(name, label): row for name, row in zip(COUNT_NAMES, counted, strict=True)}
    return pd.DataFrame(figures)


def resampled_ap(of_class: str, overall: str, labels: list[str], aps: Floats) -> dict[str, Floats]:
    """Columns out of (classes, resamples): the mean over classes that have objects in a resample, and each class."""
    return {overall: mean_of_present(aps)} | {
        metric_name(of_class, label): row for label, row in zip(labels, aps, strict=True)
    }


def mean_of_present(aps: Floats) -> Floats:
    """Mean over the rows that are not NaN, column by column; NaN where none is."""
    present = ~np.isnan(aps)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(present, aps, 0).sum(axis=0) / present.sum(axis=0)
    return mean


def resampled_counts(matches: Matches, thresholds: Floats, drawn: Resampling) -> tuple[Floats, Floats, Floats]:
    """Right detections, wrong ones and objects: each (classes, resamples), at IoU 0.5.

    thresholds: as in `resampled_figures`.
    """
    resamples = drawn.weights.shape[1]
    right, wrong = np.empty((2, len(matches.labels), resamples))
    for label, of_label in enumerate(np.broadcast_to(thresholds, (len(matches.labels), resamples))):
        rows = matches.of(label)
        found = matches.found[rows, 0] >= 0
        for counted, rows_of in ((right, found), (wrong, ~found)):
            kept = rows_of & ~matches.ignored[rows, 0]
            group = drawn.group[matches.image[rows][kept]]
            counted[label] = _at_least(matches.score[rows][kept], group, of_label, drawn.weights)
    objects = objects_drawn(matches, drawn).astype(np.float32)
    return right, wrong, (objects @ drawn.weights).astype(np.float64)


def _at_least(score: Floats, group: Ints, thresholds: Floats, weights: NDArray[np.float32]) -> Floats:
    """How many detections of a resample's groups reach its threshold, (resamples,)."""
    counted = np.empty(len(thresholds))
    for low in range(0, len(thresholds), _AT_ONCE):
        part = slice(low, low + _AT_ONCE)
        # Between two thresholds that occur it does not matter where a score lies: count there, then add up from above.
        occurring, rank = np.unique(thresholds[part], return_inverse=True)
        segment = np.searchsorted(occurring, score, side="right") - 1
        kept = segment >= 0
        ones = np.ones(int(kept.sum()), dtype=weights.dtype)
        between = sparse.csr_array((ones, (segment[kept], group[kept])), shape=(len(occurring), len(weights)))
        down_to = np.cumsum((between @ weights[:, part])[::-1], axis=0)[::-1]
        counted[part] = down_to[rank, np.arange(len(rank))]
    return counted


def count(matches: Matches, thresholds: list[float], drawn: Resampling) -> list[ClassCounts]:
    """What was counted of each class, on the split as it is."""
    right, wrong = counts_at(matches, thresholds)
    hits = (matches.found[:, 0] >= 0) & ~matches.ignored[:, 0]
    found = np.bincount(matches.label[hits], minlength=len(matches.labels))
    objects = objects_drawn(matches, drawn)
    return [
        ClassCounts(
            objects=int(matches.objects[label]),
            units=int((of > 0).sum()),
            right=int(right[label]),
            wrong=int(wrong[label]),
            found=int(found[label]),
            effective_units=_equal_groups(of),
        )
        for label, of in enumerate(objects)
    ]


def _equal_groups(objects: Ints) -> float:
    """How many groups of equal weight would tell the same, after Kish; objects: of each group."""
    return float(objects.sum() ** 2 / (objects**2).sum()) if objects.any() else 0.0


def objects_drawn(matches: Matches, drawn: Resampling) -> Ints:
    """Objects of each class in each group: (classes, groups)."""
    cell = matches.truth_label * drawn.groups + drawn.group[matches.truth_image]
    return np.bincount(cell, minlength=len(matches.labels) * drawn.groups).reshape(-1, drawn.groups)


def holders(matches: Matches) -> Ints:
    """How many images hold an object of each class."""
    pairs = np.unique(np.column_stack([matches.truth_label, matches.truth_image]), axis=0)
    return np.bincount(pairs[:, 0], minlength=len(matches.labels))
