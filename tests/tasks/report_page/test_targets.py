"""Targets against each other and against their bounds."""

import pandas as pd
import pytest

from tasks.contracts.evaluation import Evaluation, Interval
from tasks.contracts.verdict import RuleResult
from tasks.report_page.inputs import MeasuredTarget
from tasks.report_page.targets import Gauge, difference, gauge


def measured(value: float | None, resamples: list[float], test_sha256: str = "same") -> MeasuredTarget:
    figure = Interval(value=value, low=None, high=None)
    evaluation = Evaluation(target="onnx", overall={"map50": figure}, test_sha256=test_sha256)
    return MeasuredTarget(evaluation, None, None, pd.DataFrame({"map50": resamples}), pd.DataFrame())


def between(_metric: str, _one: MeasuredTarget, _other: MeasuredTarget) -> tuple[float, float]:
    return -0.2, 0.3


def test_difference_has_the_interval_that_it_is_given_and_who_is_ahead_in_the_resamples() -> None:
    delta = difference(measured(0.8, [0.7, 0.8, 0.9, 0.8]), measured(0.7, [0.6, 0.7, 0.9, 0.9]), "map50", between)
    assert delta is not None
    assert delta.value == pytest.approx(0.1)
    assert (delta.low, delta.high) == (-0.2, 0.3)
    assert (delta.ahead, delta.equal) == (2 / 4, 1 / 4)  # ahead, ahead, equal, behind


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(measured(0.8, [0.8]), measured(0.7, [0.7], "another test split"), id="other test images"),
        pytest.param(measured(0.8, []), measured(0.7, []), id="no resamples"),
    ],
)
def test_difference_without_pairs_has_no_interval(first: MeasuredTarget, second: MeasuredTarget) -> None:
    delta = difference(first, second, "map50", between)
    assert delta is not None
    assert delta.low is None
    assert delta.ahead is delta.equal is None


@pytest.mark.parametrize("metric", ["map50", "recall", 'recall of "crack"', "latency p95"])
def test_what_was_not_measured_has_no_difference(metric: str) -> None:
    assert difference(measured(None, []), measured(0.7, []), metric, between) is None
    assert difference(measured(0.7, []), None, metric, between) is None


def rule(value: float | None, low: float | None, high: float | None, bound: float, unit: str = "") -> RuleResult:
    return RuleResult(
        rule="", metric="", outcome="accepted", value=value, low=low, high=high, bound=bound, unit=unit,
        shortfall=None, more_objects=None, reason="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("judged", "drawn"),
    [
        pytest.param(rule(0.9, 0.8, 1.0, 0.95), Gauge(80, 60, 100, 90), id="metric near one"),
        pytest.param(rule(0.4, 0.3, 0.5, 0.6), Gauge(40, 30, 50, 60), id="metric"),
        pytest.param(rule(11.5, None, None, 20, "ms"), Gauge(50, 50, 50, 2000 / 23), id="budget"),
        pytest.param(rule(None, None, None, 0.6), None, id="not measured"),
        pytest.param(rule(0.0, 0.0, 0.0, 0.0), None, id="nothing to show"),
    ],
)
def test_gauge(judged: RuleResult, drawn: Gauge | None) -> None:
    place = gauge(judged)
    if drawn is None:
        assert place is None
    else:
        assert place is not None
        assert (place.value, place.low, place.high, place.bound) == pytest.approx(
            (drawn.value, drawn.low, drawn.high, drawn.bound)
        )


def test_gauge_of_a_difference_holds_zero_and_both_ends() -> None:
    place = gauge(rule(-0.02, -0.06, 0.01, -0.05))
    assert place is not None
    assert 0 < place.low < place.bound < place.value < place.high < 100
