"""The gate's sentences: every form is read, and whatever is not is refused with what there is."""

import pytest

from tasks.contracts.errors import PipelineError
from tasks.contracts.quoting import spaced
from tasks.gating.rule_faults import recall_alone
from tasks.gating.rules import FORMS, BudgetRule, MetricRule, parse_rules

READ = {
    "map50 >= 0.8": ("floor", "map50", None, False, None, 0.8, 0.95),
    "map50_95>=.5 at 90 % confidence": ("floor", "map50_95", None, False, None, 0.5, 0.9),
    'recall of "crack" >= 0.95 at 99.5% confidence': ("floor", "recall", "crack", False, None, 0.95, 0.995),
    'recall  of "hair line"   >= 1': ("floor", "recall", "hair line", False, None, 1.0, 0.95),
    "ap50 of each class >= 0.5": ("floor", "ap50", None, True, None, 0.5, 0.95),
    "ap50_95 of each class >= 0.5": ("floor", "ap50_95", None, True, None, 0.5, 0.95),
    "f1 >= 0.7": ("floor", "f1", None, False, None, 0.7, 0.95),
    'recall of "crack" where size = small >= 0.8': ("floor", "recall", "crack", False, ("size", "small"), 0.8, 0.95),
    "ap50 where source = line 2/day=3.zip >= 0.8": (
        "floor",
        "ap50",
        None,
        False,
        ("source", "line 2/day=3.zip"),
        0.8,
        0.95,
    ),
    r'recall of "5\" pipe" >= 0.8': ("floor", "recall", '5" pipe', False, None, 0.8, 0.95),
    'f1  of "two  spaces "  >= 0.8': ("floor", "f1", "two  spaces ", False, None, 0.8, 0.95),
    r'drop of f1 of "a\\b\n" <= 0.1': ("drop", "f1", "a\\b\n", False, None, 0.1, 0.95),
    'f1 of "a of b >= 0.5" not worse than champion': ("champion", "f1", "a of b >= 0.5", False, None, 0.0, 0.95),
    r'recall where "a = b" = "5\" >  3" >= 0.8': ("floor", "recall", None, False, ("a = b", '5" >  3'), 0.8, 0.95),
    "recall of each class where lit = no >= 0.8": ("floor", "recall", None, True, ("lit", "no"), 0.8, 0.95),
    "drop of map50 <= 0.02": ("drop", "map50", None, False, None, 0.02, 0.95),
    "drop of ap50 of each class <= 0.05 at 80 % confidence": ("drop", "ap50", None, True, None, 0.05, 0.8),
    "map50 not worse than champion by 0.01": ("champion", "map50", None, False, None, 0.01, 0.95),
    'recall of "crack" not worse than champion': ("champion", "recall", "crack", False, None, 0.0, 0.95),
}


@pytest.mark.parametrize(("text", "expected"), READ.items(), ids=READ.keys())
def test_rule_on_a_metric_is_read(text: str, expected: tuple[object, ...]) -> None:
    (rule,) = parse_rules([text], 0.95)
    assert isinstance(rule, MetricRule)
    read = (rule.kind, rule.name, rule.label, rule.each_class, rule.where, rule.bound, rule.confidence)
    assert read == expected
    assert rule.text == spaced(text)


