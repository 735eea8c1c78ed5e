"""What a rule says of a target: accepted, rejected, or undecided for want of test objects.

A bar is cleared when the one-sided bound at the rule's confidence clears it. The measured value itself falling short
is a rejection, even where the interval still reaches over the bar: the best estimate is that the target is not good
enough. A value that clears the bar while the bound does not is undecided, and says how many objects more could tell.
Differences from the checkpoint and the champion are taken resample by resample, which cancels what both share; that
two targets did equally well on a few objects does not show that they are equal.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from tasks.contracts.bundle import CHAMPION, CHECKPOINT
from tasks.contracts.evaluation import ClassEvaluation, ClassSlice, Evaluation, Interval
from tasks.contracts.quoting import quoted
from tasks.contracts.verdict import RuleResult
from tasks.gating.budgets import judge_budget
from tasks.gating.compared_classes import Compared, compare_classes, over
from tasks.gating.renames import NO_RENAME, Rename
from tasks.gating.rules import BudgetRule, MetricRule, Rule, parse_rules
from tasks.gating.same_predictions import predict_the_same
from tasks.metrics.few_scenes import Classes, lacking_scenes, more_scenes, note_of, too_few, unproven
from tasks.metrics.intervals import TAIL_OF_95, ClassCounts, bounds, difference, evidence, objects_to_decide
from tasks.metrics.matching import Floats
from tasks.metrics.use_case import metric_name

_ROUNDING = 1e-9  # 0.95 - 0.93 is a little more than 0.02


@dataclass(frozen=True)
class Evaluated:
    """One target's evaluation, its resamples, and what it predicts with confidence (see same_predictions)."""

    evaluation: Evaluation
    resamples: pd.DataFrame
    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class _Figure:
    """A metric of a target, with all that a bound needs."""

    name: str  # by metric_name
    label: str | None
    value: float | None
    resamples: Floats
    counts: list[ClassCounts]
    fewest_units: int
    unproven: float  # see few_scenes
    lacking_scenes: int  # for the class in the fewest, where that is what lowers the bound
    note: str  # for the end of the reason


def judge(
    rule: Rule, target: Evaluated, references: dict[str, Evaluated], rename: Rename = NO_RENAME
) -> list[RuleResult]:
    """Judge one rule on one target: one result, or one per class.

    references: checkpoint and champion, if there are. rename: parse.rename, named where it keeps classes apart.
    """
    if isinstance(rule, BudgetRule):
        return [judge_budget(rule, target.evaluation)]
    labels = list(target.evaluation.classes) if rule.each_class else [rule.label]
    if rule.kind == "floor":
        return [_noted(_judge_floor(rule, figure), figure.note) for figure in _figures(rule, labels, target)]
    if rule.kind == "drop":
        checkpoint = references[CHECKPOINT]
        pairs = zip(_figures(rule, labels, target), _figures(rule, labels, checkpoint), strict=True)
        same = _are_the_same(target, checkpoint)
        return [_noted(_judge_difference(rule, *pair, same=same), pair[0].note) for pair in pairs]
    if CHAMPION not in references:
        why = "there is no champion yet to compare with"
        return [_uncompared(rule, figure, why) for figure in _figures(rule, labels, target)]
    compared = compare_classes(target.evaluation, references[CHAMPION].evaluation, rename)
    return [_judge_against(rule, label, target, references[CHAMPION], compared) for label in labels]


def interval_between(metric: str, one: Evaluated, other: Evaluated) -> tuple[float, float]:
    """The two-sided 95 % interval of how far `one` is above `other`, by the bounds that rules go by.

    metric: as params name it, recall of "crack"; measured on both, on the same test split.
    """
    (rule,) = parse_rules([f"{metric} not worse than champion"], 1 - TAIL_OF_95)
    assert isinstance(rule, MetricRule)
    figure, reference = (_figure(rule, rule.label, of) for of in (one, other))
    assert figure.value is not None
    assert reference.value is not None
    behind = difference(*(evidence(rule.name, of.counts) for of in (figure, reference)))
    gains = figure.resamples - reference.resamples
    if other.evaluation.target != CHAMPION and _are_the_same(one, other):
        return 0.0, 0.0
    return bounds(figure.value - reference.value, gains, behind, TAIL_OF_95)


def _are_the_same(target: Evaluated, checkpoint: Evaluated) -> bool:
    """Whether an artefact predicts what its checkpoint predicts: it does so on other images, too, and loses nothing."""
    return target is checkpoint or predict_the_same(target.predictions, checkpoint.predictions)


def _judge_against(
    rule: MetricRule, label: str | None, target: Evaluated, champion: Evaluated, compared: Compared
) -> RuleResult:
    """Against a champion that may not know all classes; see compared_classes."""
    if not compared.labels:
        return _incomparable(rule, _figure(rule, label, target), compared)
    if label is None and compared.differs:
        target, champion = (Evaluated(*over(compared.labels, of.evaluation, of.resamples)) for of in (target, champion))
    figure = _figure(rule, label, target)
    if label in compared.new and figure.value is not None:
        is_new = f"the champion does not know {quoted(label)}, so it is no bar for it{compared.hint}"
        return _uncompared(rule, figure, f"{figure.name} is {figure.value:.3f}, and {is_new}")
    result = _judge_difference(rule, figure, _figure(rule, label, champion))
    return _noted(result, figure.note + (compared.note if label is None else ""))


