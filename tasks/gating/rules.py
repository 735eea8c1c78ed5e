r"""Rules of the gate: sentences in the use case's words, and what they mean.

recall of "crack" >= 0.95 at 95 % confidence
ap50 of each class >= 0.5
recall of "crack" where size = small >= 0.8
recall of "5\" pipe" >= 0.8
drop of map50 <= 0.02
map50 not worse than champion by 0.01
latency p95 <= 50 ms
size <= 10 MB
peak memory <= 500 MB
"""

import re
from dataclasses import dataclass
from typing import Literal

from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.quoting import QUOTED, quoting_hint, spaced, unquoted

FORMS = __doc__.strip().partition("\n\n")[2]
_UNITS = {"ms": 1.0, "KB": 1e-3, "MB": 1.0, "GB": 1e3}  # in ms and MB

_NUMBER = r"(?P<bound>\d+(?:\.\d+)?|\.\d+)"
_CONFIDENCE = r"(?: at (?P<confidence>\d+(?:\.\d+)?) ?% confidence)?"
_METRIC = (
    r"(?P<name>map50|map50_95|ap50|ap50_95|precision|recall|f1)"
    rf"(?: of (?:(?P<label>{QUOTED})|(?P<each>each class)))?"
    rf'(?: where (?P<by>{QUOTED}|(?!")[^=<>]+?) = (?P<part>{QUOTED}|(?!")[^<>]+?))?'
)
_METRIC_FORMS = {
    "floor": re.compile(rf"{_METRIC} ?>= ?{_NUMBER}{_CONFIDENCE}"),
    "drop": re.compile(rf"drop of {_METRIC} ?<= ?{_NUMBER}{_CONFIDENCE}"),
    "champion": re.compile(rf"{_METRIC} not worse than champion(?: by {_NUMBER})?{_CONFIDENCE}"),
}
_EXAMPLES = 'write as in: map50 >= 0.6, recall of "crack" >= 0.95, latency p95 <= 50 ms'
_CAUSES = [  # what is often written otherwise, outside quotes, and how it is written
    (re.compile(r"[<>]=? ?[\d.]+ ?%"), "write a share as a number from 0 to 1: 0.95 for 95 %"),
    (re.compile(r"[<>](?!=)|=[<>]|[≤≥]|=="), "write >= or <="),
    (
        re.compile(r"(?<!at )\b\d+(?:\.\d+)? ?% conf|\bconfidence (?:of )?\d"),
        "write a confidence as: at 90 % confidence",
    ),
    (
        re.compile(r"\b(?i:m?ap) ?@|\b(?!m?ap50(?:_95)?\b)(?i:m?ap)[\d_]*\b"),
        "write map50 or map50_95, of one class ap50",
    ),
    (re.compile(r"\d,\d"), "write a decimal point: 0.95"),
]
_BUDGET_FORM = re.compile(
    rf"(?P<figure>latency p50|latency p95|latency p99|size|peak memory) ?<= ?{_NUMBER} ?(?P<unit>\w+)"
)


@dataclass(frozen=True)
class MetricRule:
    """A bar for a metric (floor), or for its distance from the checkpoint (drop) or from the champion."""

    text: str
    kind: Literal["floor", "drop", "champion"]
    name: str  # map50, recall, ...
    label: str | None
    each_class: bool
    where: tuple[str, str] | None  # slice: what by, which part
    bound: float  # a share; for drop and champion how much less is still well
    confidence: float  # share, one-sided


@dataclass(frozen=True)
class BudgetRule:
    """A limit on what an artefact costs: measured once, without an interval."""

    text: str
    figure: str  # latency p95, size, peak memory, ...
    bound: float
    unit: Literal["ms", "MB"]


Rule = MetricRule | BudgetRule


def parse_rules(texts: list[str], confidence: float) -> list[Rule]:
    """Read all rules; `confidence` (a share) is of those that name none.

    Raises PipelineError that names every rule that is not understood, and lists the forms there are.
    """
    rules: list[Rule] = []
    faults = []
    for text in texts:
        try:
            rules.append(_parse(text, confidence))
        except ValueError as error:
            faults.append(f"'{text}': {error}")
    if faults:
        raise PipelineError(
            "rules are not understood", f"params.yaml: gate.rules\n{first_of(faults)}\n", f"Forms are:\n{FORMS}"
        )
    return rules


def _parse(text: str, confidence: float) -> Rule:
    plain = spaced(text)
    budget = _BUDGET_FORM.fullmatch(plain)
    if budget:
        return _budget(plain, budget)
    for kind, form in _METRIC_FORMS.items():
        found = form.fullmatch(plain)
        if found:
            return _metric(plain, kind, found, confidence)  # type: ignore[arg-type]
    causes = [cause for form, cause in _CAUSES if form.search(re.sub(QUOTED, '""', plain))]
    hint = quoting_hint(plain)
    raise ValueError(f"not of any form; {'; '.join(causes if hint is None else [hint, *causes]) or _EXAMPLES}")


def _budget(text: str, found: re.Match[str]) -> BudgetRule:
    unit: Literal["ms", "MB"] = "ms" if found["figure"].startswith("latency") else "MB"
    units = ["ms"] if unit == "ms" else ["KB", "MB", "GB"]
    if found["unit"] not in units:
        raise ValueError(f"{found['figure']} is in {' or '.join(units)}")
    return BudgetRule(text, found["figure"], float(found["bound"]) * _UNITS[found["unit"]], unit)


def _metric(
    text: str, kind: Literal["floor", "drop", "champion"], found: re.Match[str], confidence: float
) -> MetricRule:
    name, of_class = found["name"], bool(found["label"] or found["each"])
    if name.startswith("map") and (of_class or found["by"]):
        raise ValueError(f"{name} is over all classes: write {name[1:]} for one class or a slice")
    if name.startswith("ap") and not of_class and not found["by"]:
        raise ValueError(f'write m{name}, or {name} of "label", or {name} of each class')
    if found["by"] and name not in ("recall", "ap50"):
        raise ValueError("slices are measured in recall and ap50")
    bound = float(found["bound"] or 0)
    if bound > 1:
        raise ValueError("a metric is a number from 0 to 1")
    sure = float(found["confidence"]) / 100 if found["confidence"] else confidence
    if not 0.5 <= sure < 1:
        raise ValueError("confidence is from 50 % to below 100 %")
    where = (_plain(found["by"]), _plain(found["part"])) if found["by"] else None
    label = found["label"] and unquoted(found["label"])
    return MetricRule(text, kind, name, label, bool(found["each"]), where, bound, sure)


def _plain(text: str) -> str:
    return unquoted(text) if text.startswith('"') else text
