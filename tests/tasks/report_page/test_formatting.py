"""How numbers read on the page."""

from collections.abc import Callable

import pytest

from tasks.report_page import formatting

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("write", "value", "read"),
    [
        (formatting.share, 0.87149, "0.871"),
        (formatting.share, -0.0041, f"{MINUS}0.004"),
        (formatting.share, -0.0001, "0.000"),
        (formatting.share, None, DASH),
        (formatting.percent, 0.414, "41 %"),
        (formatting.percent, 0.0, "0 %"),
        (formatting.percent, 0.004, "< 1 %"),
        (formatting.percent, None, DASH),
        (formatting.signed, 0.0121, "+0.012"),
        (formatting.signed, -0.0121, f"{MINUS}0.012"),
        (formatting.signed, -0.0001, "0.000"),
        (formatting.signed, None, DASH),
        (formatting.count, 12345, "12,345"),
        (formatting.count, None, DASH),
        (formatting.milliseconds, 0.846, "0.85"),
        (formatting.milliseconds, 41.23, "41.2"),
        (formatting.milliseconds, 1312.4, "1,312"),
        (formatting.milliseconds, None, DASH),
        (formatting.megabytes, 9_800_000, "9.80"),
        (formatting.megabytes, 0, DASH),
        (formatting.duration, 93.4, "93 s"),
        (formatting.duration, 720, "12 min"),
        (formatting.duration, 12_000, "3 h 20 min"),
        (formatting.setting, True, "true"),
        (formatting.setting, None, "null"),
        (formatting.setting, 0.1 + 0.2, "0.3"),
        (formatting.setting, "AdamW", "AdamW"),
        (formatting.sentence, "it is late", "it is late."),
        (formatting.sentence, "Is it?", "Is it?"),
        (formatting.title, "map50_95", "mAP50-95"),
        (formatting.title, 'ap50 of "crack"', 'AP50 of "crack"'),
        (formatting.title, 'recall of "part of a kind"', 'recall of "part of a kind"'),
    ],
)
def test_value_reads(write: Callable[[object], str], value: object, read: str) -> None:
    assert write(value) == read


@pytest.mark.parametrize(
    ("value", "unit", "read"),
    [(0.95, "", "0.950"), (6.1, "ms", "6.10 ms"), (123.4, "MB", "123 MB"), (None, "ms", DASH)],
)
def test_figure_of_a_rule_reads_in_its_own_unit(value: float | None, unit: str, read: str) -> None:
    assert formatting.amount(value, unit) == read


@pytest.mark.parametrize(("number", "read"), [(0, "0 images"), (1, "1 image"), (2000, "2,000 images")])
def test_noun_follows_its_number(number: int, read: str) -> None:
    assert formatting.things(number, "image") == read


@pytest.mark.parametrize(
    ("low", "high", "read"),
    [(0.8, 0.9, f"0.800{DASH}0.900"), (-0.012, 0.002, f"{MINUS}0.012 to 0.002"), (0.8, None, f"0.800{DASH}{DASH}")],
)
def test_interval_reads(low: float | None, high: float | None, read: str) -> None:
    assert formatting.span(low, high) == read
