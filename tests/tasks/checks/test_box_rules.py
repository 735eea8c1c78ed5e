"""Boxes that overlap too much, or are quite unlike their class."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from tasks.checks import box_rules
from tasks.checks.box_rules import box_measures, small_for_network, with_image_size
from tasks.checks.findings import Finding
from tests.fixtures.check import NO_MEASURES, row_findings
from tests.fixtures.tables import Row, toy_images, toy_objects


@pytest.mark.parametrize("at_once", [1, 7, 2_000_000])
def test_overlapping_pairs_are_those_of_a_plain_double_loop(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(box_rules, "_PAIRS_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(60):
        x_min, y_min = rng.integers(0, 4, 2) * 1.0
        image, label = f"i{rng.integers(0, 9)}", f"l{rng.integers(0, 2)}"
        rows.append({"image_id": image, "label": label, "object_id": str(number), "x_min": x_min, "y_min": y_min})
    images = toy_images([{"image_id": f"i{number}"} for number in range(9)])
    measures = box_measures(with_image_size(toy_objects(rows), images)).set_index(pd.Index(range(60)).astype(str))
    expected: dict[bool, dict[str, float]] = {True: {}, False: {}}
    for one, other in combinations(rows, 2):
        if one["image_id"] == other["image_id"]:
            most, name = expected[one["label"] == other["label"]], str(other["object_id"])
            most[name] = max(most.get(name, 0), overlap(one, other))
    for column, most in (("same_label_overlap", expected[True]), ("other_label_overlap", expected[False])):
        assert measures[column].dropna().to_dict() == pytest.approx(most)


def of_objects(rows: Sequence[Row], **limits: float) -> list[Finding]:
    return row_findings(toy_images([{"image_id": "a"}]), NO_MEASURES, toy_objects(rows), **limits)


@pytest.mark.parametrize(
    ("labels", "rule", "message"),
    [
        (["nut", "nut"], "duplicate_box", "two nut boxes at (40, 30) overlap by 0.95"),
        (["nut", "rod"], "box_under_two_labels", "nut and rod box at (40, 30) overlap by 0.95"),
    ],
)
def test_a_place_that_is_labelled_twice_is_told_of_the_later_box(labels: list[str], rule: str, message: str) -> None:
    rows: list[Row] = [{"image_id": "a", "object_id": label, "label": label} for label in labels]
    (found,) = of_objects([{**rows[0], "x_min": 41.0, "object_id": "first"}, rows[1]], same_box_iou=0.9)
    assert (found.rule, found.object_id, found.message) == (rule, labels[1], message)


def overlap(one: dict[str, object], other: dict[str, object]) -> float:
    """Intersection over union of two boxes that end at (60, 50)."""
    starts = [(float(str(box["x_min"])), float(str(box["y_min"]))) for box in (one, other)]
    areas = [(60 - x) * (50 - y) for x, y in starts]
    common = (60 - max(x for x, _ in starts)) * (50 - max(y for _, y in starts))
    return common / (sum(areas) - common)


def test_a_box_is_odd_only_if_its_class_is_not_as_long() -> None:
    rows = [{"image_id": "a", "label": label} for label in ("nut", "rod") for _ in range(20)]
    long = {"x_min": 10.0, "x_max": 150.0, "y_min": 40.0, "y_max": 45.0}
    usual: list[Row] = [{**row, **long} if row["label"] == "rod" else row for row in rows]
    odd = {"image_id": "a", "label": "nut", **long}
    (finding,) = of_objects([*usual, odd], max_aspect_deviations=8)
    assert finding.label == "nut"
    assert "28.00 times as wide as high at (10, 40), usual is 1.00" in finding.message


@pytest.mark.parametrize("column", ["occluded", "truncated"])
def test_a_part_of_an_object_may_have_any_shape(column: str) -> None:
    cut = {"image_id": "a", "x_min": 10.0, "x_max": 150.0, "y_min": 40.0, "y_max": 45.0, column: True}
    rows = [{"image_id": "a"} for _ in range(30)]
    assert not of_objects([*rows, cut], max_aspect_deviations=8)


def test_sizes_are_judged_by_the_shorter_side_and_by_the_share_of_the_image() -> None:
    rows: list[Row] = [
        {"image_id": "a", "object_id": "low", "y_min": 30.0, "y_max": 31.5},
        {"image_id": "a", "object_id": "all", "x_min": 0.0, "y_min": 0.0, "x_max": 160.0, "y_max": 120.0},
        {"image_id": "a", "object_id": "usual"},
    ]
    found = of_objects(rows, tiny_box_px=2, huge_box_share=0.9)
    assert [(finding.rule, finding.object_id, finding.value) for finding in found] == [
        ("tiny_box", "low", 1.5),
        ("huge_box", "all", 1.0),
    ]


@pytest.mark.parametrize(
    ("image_size", "tiny", "expected"),
    [
        (640, 0, []),
        (40, 0, []),  # 20 px of 160 become 5
        (24, 0, [(None, 1.0)]),
        (640, 30, [("pin", 1.0)]),
        (640, 10, []),
        (640, 50, [(None, 50 / 80)]),
    ],
    ids=["large", "just large enough", "too small", "one class", "a class of few", "more than half of all"],
)
def test_most_objects_smaller_than_the_network_can_see_are_told(
    image_size: int, tiny: int, expected: list[tuple[str | None, float]]
) -> None:
    pin = {"image_id": "a", "label": "pin", "x_max": 40.5, "y_max": 31.5}  # 0.87 px a side, 3.5 at 640
    rows: list[Row] = [*({"image_id": "a"} for _ in range(30)), *(pin for _ in range(tiny))]
    objects = with_image_size(toy_objects(rows), toy_images([{"image_id": "a"}]))
    found = list(small_for_network(objects, image_size, least_px=4))
    assert [(finding.label, finding.value) for finding in found] == expected


def test_objects_too_small_are_told_with_the_image_size_that_it_takes() -> None:
    objects = with_image_size(toy_objects([{"image_id": "a"}] * 10), toy_images([{"image_id": "a"}]))
    (finding,) = small_for_network(objects, 24, least_px=4)
    assert finding.message == (
        "100% of 10 objects are under 4 px a side at train.image_size 24, the median is 3.0 px; "
        "for half of them to reach that it takes an image_size of 32"
    )


def test_no_object_is_not_too_small() -> None:
    assert not list(small_for_network(with_image_size(toy_objects([]), toy_images([])), 640, 4))
