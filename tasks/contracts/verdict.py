"""`reports/verdict.json`: which targets may go out, and why."""

from typing import Literal

from tasks.contracts.record import Record

Outcome = Literal["accepted", "rejected", "undecided"]


class RuleResult(Record):
    """One rule of `gate.rules` on one target."""

    rule: str  # as written in params, e.g. recall of "crack" >= 0.95 at 95 % confidence
    metric: str
    outcome: Outcome
    value: float | None
    low: float | None  # of the interval at the rule's confidence
    high: float | None
    bound: float
    unit: str  # "", "ms", "MB"
    shortfall: float | None  # by how much the deciding figure misses the bound; null when accepted
    more_objects: int | None  # undecided only: how many more test objects could decide it
    reason: str  # one sentence for people


class TargetVerdict(Record):
    """Accepted if every rule is; rejected if one is rejected; undecided otherwise."""

    outcome: Outcome
    rules: list[RuleResult]


class Verdict(Record):
    """The release goes out if `target` (use_case.target) is accepted; other accepted targets go out with it."""

    accepted: bool
    target: str
    outcome: Outcome
    reason: str
    targets: dict[str, TargetVerdict]
    released: list[str]  # accepted targets, empty behind a rejection
    classes: list[str] = []  # of `target`; empty in verdicts of earlier versions
    champion_version: str | None  # the registry version that was compared with; null: none yet
    rules: list[str] = []  # gate.rules, as params had them
    confidence: float | None = None  # gate.confidence, percent
    evaluations_sha256: dict[str, str] = {}  # target -> of the whole folder that evaluate wrote for it


def three_digits(value: float) -> str:
    """A figure for people, without an exponent where it is large: 0.985, 12.3, 1,935."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"