@pytest.mark.parametrize(
    ("text", "figure", "bound", "unit"),
    [
        ("latency p95 <= 50 ms", "latency p95", 50.0, "ms"),
        ("latency p50<=7.5ms", "latency p50", 7.5, "ms"),
        ("size <= 10 MB", "size", 10.0, "MB"),
        ("size <= 900 KB", "size", 0.9, "MB"),
        ("peak memory <= 1.5 GB", "peak memory", 1500.0, "MB"),
    ],
)
def test_budget_is_read_in_ms_and_mb(text: str, figure: str, bound: float, unit: str) -> None:
    assert parse_rules([text], 0.95) == [BudgetRule(text, figure, pytest.approx(bound), unit)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("map50 > 0.8", "not of any form"),
        ("mAP50 >= 0.8", "not of any form"),
        ("map50 <= 0.8", "not of any form"),
        ("recall of crack >= 0.8", "not of any form"),
        ("recall of crack >= 0.8", 'write its label as "crack"'),
        ('recall of "5" pipe" >= 0.5', r'write its label as "5\" pipe"'),
        (r'drop of recall of "C:\dir" <= 0.5', r'write its label as "C:\\dir"'),
        ('f1 of 5" pipe where size = small not worse than champion', r'write its label as "5\" pipe"'),
        ("map50 >= 80", "a metric is a number from 0 to 1"),
        ("map50 >= 0.8 at 100 % confidence", "confidence is from 50 % to below 100 %"),
        ('map50 of "crack" >= 0.8', "write ap50 for one class or a slice"),
        ("ap50 >= 0.8", "write map50, or ap50 of "),
        ("f1 where size = small >= 0.8", "slices are measured in recall and ap50"),
        ("recall where size = small >= 0.8 >= 0.9", "not of any form"),
        ("latency p95 <= 50 MB", "latency p95 is in ms"),
        ("size <= 50 ms", "size is in KB or MB or GB"),
        ("latency mean <= 50 ms", "not of any form"),
    ],
)
def test_rule_that_is_not_understood_says_why_and_lists_the_forms(text: str, why: str) -> None:
    with pytest.raises(PipelineError) as caught:
        parse_rules(["map50 >= 0.5", text], 0.95)
    assert f"'{text}': " in caught.value.where
    assert why in caught.value.where
    assert FORMS in caught.value.hint


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("map50 >= 95%", "0.95 for 95 %"),
        ('drop of recall of "a" <= 5 %', "0.95 for 95 %"),
        ("map50 > 0.3", "write >= or <="),
        ("map50 => 0.3", "write >= or <="),
        ("latency p95 < 50 ms", "write >= or <="),
        ("map50 ≥ 0.3", "write >= or <="),
        ("map50 >= 0.3 with 90% confidence", "at 90 % confidence"),
        ("map50 >= 0.3 at confidence 90", "at 90 % confidence"),
        ("mAP@50 >= 0.5", "write map50 or map50_95"),
        ("mAP50 >= 0.5", "write map50 or map50_95"),
        ("mAP@0.5:0.95 >= 0.5", "write map50 or map50_95"),
        ("map >= 0.5", "write map50 or map50_95"),
        ("map50 >= 0,5", "write a decimal point"),
    ],
)
def test_rule_that_is_written_as_elsewhere_says_how_it_is_written_here(text: str, cause: str) -> None:
    with pytest.raises(PipelineError) as refused:
        parse_rules([text], 0.95)
    assert refused.value.faults == [f"'{text}': not of any form; {refused.value.faults[0].partition('; ')[2]}"]
    assert refused.value.faults[0].count(cause) == 1
    assert refused.value.faults[0].count("write") == 1


@pytest.mark.parametrize("text", ['latency mean of "95 % > mAP" <= 50 ms', "speed >= 5"])
def test_rule_without_such_a_cause_shows_examples(text: str) -> None:
    with pytest.raises(PipelineError, match="write as in: map50"):
        parse_rules([text], 0.95)


def test_all_rules_that_are_not_understood_are_named_at_once() -> None:
    with pytest.raises(PipelineError) as caught:
        parse_rules(["one", "map50 >= 0.5", "two"], 0.95)
    assert "'one'" in caught.value.where
    assert "'two'" in caught.value.where
    assert "'map50" not in caught.value.where


def test_every_form_in_the_help_is_read() -> None:
    forms = [line.strip() for line in FORMS.splitlines()]
    assert len(forms) == 9
    assert len(parse_rules(forms, 0.95)) == 9


@pytest.mark.parametrize(
    ("rules", "warned"),
    [
        (['recall of "crack" >= 0.9'], 'add one such as precision of "crack" >= 0.5'),
        (
            ["recall not worse than champion", "map50 >= 0.5", "latency p95 <= 50 ms"],
            "add one such as precision >= 0.5",
        ),
        (
            ["recall of each class >= 0.9", 'precision of "crack" >= 0.5'],
            "add one such as precision of each class >= 0.5",
        ),
        (['recall of "crack" where size = small >= 0.9', 'f1 of "bolt" >= 0.5'], 'precision of "crack"'),
        (['recall of "crack" >= 0.9', "precision of each class >= 0.5"], None),
        (['recall of "crack" >= 0.9', 'f1 of "crack" >= 0.5'], None),
        (["recall >= 0.9", "precision not worse than champion by 0.1"], None),
        (["map50 >= 0.9"], None),
    ],
)
def test_recall_that_stands_alone_is_warned_of(rules: list[str], warned: str | None) -> None:
    told = list(recall_alone(parse_rules(rules, 0.95)))
    assert (warned in told[0]) if warned else not told
