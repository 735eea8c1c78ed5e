"""Operating thresholds as they would have been chosen on resamples of val.

The rules are those of `operating_points`: here for a thousand weighted vals at once, there for the one at hand.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from tasks.metrics.bootstrap import Resampling, objects_drawn
from tasks.metrics.matching import Bools, Floats, Ints, Matches
from tasks.metrics.operating_points import BEST_F1, NOTHING_TO_CHOOSE_FROM, OperatingPoint

_ELEMENTS_AT_ONCE = 2_000_000  # scores times resamples: 16 MB
_BEST_F1 = OperatingPoint(BEST_F1, None, 0.0)


def resampled_thresholds(matches: Matches, points: list[OperatingPoint], drawn: Resampling) -> Floats:
    """The threshold of each class in each resample of val, at IoU 0.5: (classes, resamples).

    Where a resample holds nothing of a class to choose by, it is that of all classes together, as on val itself.
    """
    objects = objects_drawn(matches, drawn)
    chosen = np.array(
        [_choices(matches, matches.of(label), objects[label], point, drawn) for label, point in enumerate(points)]
    )
    if np.isnan(chosen).any():
        pooled = _choices(matches, slice(None), objects.sum(axis=0), _BEST_F1, drawn)
        chosen = np.where(np.isnan(chosen), np.nan_to_num(pooled, nan=NOTHING_TO_CHOOSE_FROM), chosen)
    return chosen


def _choices(matches: Matches, rows: slice, objects: Ints, point: OperatingPoint, drawn: Resampling) -> Floats:
    """(resamples,); NaN where there is no object or nothing is right. objects: (groups,)."""
    resamples = drawn.weights.shape[1]
    counts = ~matches.ignored[rows, 0]
    score, right = matches.judged(rows)
    group = drawn.group[matches.image[rows][counts]]
    # A threshold is best at a right detection: the wrong ones just below only cost precision.
    scores = np.unique(score[right])[::-1]
    if not len(scores) or not objects.any():
        return np.full(resamples, np.nan)
    everything, hits = (
        _between(score[kept], group[kept], scores, drawn) for kept in (np.ones(len(score), dtype=bool), right)
    )
    chosen = np.empty(resamples)
    step = max(1, _ELEMENTS_AT_ONCE // len(scores))
    for low in range(0, resamples, step):
        part = drawn.weights[:, low : low + step]
        down_to, found = (np.cumsum(between @ part, axis=0, dtype=np.float64) for between in (everything, hits))
        wanted = objects.astype(np.float64) @ part.astype(np.float64)
        chosen[low : low + step] = np.where(
            (wanted > 0) & (found[-1] > 0), scores[_indices(down_to, found, wanted, point)], np.nan
        )
    return chosen


def _between(score: Floats, group: Ints, scores: Floats, drawn: Resampling) -> sparse.csr_array:
    """(scores, groups): detections of each group from one of the scores (descending) up to the one before."""
    segment = np.searchsorted(-scores, -score)
    kept = segment < len(scores)
    ones = np.ones(int(kept.sum()), dtype=np.float32)
    return sparse.csr_array((ones, (segment[kept], group[kept])), shape=(len(scores), drawn.groups))


def _indices(down_to: Floats, found: Floats, wanted: Floats, point: OperatingPoint) -> NDArray[np.intp]:
    """Which score is the threshold, (resamples,). All (scores, resamples) but `wanted`, the objects: (resamples,)."""
    best: NDArray[np.intp] = np.argmax(found / np.maximum(down_to + wanted, 1), axis=0)
    if point.rate is None:
        return best
    rate = found / np.maximum(wanted if point.rate == "recall" else down_to, 1)
    reached: Bools = rate >= point.floor
    if point.rate == "recall":
        index = np.argmax(reached, axis=0)
    else:
        most = np.where(reached, found, -1).max(axis=0)
        index = np.argmax(reached & (found == most), axis=0)
    return np.where(reached.any(axis=0), index, best)
