"""How sure a figure is: bootstrap percentiles, held against what a binomial count can support at all.

Several sources, and the widest wins:

- the percentile interval, expanded for few groups as Hesterberg does (The American Statistician 69, 2015, section 4.3):
  plain percentiles of 10 groups are as narrow as if their spread were known; that of AP with its lower end corrected
  for bias (Efron, Canadian Journal of Statistics 9, 1981), since an envelope of precision lies too high, and higher
  still in resamples;
- for rates, the exact binomial interval of Clopper and Pearson over the effective number of trials, after Korn and
  Graubard (Survey Methodology 24, 1998): 20 of 20 found resamples to 100 % every time, yet 84 % is not ruled out;
- for AP, the same on the share of objects found at any score, which AP cannot exceed;
- for the difference of two targets, exact bounds on the objects won and on those lost, joined by square-and-add
  (Newcombe, Statistics in Medicine 17, 1998): that no object of 20 was lost does not rule out that 13 % are.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri, stdtrit

from tasks.metrics.matching import Floats

TAIL_OF_95 = 0.025  # beyond either end of a two-sided 95 % interval
_MOST_OBJECTS = 10_000_000  # more would be no plan for a test set
# Correlation of the fates of two objects of a group, assumed where groups are too few to measure it. Simulated with
# scenes that differ that much, floors are passed falsely in 0 to 2 % instead of 5 to 51 %; see test_metrics_intervals.
_ALIKE = 0.1


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
    trials: float = 0.0  # effective ones: fewer than the objects where those are in too few groups
    objects: int = 0


def evidence(name: str, counts: list[Counts], fewest_units: int) -> Evidence:
    """The evidence of a metric (`recall`, `map50`, `ap50`, ...) over one class or several.

    fewest_units: how many units resampling takes to show how alike the objects of a unit are.
    """
    objects = sum(count.objects for count in counts)
    units = max((count.units for count in counts), default=0)
    effects = [_design_effect(count, fewest_units) for count in counts]
    if name in ("ap50", "ap50_95", "map50", "map50_95"):
        present = [(count, effect) for count, effect in zip(counts, effects, strict=True) if count.objects]
        if not present:
            return Evidence("ap", units)
        # Every class weighs the same in a mean: the variance of such a mean is that of this many objects together.
        trials = len(present) ** 2 / sum(effect / count.objects for count, effect in present)
        share = sum(count.found / count.objects for count, _ in present) / len(present)
        return Evidence("ap", units, share * trials, trials, objects)
    tried = [_tried(name, count) for count in counts]
    total = sum(tried)
    if not total:
        return Evidence("f1" if name == "f1" else "rate", units, objects=objects)
    trials = total**2 / sum(n * effect for n, effect in zip(tried, effects, strict=True))
    share = sum(count.right for count in counts) / total
    return Evidence("f1" if name == "f1" else "rate", units, share * trials, trials, objects)


def _tried(rate: str, count: Counts) -> int:
    """What a rate is a share of; F1 as the share of right ones among right, wrong and missed together."""
    return {"recall": count.objects, "precision": count.right + count.wrong, "f1": count.objects + count.wrong}[rate]


def difference(one: Evidence, other: Evidence) -> Evidence:
    """The evidence of the difference of a metric between two targets on the same test split."""
    return Evidence("difference", one.units, trials=min(one.trials, other.trials), objects=one.objects)


def _design_effect(count: Counts, fewest_units: int) -> float:
    """By how much fewer independent objects would tell the same, after Kish; 1 where resampling can show it itself."""
    if not 0 < count.units < fewest_units:
        return 1.0
    return 1 + (count.objects / count.units - 1) * _ALIKE


def bounds(value: float, resamples: Floats, behind: Evidence, tail: float) -> tuple[float, float]:
    """Lower and upper bound of a figure, `tail` of the probability beyond each.

    resamples: (n,) the figure in each bootstrap resample; NaN where a resample holds nothing to measure.
    """
    low, high = _percentiles(value, resamples, behind, tail)
    exact_low, exact_high = _exact(value, resamples, behind, tail)
    return min(value, low, exact_low), max(value, high, exact_high)


def objects_to_decide(value: float, bar: float, resamples: Floats, behind: Evidence, tail: float) -> int | None:
    """How many more test objects would lift the lower bound to `bar`, were they like those at hand.

    None if no test set of a size to plan with would: the value does not clear the bar, or hardly.
    """
    if value <= bar or not behind.objects:
        return None
    low, _ = _percentiles(value, resamples, behind, tail)

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


def _percentiles(value: float, resamples: Floats, behind: Evidence, tail: float) -> tuple[float, float]:
    measured = resamples[~np.isnan(resamples)]
    if not len(measured):
        return value, value
    degrees = max(2, behind.units) - 1
    level = float(ndtr(np.sqrt((degrees + 1) / degrees) * stdtrit(degrees, tail)))
    of_low = level if behind.kind != "ap" else _bias_corrected(level, value, measured)
    low, high = np.quantile(measured, [of_low, 1 - level])
    return float(low), float(high)


def _bias_corrected(level: float, value: float, resamples: Floats) -> float:
    """A lower level where resamples tend to lie above the value, as they do of an envelope."""
    below = ((resamples < value).mean() + (resamples <= value).mean()) / 2
    return float(ndtr(2 * min(0.0, float(ndtri(below))) + ndtri(level)))


def _exact(value: float, resamples: Floats, behind: Evidence, tail: float, growth: float = 1.0) -> tuple[float, float]:
    """Bounds that counting alone allows, for `growth` times the trials at hand."""
    if not behind.trials:
        return -1.0 if behind.kind == "difference" else 0.0, 1.0
    if behind.kind == "difference":
        return _square_and_add(value, _variance(resamples), behind.trials, tail, growth)
    share = behind.right / behind.trials
    if behind.kind == "ap":
        low, high = _clopper_pearson(share, behind.trials * growth, tail)
        return value * low / share if share else 0.0, min(1.0, value + high - share)
    if behind.kind == "f1":
        # F1 = 2j / (1 + j), where j counts right ones among right, wrong and missed together: a rate like others.
        resamples = resamples / (2 - resamples)
    spread, trials = _variance(resamples), behind.trials
    if spread > 0:
        trials = min(trials, max(1.0, share * (1 - share) / spread))
    low, high = _clopper_pearson(share, trials * growth, tail)
    return (2 * low / (1 + low), 2 * high / (1 + high)) if behind.kind == "f1" else (low, high)


def _variance(resamples: Floats) -> float:
    return float(np.nanvar(resamples)) if (~np.isnan(resamples)).any() else 0.0


def _square_and_add(gain: float, spread: float, trials: float, tail: float, growth: float) -> tuple[float, float]:
    """Bounds of shares won less shares lost, of which there are as many as explain the spread of the resamples."""
    apart = min(max(trials * spread + gain**2, abs(gain)), 1.0)
    won, lost = (apart + gain) / 2, (apart - gain) / 2
    won_low, won_high = _clopper_pearson(won, trials * growth, tail)
    lost_low, lost_high = _clopper_pearson(lost, trials * growth, tail)
    # What one object wins another does not lose: the two shares are correlated as those of a multinomial are.
    together = 2 * np.sqrt(won * lost / ((1 - won) * (1 - lost))) if won < 1 and lost < 1 else 0.0

    def apart_by(of_won: float, of_lost: float) -> float:
        return float(np.sqrt(of_won**2 + of_lost**2 + together * of_won * of_lost))

    return gain - apart_by(won - won_low, lost_high - lost), gain + apart_by(won_high - won, lost - lost_low)


def _clopper_pearson(share: float, trials: float, tail: float) -> tuple[float, float]:
    """Exact binomial bounds; `trials` need not be whole."""
    right = share * trials
    missed = trials - right
    low = float(betaincinv(right, missed + 1, tail)) if right > 0 else 0.0
    high = float(betaincinv(right + 1, missed, 1 - tail)) if missed > 1e-9 else 1.0
    return low, high