def _noted(result: RuleResult, note: str) -> RuleResult:
    return result.model_copy(update={"reason": result.reason + note})


def _figures(rule: MetricRule, labels: Sequence[str | None], target: Evaluated) -> list[_Figure]:
    return [_figure(rule, label, target) for label in labels]


def _figure(rule: MetricRule, label: str | None, target: Evaluated) -> _Figure:
    name = metric_name(rule.name, label, rule.where)
    interval, classes = _measured(rule, label, target.evaluation)
    resamples = target.resamples[name].to_numpy() if name in target.resamples else np.zeros(0)
    counts = [
        ClassCounts(
            objects=of.objects,
            units=of.groups,
            right=of.true_positives,
            wrong=of.false_positives if isinstance(of, ClassEvaluation) else 0,
            found=of.found,
            effective_units=of.equal_groups,
        )
        for of in classes.values()
    ]
    fewest = target.evaluation.fewest_groups
    lower = unproven(rule.name, classes, fewest, 1 - rule.confidence) if label is None else 0.0
    return _Figure(
        name,
        label,
        interval.value if interval else None,
        resamples,
        counts,
        fewest,
        lower,
        lacking_scenes(classes, fewest) if lower else 0,
        _note(rule, classes, target.evaluation),
    )


def _note(rule: MetricRule, classes: Classes, evaluation: Evaluation) -> str:
    """The parts that there are, where test has none of the rule's; and classes that are in too few scenes."""
    if rule.where is not None and not classes:
        parts = [sliced.part for sliced in evaluation.slices if sliced.by == rule.where[0]]
        return f"; by {rule.where[0]} it holds {', '.join(parts) or 'none'}"
    return note_of(classes, evaluation.fewest_groups)


def _measured(
    rule: MetricRule, label: str | None, evaluation: Evaluation
) -> tuple[Interval | None, Mapping[str, ClassEvaluation | ClassSlice]]:
    """The metric's interval and the classes that it is over, by label; None and none where test has no such objects."""
    if rule.where is None:
        if label is None:
            return evaluation.overall[rule.name], evaluation.classes
        of_class = evaluation.classes.get(label)
        return (getattr(of_class, rule.name), {label: of_class}) if of_class else (None, {})
    for sliced in evaluation.slices:
        if (sliced.by, sliced.part) == rule.where:
            if label is None:
                return getattr(sliced, rule.name), sliced.classes
            if label in sliced.classes:
                return getattr(sliced.classes[label], rule.name), {label: sliced.classes[label]}
    return None, {}


def _judge_floor(rule: MetricRule, figure: _Figure) -> RuleResult:
    value, bar, tail = figure.value, rule.bound, 1 - rule.confidence
    if value is None:
        return _unmeasured(rule, figure)
    behind = evidence(rule.name, figure.counts)
    proven, high = bounds(value, figure.resamples, behind, tail)
    low = max(0.0, proven - figure.unproven)
    result = partial(
        RuleResult, rule=rule.text, metric=figure.name, value=value, low=low, high=high, bound=bar, unit=""
    )
    says = f"{figure.name} is {value:.3f}"
    if value < bar:
        reason = f"{says}, {bar - value:.3f} short of {bar:g}; {_sure(rule)} it is at most {high:.3f}"
        return result(outcome="rejected", shortfall=bar - value, more_objects=None, reason=reason)
    few = too_few(figure.counts, figure.fewest_units) if bar > 0 else ""
    if low >= bar and not few:
        reason = f"{says}, {_sure(rule)} at least {low:.3f}, and {bar:g} is asked for"
        return result(outcome="accepted", shortfall=None, more_objects=None, reason=reason)
    if proven >= bar and not few:
        surely = f"{_sure(rule)} only at least {low:.3f} while a class is in so few scenes"
        reason = f"{says}, but {surely}: label {more_scenes(figure.lacking_scenes)} with it"
        return result(outcome="undecided", shortfall=bar - low, more_objects=None, reason=reason)
    more = objects_to_decide(value, bar, figure.resamples, behind, tail, fewest_units=figure.fewest_units)
    surely = few or f"{_sure(rule)} only at least {low:.3f}"
    reason = f"{says}, but {surely}, and {bar:g} is asked for: {_needs(more, figure)}"
    low = low if low < bar else bar
    return result(outcome="undecided", shortfall=bar - low, more_objects=more, reason=reason)


