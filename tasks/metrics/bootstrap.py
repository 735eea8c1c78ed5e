"""Every headline figure in each of a thousand resamples of the test split.

What is drawn is groups, with replacement: frames of one scene are not independent, and drawing images would make every
interval too narrow. Detections are matched once; a resample is only a weight per group.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.metrics.average_precision import average_precisions
from tasks.metrics.intervals import Counts
from tasks.metrics.matching import Floats, Ints, Matches
from tasks.metrics.use_case import COUNT_NAMES, RATE_NAMES, counts_at, metric_name, operating, rates


@dataclass(frozen=True)
class Resampling:
    """Which groups were drawn how often."""

    unit: Literal["groups", "images"]
    reason: str  # empty, or why images are drawn
    group: Ints  # (images,) row of `weights`
    split_group: Ints  # (images,) number of the split's group, whatever is drawn
    weights: NDArray[np.float32]  # (groups, resamples)
    fewest_groups: int  # that it takes to show how alike the objects of a group are

    @property
    def groups(self) -> int:
        """Groups, or images, that are drawn from."""
        return len(self.weights)


def draw(images: list[str], groups: list[str], resamples: int, fewest_groups: int, seed: int) -> Resampling:
    """Draw resamples of the groups, or of the images where there are fewer than `fewest_groups`.

    groups: of each image. The same images, groups and seed give the same draw, whatever is measured on it.
    """
    names, split_group = np.unique(np.array(groups, dtype=object), return_inverse=True)
    group = split_group
    unit: Literal["groups", "images"] = "groups"
    reason = ""
    if len(names) < fewest_groups:
        unit = "images"
        reason = (
            f"resampling groups takes at least {fewest_groups}, and test has {len(names)}: images are resampled "
            "instead, and intervals are too narrow if images of a group resemble each other"
        )
        names, group = np.unique(np.array(images, dtype=object), return_inverse=True)
    rng = np.random.default_rng(seed)
    weights = np.empty((len(names), resamples), dtype=np.float32)
    for index in range(resamples):
        weights[:, index] = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
    return Resampling(unit, reason, group, split_group, weights, fewest_groups)


def resampled_figures(matches: Matches, thresholds: list[float], drawn: Resampling) -> pd.DataFrame:
    """One row per resample, one column per headline figure by its `metric_name`; NaN: nothing to measure in it.

    And `right of "crack"`, `wrong of`, `objects of`, by which rates over some of the classes can be had.
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


def resampled_counts(matches: Matches, thresholds: list[float], drawn: Resampling) -> tuple[Floats, Floats, Floats]:
    """Right detections, wrong ones and objects: each (classes, resamples), at the thresholds and IoU 0.5."""
    classes, groups = len(matches.labels), drawn.groups
    right, wrong = operating(matches, thresholds)
    label = matches.label
    counted = []
    for of_label, images in (
        (label[right], matches.image[right]),
        (label[wrong], matches.image[wrong]),
        (matches.truth_label, matches.truth_image),
    ):
        cell = of_label * groups + drawn.group[images]
        per_group = np.bincount(cell, minlength=classes * groups).reshape(classes, groups)
        counted.append((per_group.astype(np.float32) @ drawn.weights).astype(np.float64))
    return counted[0], counted[1], counted[2]


def count(matches: Matches, thresholds: list[float], drawn: Resampling) -> list[Counts]:
    """What was counted of each class, on the split as it is."""
    right, wrong = counts_at(matches, thresholds)
    hits = (matches.found[:, 0] >= 0) & ~matches.ignored[:, 0]
    found = np.bincount(matches.label[hits], minlength=len(matches.labels))
    units = holders(matches, drawn.group)
    columns = zip(matches.objects, units, right, wrong, found, strict=True)
    return [Counts(*(int(value) for value in row)) for row in columns]


def holders(matches: Matches, group: Ints) -> Ints:
    """How many groups hold an object of each class; group: (images,) numbers."""
    pairs = np.unique(np.column_stack([matches.truth_label, group[matches.truth_image]]), axis=0)
    return np.bincount(pairs[:, 0], minlength=len(matches.labels))
