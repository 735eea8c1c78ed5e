"""What a rule on latency, size or memory says of a target."""

from functools import partial

from tasks.contracts.evaluation import Evaluation
from tasks.contracts.verdict import RuleResult, three_digits
from tasks.gating.rules import BudgetRule


def judge_budget(rule: BudgetRule, evaluation: Evaluation) -> RuleResult:
    """Measured once and compared with the bound; a latency by its rounds, and undecided where the machine was busy."""
    value, (low, high), busy = _cost(rule.figure, evaluation), *_steadiness(rule.figure, evaluation)
    result = partial(
        RuleResult,
        rule=rule.text,
        metric=rule.figure,
        value=value,
        low=low,
        high=high,
        bound=rule.bound,
        unit=rule.unit,
    )
    says = f"{rule.figure} is {three_digits(value)} {rule.unit}"
    highest = value if high is None else max(value, high)
    if highest <= rule.bound:
        reason = f"{says}, and {rule.bound:,.10g} {rule.unit} is allowed"
        return result(outcome="accepted", shortfall=None, more_objects=None, reason=reason)
    if busy:
        reason = f"{says} on a busy machine: {busy}; run evaluate again where nothing else runs"
        return result(outcome="undecided", shortfall=highest - rule.bound, more_objects=None, reason=reason)
    if value <= rule.bound:
        reason = (
            f"{says}, but over its rounds up to {three_digits(highest)} {rule.unit}, and {rule.bound:,.10g} is allowed"
        )
        return result(outcome="undecided", shortfall=highest - rule.bound, more_objects=None, reason=reason)
    over = value - rule.bound
    reason = f"{says}, {three_digits(over)} {rule.unit} over the {rule.bound:,.10g} {rule.unit} that is allowed"
    return result(outcome="rejected", shortfall=over, more_objects=None, reason=reason)


def _steadiness(figure: str, evaluation: Evaluation) -> tuple[tuple[float, float] | tuple[None, None], str]:
    """The interval of a latency over its rounds, and why it is the machine's rather than the artefact's, if it is."""
    latency = evaluation.latency
    if latency is None or not figure.startswith("latency"):
        return (None, None), ""
    intervals = {"latency p50": latency.p50_interval_ms, "latency p95": latency.p95_interval_ms}
    return intervals.get(figure) or (None, None), latency.busy


def _cost(figure: str, evaluation: Evaluation) -> float:
    latency = evaluation.latency
    assert latency is not None, "evaluate measures it on every bundle"
    assert evaluation.peak_memory_mb is not None
    return {
        "latency p50": latency.p50_ms,
        "latency p95": latency.p95_ms,
        "latency p99": latency.p99_ms,
        "size": evaluation.size_bytes / 1e6,
        "peak memory": evaluation.peak_memory_mb,
    }[figure]