def _judge_difference(rule: MetricRule, figure: _Figure, reference: _Figure, *, same: bool = False) -> RuleResult:
    """A target may be worse than its reference by the rule's bound, and surely not by more; `same` is never worse."""
    than = "the checkpoint" if rule.kind == "drop" else "the champion"
    if figure.value is None:
        return _unmeasured(rule, figure)
    if reference.value is None:
        return _uncompared(
            rule, figure, f"{figure.name} is {figure.value:.3f}, and {than} has none: it finds nothing at all"
        )
    behind = difference(*(evidence(rule.name, of.counts) for of in (figure, reference)))
    tail, gain, gains = 1 - rule.confidence, figure.value - reference.value, figure.resamples - reference.resamples
    low, high = bounds(gain, gains, behind, tail)
    few = too_few(figure.counts, figure.fewest_units) if rule.bound < 1 else ""
    if same:
        gain, low, high, few = 0.0, 0.0, 0.0, ""
    result = partial(RuleResult, rule=rule.text, metric=figure.name, unit="")
    if rule.kind == "drop":
        result = partial(result, value=0 - gain, low=0 - high, high=0 - low, bound=rule.bound)
    else:
        result = partial(result, value=gain, low=low, high=high, bound=-rule.bound)
    apart = f"{abs(gain):.3f} {'below' if gain < 0 else 'above'}" if gain else "equal to"
    says = f"{figure.name} is {figure.value:.3f}, {apart} {than}"
    if gain < -rule.bound - _ROUNDING:
        reason = f"{says}, {-rule.bound - gain:.3f} more than the {rule.bound:g} that is allowed"
        return result(outcome="rejected", shortfall=-rule.bound - gain, more_objects=None, reason=reason)
    sure_of = f"at least {low:.3f} above" if low > 0 else f"at most {abs(low):.3f} below"
    surely = f"{_sure(rule)} {sure_of}, and {rule.bound:g} is allowed"
    if low >= -rule.bound - _ROUNDING and not few:
        return result(outcome="accepted", shortfall=None, more_objects=None, reason=f"{says}, {surely}")
    more = objects_to_decide(gain, -rule.bound, gains, behind, tail, fewest_units=figure.fewest_units)
    is_hopeless = more is None and gain <= 0 and not rule.bound
    needs = "no test can show that nothing is lost: allow a little" if is_hopeless else _needs(more, figure)
    reason = f"{says}, but {few or surely}: {needs}"
    return result(outcome="undecided", shortfall=max(0.0, -rule.bound - low), more_objects=more, reason=reason)


def _unmeasured(rule: MetricRule, figure: _Figure) -> RuleResult:
    """No value: test lacks such objects, or there are and nothing at all was predicted."""
    result = partial(RuleResult, rule=rule.text, metric=figure.name, value=None, low=None, high=None, unit="")
    result = partial(result, bound=rule.bound, shortfall=None)
    says = f"{figure.name} cannot be measured"
    if any(of.objects for of in figure.counts):
        return result(outcome="rejected", more_objects=None, reason=f"{says}: nothing was found at all")
    if rule.kind != "floor" or not 0 < rule.bound < 1:
        return result(outcome="undecided", more_objects=None, reason=f"{says}: test holds no such object")
    # So many, all of them right, are the fewest that can support the bar (the exact binomial bound).
    fewest = math.ceil(math.log(1 - rule.confidence) / math.log(rule.bound))
    reason = f"{says}: test holds no such object, and it takes at least {fewest}"
    return result(outcome="undecided", more_objects=fewest, reason=reason)


def _uncompared(
    rule: MetricRule, figure: _Figure, reason: str, outcome: Literal["accepted", "undecided"] = "accepted"
) -> RuleResult:
    """There is nothing to compare with: accepted, unless that is no reason to go without."""
    bound = rule.bound if rule.kind == "drop" else -rule.bound
    nothing = dict.fromkeys(["value", "low", "high", "shortfall", "more_objects"])
    found = {"rule": rule.text, "metric": figure.name, "outcome": outcome, "bound": bound, "unit": "", "reason": reason}
    return RuleResult.model_validate(found | nothing)


def _incomparable(rule: MetricRule, figure: _Figure, compared: Compared) -> RuleResult:
    """A champion of other classes is no bar, and no reason to go without one."""
    reason = (
        f"{figure.name} cannot be compared with the champion, which knows no class that is labelled: "
        f"{compared.left_out}{compared.hint}. Where it is about other things, give what is new a tracking.experiment "
        "of its own"
    )
    return _uncompared(rule, figure, reason, "undecided")


def _sure(rule: MetricRule) -> str:
    return f"at {100 * rule.confidence:g} % confidence"


def _needs(more: int | None, figure: _Figure) -> str:
    if more is None:
        return "too close for a test set of any reasonable size to decide"
    of = f" of {quoted(figure.label)}" if figure.label is not None else ""
    objects, scenes = sum(count.objects for count in figure.counts), max(count.units for count in figure.counts)
    lacking = max(math.ceil(more * scenes / objects - _ROUNDING), figure.lacking_scenes)
    return f"about {max(more, lacking):,} more test objects{of} in {more_scenes(lacking)} could decide it"
