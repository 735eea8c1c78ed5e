"""What keeps rules from being applied, told before anything runs: targets, resamples, slices and classes."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from tasks.contracts.bundle import CHAMPION, CHECKPOINT
from tasks.contracts.errors import PipelineError
from tasks.contracts.quoting import quoted
from tasks.contracts.use_case import UseCase
from tasks.gating.rules import MetricRule, Rule, parse_rules
from tasks.metrics.operating_points import parse_operating_point
from tasks.metrics.slices import SIZES
from tasks.metrics.use_case import metric_name

FEWEST_IN_TAIL = 5  # resamples beyond a bound; fewer, and it is a matter of luck where they lie


def understood(texts: Sequence[str], confidence: float) -> tuple[list[Rule], list[str]]:
    """The rules that can be read, and what is wrong with the others."""
    rules, faults = [], []
    for text in texts:
        try:
            rules += parse_rules([text], confidence)
        except PipelineError as error:
            faults += [f"gate.rules: {fault}" for fault in error.faults]
    return rules, faults


def point_faults(use_case: UseCase) -> Iterator[str]:
    """Operating points that are not understood."""
    points = {"use_case.operating_point": use_case.operating_point}
    points |= {f"use_case.operating_points.{label}": text for label, text in use_case.operating_points.items()}
    for where, text in points.items():
        try:
            parse_operating_point(text, where)
        except PipelineError as error:
            yield from error.faults


def target_faults(rules: Iterable[Rule], use_case: UseCase, targets: Sequence[str]) -> Iterator[str]:
    """Targets that rules or the use case take and that are not made."""
    if use_case.target not in set(targets) - {CHAMPION}:
        made = ", ".join(target for target in targets if target != CHAMPION)
        yield f"use_case.target is {use_case.target!r}, which is not in export.targets: {made or 'none'}"
    for rule in rules:
        if isinstance(rule, MetricRule) and (lacking := lacking_reference(rule, targets)):
            yield f"gate.rules: {rule.text}: {lacking}"


def lacking_reference(rule: MetricRule, targets: Iterable[str]) -> str:
    """Whom a rule compares with and who is not there; empty if all are."""
    if rule.kind == "drop" and CHECKPOINT not in targets:
        return "the checkpoint is not evaluated; add pytorch to export.targets"
    if rule.kind == "champion" and CHAMPION not in targets:
        return "the champion is not evaluated; add champion to export.targets"
    return ""


def too_few_resamples(rule: MetricRule, resamples: int) -> str:
    """Why so many resamples cannot bear the rule's confidence; empty if they can."""
    tail = 1 - rule.confidence
    if tail * resamples >= FEWEST_IN_TAIL - 1e-6:
        return ""
    enough = math.ceil(FEWEST_IN_TAIL / tail - 1e-6)
    return f"{resamples:,} resamples cannot be that sure; set evaluate.resamples to {enough:,} or more"


def resample_faults(rules: Iterable[Rule], resamples: int) -> Iterator[str]:
    """Rules that are too sure for the resamples."""
    for rule in rules:
        if isinstance(rule, MetricRule) and (few := too_few_resamples(rule, resamples)):
            yield f"gate.rules: {rule.text}: {few}"


def slice_faults(rules: Iterable[Rule], attributes: Sequence[str]) -> Iterator[str]:
    """Slices that nothing will measure."""
    known = ["size", "source", *attributes]
    for rule in rules:
        if not isinstance(rule, MetricRule) or rule.where is None:
            continue
        by, part = rule.where
        if by not in known:
            yield f"gate.rules: {rule.text}: no slices by {by!r}{_nearest(by, known)}; see evaluate.slice_attributes"
        elif by == "size" and part not in SIZES:
            yield f"gate.rules: {rule.text}: no size {part!r}; sizes are {', '.join(SIZES)}"


