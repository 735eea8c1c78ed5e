"""How sure a figure is: bootstrap percentiles, held against what a binomial count can support at all.

Three sources, and the widest wins:

- the percentile interval, expanded for few groups as Hesterberg does (The American Statistician 69, 2015, section 4.3):
  plain percentiles of 10 groups are as narrow as if their spread were known;
- for rates, the exact binomial interval of Clopper and Pearson over the effective number of trials, after Korn and
  Graubard (Survey Methodology 24, 1998): 20 of 20 found resamples to 100 % every time, yet 84 % is not ruled out;
- for AP, the same on the share of objects found at any score, which AP cannot exceed.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import betaincinv, ndtr, stdtrit

from tasks.metrics.matching import Floats

TAIL_OF_95 = 0.025  # beyond either end of a two-sided 95 % interval
_MOST_OBJECTS = 10_000_000  # more would be no plan for a test set


@dataclass(frozen=True)
class Counts:
    """What was counted of one class, on test at its operating threshold."""

    objects: int
    units: int  # of those resampled (groups or images), the ones that hold such objects
    right: int
    wrong: int
    found: int  # objects found at any score


@dataclass(frozen=True)
class Evidence:
    """What stands behind a figure beside its resamples."""

    kind: Literal["rate", "f1", "ap", "difference"]
    units: int
    right: float = 0.0  # successes of `trials`
    trials: float = 0.0
    objects: int = 0


def evidence(name: str, counts: list[Counts]) -> Evidence:
    """The evidence of a metric (`recall`, `map50`, `ap50`, ...) over one class or several."""
    objects = sum(count.objects for count in counts)
    units = max((count.units for count in counts), default=0)
    right, wrong = sum(count.right for count in counts), sum(count.wrong for count in counts)
    if name == "recall":
        return Evidence("rate", units, right, objects, objects)
    if name == "precision":
        return Evidence("rate", units, right, right + wrong, objects)
    if name == "f1":
        return Evidence("f1", units, right, objects + wrong, objects)
    present = [count for count in counts if count.objects]
    if not present:
        return Evidence("ap", units)
    # Every class weighs the same in a mean: the variance of such a mean is that of this many objects together.
    trials = len(present) ** 2 / sum(1 / count.objects for count in present)
    share = sum(count.found / count.objects for count in present) / len(present)
    return Evidence("ap", units, share * trials, trials, objects)


def bounds(value: float, resamples: Floats, behind: Evidence, tail: float) -> tuple[float, float]:
    """Lower and upper bound of a figure, `tail` of the probability beyond each.

    resamples: (n,) the figure in each bootstrap resample; NaN where a resample holds nothing to measure.
    """
    low, high = _percentiles(value, resamples, behind.units, tail)
    exact_low, exact_high = _exact(value, resamples, behind, tail)
    return min(value, low, exact_low), max(value, high, exact_high)


def objects_to_decide(value: float, bar: float, resamples: Floats, behind: Evidence, tail: float) -> int | None:
    """How many more test objects would lift the lower bound to `bar`, were they like those at hand.

    None if no test set of a size to plan with would: the value does not clear the bar, or hardly.
    """
    if value <= bar or not behind.objects:
        return None
    low, _ = _percentiles(value, resamples, behind.units, tail)

    def is_decided(objects: int) -> bool:
        growth = objects / behind.objects
        # A bootstrap interval narrows with the root of the number of groups, and objects grow with the groups.
        by_spread = value - (value - low) / np.sqrt(growth)
        return bool(min(by_spread, _exact(value, resamples, behind, tail, growth)[0]) >= bar)

    few, enough = behind.objects, 2 * behind.objects
    while not is_decided(enough):
        few, enough = enough, 2 * enough
        if enough > _MOST_OBJECTS:
            return None
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if is_decided(middle) else (middle, enough)
    return enough - behind.objects


def _percentiles(value: float, resamples: Floats, units: int, tail: float) -> tuple[float, float]:
    measured = resamples[~np.isnan(resamples)]
    if not len(measured):
        return value, value
    degrees = max(2, units) - 1
    level = float(ndtr(np.sqrt((degrees + 1) / degrees) * stdtrit(degrees, tail)))
    low, high = np.quantile(measured, [level, 1 - level])
    return float(low), float(high)


def _exact(value: float, resamples: Floats, behind: Evidence, tail: float, growth: float = 1.0) -> tuple[float, float]:
    """Bounds that counting alone allows, for `growth` times the trials at hand."""
    if behind.kind == "difference":
        return value, value
    if not behind.trials:
        return 0.0, 1.0
    share = behind.right / behind.trials
    if behind.kind == "ap":
        low, high = _clopper_pearson(share, behind.trials * growth, tail)
        return value * low / share if share else 0.0, min(1.0, value + high - share)
    if behind.kind == "f1":
        # F1 = 2j / (1 + j), where j counts right ones among right, wrong and missed together: a rate like others.
        resamples = resamples / (2 - resamples)
    spread = float(np.nanvar(resamples)) if (~np.isnan(resamples)).any() else 0.0
    trials = behind.trials
    if spread > 0:
        trials = min(trials, max(1.0, share * (1 - share) / spread))
    low, high = _clopper_pearson(share, trials * growth, tail)
    return (2 * low / (1 + low), 2 * high / (1 + high)) if behind.kind == "f1" else (low, high)


def _clopper_pearson(share: float, trials: float, tail: float) -> tuple[float, float]:
    """Exact binomial bounds; `trials` need not be whole."""
    right = share * trials
    missed = trials - right
    low = float(betaincinv(right, missed + 1, tail)) if right > 0 else 0.0
    high = float(betaincinv(right + 1, missed, 1 - tail)) if missed > 1e-9 else 1.0
    return low, high
