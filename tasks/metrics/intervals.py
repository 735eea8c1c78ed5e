"""How sure a figure is: the spread over resampled scenes, set against what counting alone can support.

Several sources, and the widest wins:

- the spread of the resamples, with Student's t for as many degrees of freedom as scenes of equal weight would leave
  (Kish's effective number less one, at least two), on the logit scale, where a share cannot leave 0 to 1; and as if one
  more scene had been seen that went a little worse (for the upper bound: better), since a bad scene not yet met is what
  misleads few scenes most;
- the lower bound of AP is corrected for its bias first: an envelope of precision is a maximum and lies too high, and
  resampling shows a part of that (of the maximum of two equals, the root of 2 less 1);
- for rates, the exact binomial interval of Clopper and Pearson over the effective number of trials, after Korn and
  Graubard (Survey Methodology 24, 1998): 20 of 20 found resamples to 100 % every time, yet 84 % is not ruled out;
- for AP, the same on the share of objects found at any score, which AP cannot exceed, and on AP as if it were a share:
  the mean of shares varies no more than a count does;
- for the difference of two targets, exact bounds on the objects won and on those lost, joined by square-and-add
  (Newcombe, Statistics in Medicine 17, 1998): that no object of 20 was lost does not rule out that 13 % are.

docs/statistics says what was compared, and how often these bounds are wrong.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import betaincinv, expit, logit, stdtrit

from tasks.metrics.matching import Floats

TAIL_OF_95 = 0.025  # beyond either end of a two-sided 95 % interval
_MOST_OBJECTS = 10_000_000  # more would be no plan for a test set
# Correlation of the fates of two objects of a scene, assumed where scenes are too few to measure it. Simulated with
# scenes that differ that much, floors are passed falsely in 0 to 2 % instead of 5 to 51 %; see test_metrics_intervals.
_ALIKE = 0.1
_FEW = 10  # scenes that it takes to show how alike their objects are
# By how much of the figure the scene not yet met falls short. Least values that keep to 4 % in docs/statistics; AP
# needs more, for a bad scene's false alarms push down the objects of all others.
_UNSEEN = {"rate": 0.1, "f1": 0.1, "ap": 0.3}
_SHOWN = 0.25  # of the bias of an envelope, what resampling shows: 0.2 to 0.4 in docs/statistics
_ROUNDING = 1e-9
# Degrees of freedom of Student's t. Kish's number is about 1 where one scene holds most objects, although the others
# tell how much scenes differ, too; with one degree nothing at all would be known.
_FEWEST_FREE = 2.0
_NEAREST = 1e-3  # to 0 and 1 on the logit scale; nearer, counting decides


@dataclass(frozen=True)
class ClassCounts:
    """What was counted of one class, on test at its operating threshold."""

    objects: int
    units: int  # of the scenes that are resampled, those that hold such objects
    right: int
    wrong: int
    found: int  # objects found at any score
    effective_units: float = 0.0  # scenes of equal weight that would tell the same, after Kish; 0: all weigh the same

    @property
    def equal_units(self) -> float:
        """Kish's effective number of scenes, (sum n)^2 / sum n^2 over their objects."""
        return self.effective_units or float(self.units)


@dataclass(frozen=True)
class Evidence:
    """What stands behind a figure beside its resamples."""

    kind: Literal["rate", "f1", "ap", "difference"]
    units: int
    right: float = 0.0  # successes of `trials`
    trials: float = 0.0  # effective ones: fewer than the objects where those are in too few groups
    objects: int = 0
    equal_units: float = 0.0  # scenes of equal weight that would tell the same; 0: all weigh the same


def evidence(name: str, counts: list[ClassCounts]) -> Evidence:
    """The evidence of a metric (`recall`, `map50`, `ap50`, ...) over one class or several."""
    objects = sum(count.objects for count in counts)
    units = max((count.units for count in counts), default=0)
    equal_units = max((count.equal_units for count in counts), default=0.0)
    effects = [_design_effect(count) for count in counts]
    if name in ("ap50", "ap50_95", "map50", "map50_95"):
        present = [(count, effect) for count, effect in zip(counts, effects, strict=True) if count.objects]
        if not present:
            return Evidence("ap", units)
        # Every class weighs the same in a mean: the variance of such a mean is that of this many objects together.
        trials = len(present) ** 2 / sum(effect / count.objects for count, effect in present)
        share = sum(count.found / count.objects for count, _ in present) / len(present)
        return Evidence("ap", units, share * trials, trials, objects, equal_units)
    tried = [_tried(name, count) for count in counts]
    total = sum(tried)
    if not total:
        return Evidence("f1" if name == "f1" else "rate", units, objects=objects)
    trials = total**2 / sum(n * effect for n, effect in zip(tried, effects, strict=True))
    share = sum(count.right for count in counts) / total
    return Evidence("f1" if name == "f1" else "rate", units, share * trials, trials, objects, equal_units)


