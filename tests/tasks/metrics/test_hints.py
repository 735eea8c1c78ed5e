"""When class-agnostic suppression is recommended, and when it would lose objects."""

import pandas as pd
import pytest

from tasks.contracts.bundle import Output
from tasks.contracts.evaluation import Evaluation
from tasks.contracts.tables import BOX
from tasks.metrics.hints import suppression_hint

AS_MANY_MISSED = Evaluation(target="onnx", errors={"bolt": {"missed": 4, "second class": 4}})
OF_ONE_CLASS = Evaluation(target="onnx", errors={"bolt": {"duplicate": 4}})
YOLO = Output(layout="yolo")
SEVERAL = Evaluation(
    target="onnx",
    errors={
        "bolt": {"missed": 1, "background": 2, "second class": 4},
        "nut": {"class": 2, "second class": 2, "duplicate": 1},
    },
)
APART = [("a", "bolt", 0, 0, 10, 10), ("a", "nut", 50, 50, 60, 60)]
ON_ONE_ANOTHER = [("b", "bolt", 0, 0, 10, 10), ("b", "nut", 0, 0, 10, 9)]
ONE_CLASS_TWICE = [("c", "bolt", 0, 0, 10, 10), ("c", "bolt", 0, 0, 10, 9)]


def truth(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image_id", "label", *BOX])


@pytest.mark.parametrize(
    ("rows", "lost"),
    [
        pytest.param(APART, "", id="objects apart"),
        pytest.param(ONE_CLASS_TWICE, "", id="objects of one class on one another"),
        pytest.param(
            [*APART, *ON_ONE_ANOTHER],
            " (2 labelled objects lie so on one of another class, and may be lost)",
            id="some objects on others",
        ),
    ],
)
def test_several_classes_on_one_object_are_answered_by_a_parameter(rows: list[tuple[object, ...]], lost: str) -> None:
    expected = "set export.nms_agnostic: true: 6 of 12 errors are boxes of several classes on one object"
    assert suppression_hint(SEVERAL, truth(rows), YOLO) == expected + lost


@pytest.mark.parametrize(
    ("evaluation", "rows", "output"),
    [
        pytest.param(SEVERAL, APART, Output(layout="yolo", nms_agnostic=True), id="agnostic already"),
        pytest.param(SEVERAL, APART, Output(layout="end2end"), id="no suppression"),
        pytest.param(SEVERAL, APART, Output(layout="detr"), id="no suppression either"),
        pytest.param(SEVERAL, ON_ONE_ANOTHER * 4, YOLO, id="more objects would be lost"),
        pytest.param(AS_MANY_MISSED, APART, YOLO, id="another kind is as frequent"),
        pytest.param(OF_ONE_CLASS, APART, YOLO, id="duplicates of one class"),
        pytest.param(Evaluation(target="onnx"), [], YOLO, id="nothing measured"),
    ],
)
def test_no_recommendation_where_it_would_not_help(
    evaluation: Evaluation, rows: list[tuple[object, ...]], output: Output
) -> None:
    many = truth([(f"{row[0]}{number}", *row[1:]) for number, row in enumerate(rows)])
    many["image_id"] = many["image_id"].str[0] + (many.index // 2).astype(str)  # pairs stay together
    assert suppression_hint(evaluation, many, output) is None
