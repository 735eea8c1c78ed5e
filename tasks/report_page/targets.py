"""What the targets are worth side by side, and against the checkpoint and the champion."""

import math
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from tasks.contracts.bundle import CHAMPION, CHECKPOINT
from tasks.contracts.evaluation import Evaluation, Interval
from tasks.contracts.quoting import unquoted
from tasks.contracts.use_case import METRIC
from tasks.contracts.verdict import RuleResult
from tasks.report_page.accuracy_charts import interval_chart, tradeoff_chart
from tasks.report_page.formatting import HEADLINES, title
from tasks.report_page.inputs import Between, MeasuredTarget, ReportInputs


@dataclass(frozen=True)
class Difference:
    """One target's metric less another's, over the same bootstrap resamples."""

    value: float | None
    low: float | None  # two-sided 95 % interval
    high: float | None
    ahead: float | None  # share of the resamples in which the first is
    equal: float | None  # share in which neither is


@dataclass(frozen=True)
class Gauge:
    """A rule's figure, interval and bound as places on a scale of 0 to 100."""

    value: float
    low: float
    high: float
    bound: float


def figure(evaluation: Evaluation, metric: str) -> Interval | None:
    """The measured value of a metric as params name it: map50, or recall of "crack"; None where there is none."""
    named = METRIC.fullmatch(metric)
    if named is None:
        return None
    if named["label"] is None:
        return evaluation.overall.get(metric)
    of_class = evaluation.classes.get(unquoted(named["label"]))
    found = getattr(of_class, named["name"], None)
    return found if isinstance(found, Interval) else None


def difference(
    first: MeasuredTarget, second: MeasuredTarget | None, metric: str, between: Between
) -> Difference | None:
    """How far `first` is from `second`; None where one of them was not measured."""
    if second is None:
        return None
    one, other = figure(first.evaluation, metric), figure(second.evaluation, metric)
    if one is None or other is None or one.value is None or other.value is None:
        return None
    value = one.value - other.value
    # Resamples pair only where both were drawn from the same test images and truth.
    same_test = first.evaluation.test_sha256 == second.evaluation.test_sha256
    if not same_test or metric not in first.resamples or metric not in second.resamples:
        return Difference(value, None, None, None, None)
    paired = first.resamples[metric].to_numpy(float) - second.resamples[metric].to_numpy(float)
    paired = paired[np.isfinite(paired)]
    if not len(paired):
        return Difference(value, None, None, None, None)
    low, high = between(metric, first, second)
    return Difference(value, low, high, float((paired > 0).mean()), float((paired == 0).mean()))


def drops(inputs: ReportInputs) -> dict[str, Difference | None]:
    """Each artefact's difference from the checkpoint that it was made of, on the use case's metric."""
    checkpoint = inputs.targets.get(CHECKPOINT)
    return {
        name: None
        if name in (CHECKPOINT, CHAMPION)
        else difference(target, checkpoint, inputs.use_case.metric, inputs.between)
        for name, target in inputs.targets.items()
    }


def against_champion(inputs: ReportInputs) -> dict[str, Difference | None]:
    """The live target less the champion, for every headline metric and the use case's own."""
    live, champion = inputs.live, inputs.targets.get(CHAMPION)
    metrics = dict.fromkeys([inputs.use_case.metric, *HEADLINES])
    return {metric: difference(live, champion, metric, inputs.between) for metric in metrics} if live else {}


def gauge(rule: RuleResult) -> Gauge | None:
    """Where a rule's figure stands against its bound; None where nothing was measured."""
    if rule.value is None or not math.isfinite(rule.value):
        return None
    low = rule.value if rule.low is None else rule.low
    high = rule.value if rule.high is None else rule.high
    drawn = [rule.value, low, high, rule.bound]
    start, end = min(0.0, *drawn), max(drawn)
    if not rule.unit and start == 0 and 0.3 < end <= 1:
        start, end = 0.5 if min(drawn) > 0.5 else 0.0, 1.0  # a metric
    else:
        # A budget or a difference: a little beyond what there is to show, zero included.
        room = 0.15 * (max(end, 0.0) - start)
        start, end = start - room if start < 0 else 0.0, max(end, 0.0) + room
    if end <= start:
        return None
    value, low, high, bound = (100 * (place - start) / (end - start) for place in (rule.value, low, high, rule.bound))
    return Gauge(value, low, high, bound)


def targets_chart(inputs: ReportInputs) -> Markup | None:
    """The use case's metric of every measured target."""
    metric = inputs.use_case.metric
    rows = [(name, figure(target.evaluation, metric)) for name, target in inputs.measured.items()]
    drawn = [(name, interval) for name, interval in rows if interval is not None]
    if not any(interval.value is not None for _, interval in drawn):
        return None
    alt = f"{title(metric)} of each target with its 95 % interval; the figures stand in the table"
    return interval_chart(drawn, alt, title(metric), highlighted=inputs.verdict.target)


def latency_chart(inputs: ReportInputs) -> Markup | None:
    """The use case's metric over latency; None with fewer than two targets to compare."""
    metric = inputs.use_case.metric
    points = []
    for name, target in inputs.measured.items():
        interval, latency = figure(target.evaluation, metric), target.evaluation.latency
        if interval is not None and interval.value is not None and latency is not None:
            points.append((name, latency.p50_ms, interval.value, interval))
    if len(points) < 2:
        return None
    alt = f"{title(metric)} over median latency of each target; the figures stand in the table"
    return tradeoff_chart(points, alt, title(metric), highlighted=inputs.verdict.target)
