"""The same file twice: whether its labels are the same, too."""

import pandas as pd
import pytest

from tasks.checks.near_duplicate_rules import exact_duplicates, near_duplicates
from tasks.contracts.check_report import NEAR_DUPLICATES
from tests.fixtures.tables import Row, toy_images, toy_objects

HERE: Row = {"x_min": 40.0, "x_max": 60.0}
AWAY: Row = {"x_min": 90.0, "x_max": 110.0}
IMAGES = toy_images([{"image_id": image_id, "sha256": "same"} for image_id in ("one", "other")])


@pytest.mark.parametrize(
    ("one", "other", "rule", "message"),
    [
        ([HERE, AWAY], [AWAY, HERE], "duplicate_image", "the same file as one.png of export"),
        ([HERE], [{"x_min": 39.6, "x_max": 60.0002}], "duplicate_image", "the same file as one.png of export"),
        ([], [], "duplicate_image", "the same file as one.png of export"),
        ([HERE, AWAY], [HERE, HERE], "duplicate_image_other_labels", "but 1 of 2 boxes are elsewhere"),
        ([HERE], [AWAY], "duplicate_image_other_labels", "but 1 of 1 boxes are elsewhere"),
        ([HERE], [], "duplicate_image_other_labels", "but labelled nothing against 1 part"),
        ([HERE], [{**HERE, "label": "bolt"}], "duplicate_image_other_labels", "but labelled 1 bolt against 1 part"),
    ],
    ids=[
        "another order",
        "other digits",
        "no labels",
        "one box elsewhere",
        "box elsewhere",
        "unlabelled",
        "relabelled",
    ],
)
def test_copies_are_told_apart_by_labels_and_boxes(one: list[Row], other: list[Row], rule: str, message: str) -> None:
    rows = [{"image_id": "one", **row} for row in one] + [{"image_id": "other", **row} for row in other]
    (finding,) = exact_duplicates(IMAGES, toy_objects(rows))
    assert (finding.rule, finding.image_id, finding.other_image_id) == (rule, "other", "one")
    assert finding.message.endswith(message)


def test_every_pair_of_two_scenes_is_named_and_those_of_one_scene_are_counted() -> None:
    images = toy_images([{"image_id": f"{scene}{number}", "group": scene} for scene in "abc" for number in range(3)])
    rows = [("b0", "a0", "mirrored", 0.1), ("c0", "a0", "in part", 0.0), ("a1", "a0", "shifted", 0.0)]
    pairs = pd.DataFrame([*rows, ("a2", "a1", "shifted", 0.0)], columns=NEAR_DUPLICATES.names)
    found = {(finding.image_id, finding.other_image_id): finding for finding in near_duplicates(images, pairs)}
    assert {pair: finding.rule for pair, finding in found.items()} == {
        ("b0", "a0"): "near_duplicate_images",
        ("c0", "a0"): "near_duplicate_images",
        ("a1", "a0"): "near_duplicates_in_scene",
    }
    assert found["b0", "a0"].message == "the same picture as a0.png of export, mirrored"
    assert found["a1", "a0"].message == (
        "3 of 3 images of the scene a are the same picture as another: a1.png and a0.png, a2.png and a1.png"
    )


def test_more_pairs_than_anyone_reads_are_counted() -> None:
    images = toy_images([{"image_id": f"i{number:03}", "group": f"{number}"} for number in range(151)])
    rows = [(f"i{number:03}", "i000", "shifted", 0.0) for number in range(1, 151)]
    found = list(near_duplicates(images, pd.DataFrame(rows, columns=NEAR_DUPLICATES.names)))
    assert len(found) == 101
    assert found[-1].message == "50 more pairs are the same picture: see near_duplicates.parquet"