def class_faults(
    rules: Iterable[Rule], use_case: UseCase, classes: Sequence[str] | None, rename: Mapping[str, str]
) -> Iterator[str]:
    """Classes that rules or the use case name and that do not exist, or that parse.rename calls otherwise.

    classes: None where they are not known yet.
    """
    for where, label in _named_classes(rules, use_case):
        if classes is not None and label in classes:
            continue
        if label in rename and label not in rename.values():
            yield f"{where}: no class {label!r}: parse.rename turns it into {rename[label]!r}; write that name"
        elif classes is not None:
            yield f"{where}: no class {label!r}{_nearest(label, classes)}; classes are {', '.join(classes) or 'none'}"


def classes_unchecked(rules: Iterable[Rule], use_case: UseCase) -> Iterator[str]:
    """Says which classes rules and the use case name, where nobody knows yet what is labelled. No fault."""
    named = dict.fromkeys(label for _, label in _named_classes(rules, use_case))
    if named:
        labels = ", ".join(map(quoted, named))
        yield f"classes that rules and use_case name are not checked before labels are read; split does it: {labels}"


def _named_classes(rules: Iterable[Rule], use_case: UseCase) -> Iterator[tuple[str, str]]:
    """Where a class is named, and the class."""
    named = [(f"gate.rules: {rule.text}", rule.label) for rule in rules if isinstance(rule, MetricRule)]
    named.append(("use_case.metric", use_case.label))
    named += [("use_case.operating_points", label) for label in use_case.operating_points]
    return ((where, label) for where, label in named if label is not None)


def attribute_faults(attributes: Iterable[str], known: Sequence[str]) -> Iterator[str]:
    """Attributes to slice by that no object has."""
    for name in attributes:
        if name not in known:
            there = ", ".join(known) or "none"
            yield f"evaluate.slice_attributes: no object has {name!r}{_nearest(name, known)}; attributes are {there}"


def part_faults(rules: Iterable[Rule], values: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Values of attributes that rules name and that no object has; `values`, by attribute, are those that there are."""
    for rule in rules:
        if not isinstance(rule, MetricRule) or rule.where is None or rule.where[0] not in values:
            continue
        by, part = rule.where
        there = values[by]
        if part not in there:
            shown = ", ".join(there[:20]) or "none"
            yield f"gate.rules: {rule.text}: no {by} is {part!r}{_nearest(part, there)}; there are {shown}"


def recall_alone(rules: Sequence[Rule]) -> Iterator[str]:
    """Rules on recall beside which none holds precision (or F1): a target that reports everything would pass them.

    No fault, but worth a warning. Rules on AP do not help: it is the same at every operating threshold.
    """
    beside = [
        rule
        for rule in rules
        if isinstance(rule, MetricRule) and rule.name in ("precision", "f1") and rule.where is None
    ]
    for rule in rules:
        if not isinstance(rule, MetricRule) or rule.name != "recall":
            continue
        if not any(other.each_class or other.label in (None, rule.label) for other in beside):
            wanted = "precision of each class" if rule.each_class else metric_name("precision", rule.label)
            yield (
                f"gate.rules: {rule.text}: no rule holds precision beside it, so a threshold of zero would pass; "
                f"add one such as {wanted} >= 0.5"
            )


def metric_without_rule(rules: Sequence[Rule], use_case: UseCase | None) -> Iterator[str]:
    """Says where rules leave out what the use case is for: one could be accepted whose metric is zero.

    AP counts at any overlap, a mean or one class of it by a rule on each class; F1 counts for precision and recall.
    """
    if use_case is None or not rules:
        return
    name = use_case.metric.partition(" of ")[0]
    near = {"f1", name} if "ap" not in name else {"map50", "map50_95", "ap50", "ap50_95"}
    about = [rule for rule in rules if isinstance(rule, MetricRule) and rule.where is None and rule.name in near]
    if any(rule.each_class or rule.label == use_case.label for rule in about):
        return
    yield (
        f"gate.rules: none is about use_case.metric, {use_case.metric}: a detector could be accepted whatever it is; "
        f"add one such as {use_case.metric} >= 0.5"
    )


def _nearest(name: str, known: Sequence[str]) -> str:
    by_small = {each.casefold(): each for each in known}
    near = get_close_matches(name.casefold(), by_small, n=1)
    return f", the nearest is {by_small[near[0]]!r}" if near else ""
