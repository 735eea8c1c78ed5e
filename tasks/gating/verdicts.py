"""The verdict on all targets, as gate gives it and publish takes it again; and whether two verdicts are the same."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from tasks.contracts.bundle import CHAMPION, CHECKPOINT
from tasks.contracts.evaluation import Evaluation
from tasks.contracts.record import read_record
from tasks.contracts.verdict import Outcome, RuleResult, TargetVerdict, Verdict
from tasks.gating.judgement import Evaluated, judge
from tasks.gating.renames import NO_RENAME, Rename
from tasks.gating.rules import Rule
from tasks.gating.same_predictions import read_confident

_FIGURES = ("value", "low", "high", "bound", "shortfall")


def read_evaluated(folder: Path, names: Sequence[str]) -> dict[str, Evaluated]:
    """What was evaluated of these targets; a champion that does not exist yet is absent in its evaluation."""
    return {
        name: Evaluated(
            read_record(folder / name / "evaluation.json", Evaluation),
            pd.read_parquet(folder / name / "resamples.parquet"),
            read_confident(folder / name),
        )
        for name in names
    }


def references_of(targets: Mapping[str, Evaluated], champion: Evaluated | None) -> dict[str, Evaluated]:
    """What targets are compared with, as far as it was evaluated: the checkpoint and the champion."""
    references = {CHECKPOINT: targets[CHECKPOINT]} if CHECKPOINT in targets else {}
    if champion is not None and champion.evaluation.absent is None:
        references[CHAMPION] = champion
    return references


def decide(
    deciding: str,
    rules: list[Rule],
    targets: Mapping[str, Evaluated],
    champion: Evaluated | None,
    rename: Rename = NO_RENAME,
) -> Verdict:
    """Judge every target by every rule; `deciding` is the target whose verdict is the release's.

    rename: parse.rename; reasons alone depend on it.
    """
    references = references_of(targets, champion)
    verdicts = {name: _judge_all(rules, target, references, rename) for name, target in targets.items()}
    decided = verdicts[deciding]
    accepted = decided.outcome == "accepted"
    return Verdict(
        accepted=accepted,
        target=deciding,
        outcome=decided.outcome,
        reason=_reason(deciding, decided, targets[deciding].evaluation.hints),
        targets=verdicts,
        released=[name for name, verdict in verdicts.items() if verdict.outcome == "accepted"] if accepted else [],
        classes=list(targets[deciding].evaluation.classes),
        champion_version=champion.evaluation.registry_version if champion else None,
    )


def _judge_all(rules: list[Rule], target: Evaluated, references: dict[str, Evaluated], rename: Rename) -> TargetVerdict:
    results = [result for rule in rules for result in judge(rule, target, references, rename)]
    outcomes = {result.outcome for result in results}
    outcome: Outcome = "rejected" if "rejected" in outcomes else "undecided" if "undecided" in outcomes else "accepted"
    return TargetVerdict(outcome=outcome, rules=results)


def _reason(name: str, verdict: TargetVerdict, hints: list[str]) -> str:
    if verdict.outcome == "accepted":
        return f"{name} passes all {len(verdict.rules)} rules"
    reasons = [result.reason for result in verdict.rules if result.outcome == verdict.outcome]
    return f"{name} is {verdict.outcome}: {'; '.join([*reasons, *hints])}"


def verdict_faults(verdict: Verdict, again: Verdict) -> Iterator[str]:
    """In what a verdict differs from the one that the same evaluations give again; figures to nine digits."""
    for field in ("accepted", "target", "outcome", "champion_version"):
        said, is_so = getattr(verdict, field), getattr(again, field)
        if said != is_so:
            yield f"{field} is {said!r}, and the evaluations say {is_so!r}"
    if sorted(verdict.released) != sorted(again.released):
        yield f"released are {_listed(verdict.released)}, and the evaluations allow {_listed(again.released)}"
    for name in sorted({*verdict.targets, *again.targets}):
        said_of, is_of = verdict.targets.get(name), again.targets.get(name)
        if said_of is None or is_of is None:
            yield f"{name} is {'not judged' if said_of is None else 'judged, and was not evaluated'}"
        elif said_of.outcome != is_of.outcome:
            yield f"{name} is {said_of.outcome!r}, and its evaluation says {is_of.outcome!r}"
        else:
            yield from _rule_faults(name, said_of, is_of)


def _rule_faults(name: str, verdict: TargetVerdict, again: TargetVerdict) -> Iterator[str]:
    for said, is_so in zip_longest(verdict.rules, again.rules):
        if said is None or is_so is None:
            yield f"{name} is judged by {len(verdict.rules)} rules, and there are {len(again.rules)}"
            return
        if not _same(said, is_so):
            yield f"{name}: {is_so.rule!r} gives another result on its evaluation: {is_so.outcome}, {is_so.reason}"


def _same(one: RuleResult, other: RuleResult) -> bool:
    """Reasons are left out: a last digit may round either way on another machine."""
    words = all(getattr(one, field) == getattr(other, field) for field in ("rule", "metric", "outcome", "unit"))
    return words and all(_close(getattr(one, field), getattr(other, field)) for field in _FIGURES)


def _close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
