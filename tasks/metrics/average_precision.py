"""Average precision of matched detections, for any number of resamples of the images at once.

The definition is COCO's (`COCOeval.accumulate` of pycocotools): precision at 101 levels of recall, each the best that
is reached at that recall or beyond. With all weights one it is the library's figure to the last digits.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from tasks.metrics.matching import Bools, Floats, Ints, Matches

Weights = NDArray[np.floating[Any]]  # (groups, resamples): how often a group was drawn; float32 does

_LEVELS = np.linspace(0, 1, 101)
# These levels are a hair above k/100 in floating point, so COCO does not count a recall of just k/100 as reaching them.
_LATE = (np.arange(101) / 100 < _LEVELS).astype(np.float64)
_ELEMENTS_AT_ONCE = 500_000  # hits times resamples: arrays that stay in the processor's cache


def average_precisions(matches: Matches, group: Ints, weights: Weights) -> Floats:
    """AP of every class, IoU threshold and resample: (classes, thresholds, resamples); NaN where there is no object.

    group: (images,) the group of each image, a row of `weights`.
    """
    objects = _objects_per_group(matches, group, len(weights))
    result = np.full((len(matches.labels), len(matches.ious), weights.shape[1]), np.nan)
    for label in range(len(matches.labels)):
        if not objects[:, label].any():
            continue
        rows = matches.of(label)
        result[label] = _of_class(
            matches.found[rows] >= 0, matches.ignored[rows], group[matches.image[rows]], objects[:, label], weights
        )
    return result


def _objects_per_group(matches: Matches, group: Ints, groups: int) -> Floats:
    cell = group[matches.truth_image] * len(matches.labels) + matches.truth_label
    counts = np.bincount(cell, minlength=groups * len(matches.labels))
    return counts.reshape(groups, len(matches.labels)).astype(np.float64)


def _of_class(found: Bools, ignored: Bools, group: Ints, objects: Floats, weights: Weights) -> Floats:
    """(thresholds, resamples) of one class; rows by score, the best first."""
    result = np.zeros((found.shape[1], weights.shape[1]))
    hits = found & ~ignored
    step = max(64, _ELEMENTS_AT_ONCE // max(1, int(hits.any(axis=1).sum())))
    # Without ignored detections the number of detections down to a hit is the same at every threshold.
    columns = [slice(0, found.shape[1])] if not ignored.any() else [slice(t, t + 1) for t in range(found.shape[1])]
    for column in columns:
        hit = hits[:, column]
        somewhere = np.flatnonzero(hit.any(axis=1))
        counted = ~ignored[:, column.start]
        between = _counter(group[counted], np.searchsorted(somewhere, np.flatnonzero(counted)), len(somewhere), weights)
        for low in range(0, weights.shape[1], step):
            part = np.ascontiguousarray(weights[:, low : low + step])
            positives = objects.astype(part.dtype) @ part
            drawn = part[group[somewhere]]
            detections = _running_sum(between @ part)
            for index, threshold in enumerate(range(column.start, column.stop)):
                at = np.flatnonzero(hit[somewhere, index])
                result[threshold, low : low + step] = _of_hits(drawn[at], detections[at], positives)
    return result


def _counter(group: Ints, segment: Ints, segments: int, weights: Weights) -> sparse.csr_array:
    """(segments, groups): detections of each group between one hit and the next; what comes after the last is left."""
    kept = segment < segments
    ones = np.ones(int(kept.sum()), dtype=weights.dtype)
    return sparse.csr_array((ones, (segment[kept], group[kept])), shape=(segments, len(weights)))


def _running_sum(rows: Weights) -> Weights:
    # np.cumsum(axis=0) walks down each column and misses the cache: ten times slower than adding whole rows.
    for index in range(1, len(rows)):
        rows[index] += rows[index - 1]
    return rows


def _of_hits(drawn: Weights, detections: Weights, positives: Weights) -> Weights:
    """AP from the hits alone, (resamples,): precision can only be best, and recall only grow, at a hit.

    drawn: (hits, resamples) how often each hit was drawn; detections: (hits, resamples) all detections down to it.
    """
    if not len(drawn):
        return np.where(positives > 0, 0.0, np.nan).astype(drawn.dtype)
    right = _running_sum(drawn)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(detections > 0, right / detections, 0)
        reached = _levels_reached(right * 100 / positives)
    for index in range(len(precision) - 2, -1, -1):
        np.maximum(precision[index], precision[index + 1], out=precision[index])
    reached[1:] -= reached[:-1].copy()
    area = np.einsum("hr,hr->r", precision, reached) / len(_LEVELS)
    return np.where(positives > 0, area, np.nan).astype(drawn.dtype)


def _levels_reached(recall_percent: Weights) -> Weights:
    """How many of the 101 recall levels are reached. Exact: whole numbers below 2^24 divide correctly in float32."""
    whole = np.floor(recall_percent)
    exact = np.flatnonzero(whole.ravel() == recall_percent.ravel())
    late = _LATE[whole.ravel()[exact].astype(np.int64)]
    whole.ravel()[exact] -= late.astype(whole.dtype)
    whole += 1
    return whole
