"""The same file twice: whether its labels are the same, too."""

import pytest

from tasks.checks.twin_rules import exact_duplicates
from tests.tables_fixture import Row, toy_images, toy_objects

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
