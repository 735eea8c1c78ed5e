"""Whatever a label is called, metrics and rules can name it, and errors show how."""

import pytest
from pydantic import ValidationError

from tasks.contracts.quoting import quoted, unquoted, written
from tasks.contracts.use_case import METRIC, UseCase
from tasks.gating.rules import MetricRule, parse_rules
from tasks.metrics.use_case import metric_name

LABELS = [
    "crack",
    '5" pipe',
    '"',
    '"quoted"',
    "\\",
    'back\\slash"',
    "C:\\temp\\new",
    "two  spaces",
    " leading and trailing ",
    "recall of crack",
    'a of "b"',
    "x >= 0.5 at 90 % confidence",
    "a where size = small",
    "each class",
    "50 %s {}",
    "two\nlines\tand\ttabs",
    "Riß 裂纹 🔧",
    "$x_1$",
    "it's",
    "\u2028",
]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("name", ["ap50", "recall"])
def test_name_of_a_metric_is_read_back_whatever_the_label(label: str, name: str) -> None:
    metric = metric_name(name, label)
    use_case = UseCase(target="onnx", metric=metric)
    assert (use_case.metric, use_case.label) == (metric, label)
    found = METRIC.fullmatch(metric)
    assert found is not None
    assert (found["name"], unquoted(found["label"])) == (name, label)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize(
    "form",
    ["{} >= 0.5", "{} where size = small >= 0.5 at 90 % confidence", "drop of {} <= 0.1", "{} not worse than champion"],
)
def test_rule_on_a_metric_is_read_back_whatever_the_label(label: str, form: str) -> None:
    (rule,) = parse_rules([form.format(metric_name("recall", label))], 0.95)
    assert isinstance(rule, MetricRule)
    assert (rule.name, rule.label) == ("recall", label)


@pytest.mark.parametrize("value", LABELS)
@pytest.mark.parametrize("by", ["light", 'in "x"', "a = b", "two  spaces"])
def test_slice_of_an_attribute_is_read_back_whatever_its_value(by: str, value: str) -> None:
    (rule,) = parse_rules([f"{metric_name('recall', 'crack', (by, value))} >= 0.5"], 0.95)
    assert isinstance(rule, MetricRule)
    assert rule.where == (by, value)


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ('recall of "5" pipe"', '5" pipe'),
        ("recall of crack", "crack"),
        ("recall of 'crack'", "crack"),
        ("recall of 'hair line'", "hair line"),
        ("recall of it's", "it's"),
        ('recall of "C:\\dir"', "C:\\dir"),
        ('ap50 of "half\\"', "half\\"),
    ],
)
def test_metric_that_cannot_be_read_says_how_to_write_its_label(metric: str, label: str) -> None:
    with pytest.raises(ValidationError) as caught:
        UseCase(target="onnx", metric=metric)
    assert f"'{metric}' is not a metric; write its label as {quoted(label)}" in str(caught.value)
    (name, _, _) = metric.partition(" of ")
    assert UseCase(target="onnx", metric=f"{name} of {quoted(label)}").label == label


def test_other_ways_of_json_to_write_a_label_name_the_same_metric() -> None:
    assert UseCase(target="onnx", metric=r'recall of "5\u0022 pipe"').metric == metric_name("recall", '5" pipe')


@pytest.mark.parametrize(
    ("label", "text"),
    [("hair line", "hair line"), ('5" pipe', r'"5\" pipe"'), ("a, b", '"a, b"'), (" a", '" a"'), ("a  b", '"a  b"')],
)
def test_label_in_a_list_is_quoted_where_it_could_be_misread(label: str, text: str) -> None:
    assert written(label) == text