def _tried(rate: str, count: ClassCounts) -> int:
    """What a rate is a share of; F1 as the share of right ones among right, wrong and missed together."""
    return {"recall": count.objects, "precision": count.right + count.wrong, "f1": count.objects + count.wrong}[rate]


def difference(one: Evidence, other: Evidence) -> Evidence:
    """The evidence of the difference of a metric between two targets on the same test split."""
    return Evidence(
        "difference",
        one.units,
        trials=min(one.trials, other.trials),
        objects=one.objects,
        equal_units=min(one.equal_units, other.equal_units),
    )


def _design_effect(count: ClassCounts) -> float:
    """By how much fewer independent objects would tell the same, after Kish; 1 where resampling can show it itself."""
    if not 0 < count.units < _FEW:
        return 1.0
    return 1 + (count.objects / count.units - 1) * _ALIKE


def bounds(value: float, resamples: Floats, behind: Evidence, tail: float) -> tuple[float, float]:
    """Lower and upper bound of a figure, `tail` of the probability beyond each.

    resamples: (n,) the figure in each bootstrap resample; NaN where a resample holds nothing to measure.
    """
    return _bounds(value, resamples, behind, tail, 1.0)


def objects_to_decide(
    value: float, bar: float, resamples: Floats, behind: Evidence, tail: float, *, fewest_units: int = 0
) -> int | None:
    """How many more test objects would lift the lower bound to `bar`, were they and their scenes like those at hand.

    fewest_units: scenes without which nothing is decided. None if no test set of a size to plan with would do: the
    value does not clear the bar, or hardly.
    """
    if value <= bar or not behind.objects:
        return None

    def is_decided(objects: int) -> bool:
        growth = objects / behind.objects
        if behind.units * growth < fewest_units - _ROUNDING:
            return False
        return _bounds(value, resamples, behind, tail, growth)[0] >= bar

    few, enough = behind.objects, 2 * behind.objects
    while not is_decided(enough):
        few, enough = enough, 2 * enough
        if enough > _MOST_OBJECTS:
            return None
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if is_decided(middle) else (middle, enough)
    return enough - behind.objects


def _bounds(value: float, resamples: Floats, behind: Evidence, tail: float, growth: float) -> tuple[float, float]:
    low, high = _by_spread(value, resamples, behind, tail, growth)
    exact_low, exact_high = _exact(value, resamples, behind, tail, growth)
    return min(value, low, exact_low), max(value, high, exact_high)


def _by_spread(value: float, resamples: Floats, behind: Evidence, tail: float, growth: float) -> tuple[float, float]:
    """Bounds by the spread over scenes, for `growth` times the scenes at hand."""
    measured = resamples[~np.isnan(resamples)]
    if not len(measured):
        return value, value
    units = max(2.0, behind.units * growth)
    sure = -float(stdtrit(max(_FEWEST_FREE, (behind.equal_units or behind.units) * growth - 1), tail))
    # Resamples vary less than scenes do, by one degree of freedom.
    spread = float(measured.std()) * np.sqrt(max(2, behind.units) / (max(2, behind.units) - 1) / growth)
    if behind.kind == "difference":
        return value - sure * spread, value + sure * spread
    bias = max(0.0, float(measured.mean()) - value) / _SHOWN / growth if behind.kind == "ap" else 0.0
    # Where nothing varies at all, AP counts what was found as a rate does.
    unseen = _UNSEEN[behind.kind if spread else "rate"] / (units + 1)
    low = _beyond(value - bias, spread, sure, unseen)
    return low, 1 - _beyond(1 - value, spread, sure, unseen)


def _beyond(share: float, spread: float, sure: float, unseen: float) -> float:
    """A share's lower bound on the logit scale (delta method), as if one more scene had been seen that fell short.

    Nearest to 1 the scale stretches without end: no further away than twice the normal bound.
    """
    shift = unseen * share
    share, spread = share - shift, float(np.hypot(spread, shift))
    if share <= _NEAREST:
        return 0.0
    share = min(share, 1 - _NEAREST)
    stretched = float(expit(logit(share) - sure * spread / (share * (1 - share))))
    return max(stretched, share - 2 * sure * spread)


def _exact(value: float, resamples: Floats, behind: Evidence, tail: float, growth: float) -> tuple[float, float]:
    """Bounds that counting alone allows, for `growth` times the trials at hand."""
    if not behind.trials:
        return -1.0 if behind.kind == "difference" else 0.0, 1.0
    if behind.kind == "difference":
        return _square_and_add(value, _variance(resamples), behind.trials, tail, growth)
    share = behind.right / behind.trials
    if behind.kind == "ap":
        low, high = _clopper_pearson(share, behind.trials * growth, tail)
        as_share, _ = _clopper_pearson(value, behind.trials * growth, tail)
        return min(as_share, value * low / share) if share else 0.0, min(1.0, value + high - share)
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
