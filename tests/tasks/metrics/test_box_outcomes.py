"""Row by row, what became of every object and every box."""

import pandas as pd
import pytest

from tasks.metrics.box_outcomes import marked_boxes
from tasks.metrics.error_kinds import error_kinds
from tasks.metrics.matching import IOU_50, match, scene

BOX = ["x_min", "y_min", "x_max", "y_max"]


def table(*rows: tuple[object, ...]) -> pd.DataFrame:
    columns = ["image_id", "label", *BOX] if len(rows[0]) == 6 else ["image_id", "label", "score", *BOX]
    return pd.DataFrame(rows, columns=columns)


TRUTH = table(
    ("elsewhere", "bolt", 0, 0, 10, 10),
    ("one", "bolt", 0, 0, 10, 10),
    ("one", "crack", 50, 50, 60, 60),
    ("one", "bolt", 80, 80, 90, 90),
    ("two", "bolt", 0, 0, 10, 10),
)
PREDICTIONS = table(
    ("one", "bolt", 0.9, 0, 0, 10, 9),
    ("one", "bolt", 0.8, 0, 0, 9, 10),
    ("one", "bolt", 0.7, 50, 50, 60, 60),
    ("one", "crack", 0.6, 20, 20, 30, 30),
    ("two", "bolt", 0.5, 4, 0, 14, 10),
    ("two", "bolt", 0.1, 0, 0, 10, 10),
)
THRESHOLDS = {"bolt": 0.3, "crack": 0.3}


def test_every_kind_is_told_apart() -> None:
    marked = marked_boxes(TRUTH, PREDICTIONS, ["one", "two"], THRESHOLDS)
    boxes = marked[marked["side"] == "prediction"].sort_values("score", ascending=False)
    assert boxes["kind"].tolist() == ["right", "duplicate", "class", "background", "localisation"]
    objects = marked[marked["side"] == "truth"]
    assert objects["kind"].tolist() == ["right", "right", "missed", "right"]
    assert objects["image_id"].tolist() == ["one", "one", "one", "two"]


def test_counts_are_those_of_the_evaluation() -> None:
    marked = marked_boxes(TRUTH, PREDICTIONS, ["one", "two"], THRESHOLDS)
    boxes = scene(TRUTH, PREDICTIONS, ["one", "two"], list(THRESHOLDS))
    counted = error_kinds(boxes, match(boxes, IOU_50), list(THRESHOLDS.values()))
    for label, kinds in counted.items():
        found = marked.loc[marked["label"] == label, "kind"].value_counts()
        assert {kind: int(found.get(kind, 0)) for kind in kinds} == kinds


@pytest.mark.parametrize("truth", [TRUTH, TRUTH.iloc[:0]], ids=["no predictions", "nothing at all"])
def test_nothing_found_is_missed(truth: pd.DataFrame) -> None:
    marked = marked_boxes(truth, PREDICTIONS.iloc[:0], ["one", "two"], THRESHOLDS)
    assert set(marked["kind"]) <= {"missed"}
    assert len(marked) == len(truth[truth["image_id"] != "elsewhere"])
