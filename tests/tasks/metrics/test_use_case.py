"""Operating points and the headline figures, on tables small enough to count by hand."""

import pandas as pd
import pytest

from tasks.contracts.errors import PipelineError
from tasks.contracts.tables import BOX
from tasks.contracts.use_case import UseCase
from tasks.metrics.matching import match, scene
from tasks.metrics.operating_points import choose_thresholds, operating_points, parse_operating_point
from tasks.metrics.use_case import headline, use_case_value

# Four cracks in four images, and detections with falling scores: r right, w wrong.
PATTERN = [("a", 0.9, "r"), ("b", 0.8, "w"), ("b", 0.7, "r"), ("c", 0.6, "r"), ("d", 0.5, "w"), ("d", 0.4, "w")]
OBJECT, ELSEWHERE = [10.0, 10.0, 50.0, 50.0], [200.0, 200.0, 240.0, 240.0]


def truth(label: str = "crack", images: str = "abcd") -> pd.DataFrame:
    return pd.DataFrame([[image, label, *OBJECT] for image in images], columns=["image_id", "label", *BOX])


def predictions(label: str = "crack", pattern: list[tuple[str, float, str]] = PATTERN) -> pd.DataFrame:
    rows = [[image, label, score, *(OBJECT if kind == "r" else ELSEWHERE)] for image, score, kind in pattern]
    return pd.DataFrame(rows, columns=["image_id", "label", "score", *BOX])


def use_case(operating_point: str = "best f1", metric: str = "map50", **special: str) -> UseCase:
    return UseCase(target="onnx", metric=metric, operating_point=operating_point, operating_points=special)


@pytest.mark.parametrize(
    ("operating_point", "threshold", "precision", "recall"),
    [
        ("best f1", 0.6, 3 / 4, 3 / 4),
        ("recall >= 0.5", 0.7, 2 / 3, 2 / 4),
        ("recall >= 0.51", 0.6, 3 / 4, 3 / 4),
        ("recall>=0.75", 0.6, 3 / 4, 3 / 4),
        ("precision >= 0.75", 0.6, 3 / 4, 3 / 4),
        ("precision >= 0.9", 0.9, 1.0, 1 / 4),
        ("precision >= 0.5", 0.6, 3 / 4, 3 / 4),  # at 0.4 as much is found, and more is wrong
        ("recall >= 0.9", 0.6, 3 / 4, 3 / 4),  # cannot be reached: best F1
    ],
)
def test_threshold_is_the_one_that_the_operating_point_asks_for(
    operating_point: str, threshold: float, precision: float, recall: float
) -> None:
    measured = headline(use_case(operating_point), truth(), predictions())
    assert measured.thresholds == {"crack": threshold}
    assert measured.figures['precision of "crack"'] == pytest.approx(precision)
    assert measured.figures['recall of "crack"'] == pytest.approx(recall)
    assert measured.figures["recall"] == pytest.approx(recall)
    f1 = 2 * precision * recall / (precision + recall)
    assert measured.figures['f1 of "crack"'] == pytest.approx(f1)


def test_operating_point_that_cannot_be_reached_says_so() -> None:
    matches = match(scene(truth(), predictions(), list("abcd"), ["crack"]))
    (chosen,) = choose_thresholds(matches, [parse_operating_point("recall >= 0.9", "here")])
    assert chosen.note == "recall >= 0.9 cannot be reached on val (0.750 at most): best F1 instead"
    assert chosen.point == "recall >= 0.9"


def test_equal_scores_pass_the_threshold_together() -> None:
    pattern = [("a", 0.9, "r"), ("b", 0.5, "r"), ("c", 0.5, "w"), ("d", 0.5, "w")]
    measured = headline(use_case("precision >= 0.6"), truth(), predictions(pattern=pattern))
    assert measured.thresholds == {"crack": 0.9}  # after the first of the three at 0.5 precision would be 1


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        (["crack", "scratch"], "no object on val: the best F1 of all classes together instead"),
        (["crack", "dent"], "no detection on val is right: the best F1 of all classes together instead"),
    ],
    ids=["no object", "no right detection"],
)
def test_class_without_a_choice_on_val_gets_the_threshold_of_all_classes(labels: list[str], note: str) -> None:
    both = pd.concat([truth(), truth("dent", "a")])
    matches = match(scene(both, predictions(), list("abcd"), labels))
    chosen = choose_thresholds(matches, operating_points(use_case(), labels))
    assert chosen[1].score == 0.6
    assert chosen[1].note == note


def test_val_without_anything_gives_a_threshold_and_says_so() -> None:
    matches = match(scene(truth().iloc[:0], predictions().iloc[:0], [], ["crack"]))
    (chosen,) = choose_thresholds(matches, operating_points(use_case(), ["crack"]))
    assert (chosen.score, chosen.note) == (0.5, "no object on val: 0.5 instead")


def test_each_class_has_its_own_operating_point() -> None:
    both, found = pd.concat([truth(), truth("dent")]), pd.concat([predictions(), predictions("dent")])
    measured = headline(use_case("best f1", dent="precision >= 0.9"), both, found)
    assert measured.thresholds == {"crack": 0.6, "dent": 0.9}
    assert measured.figures["precision"] == pytest.approx(4 / 5)  # 3 of 4 and 1 of 1, counted together
    assert measured.figures["recall"] == pytest.approx(4 / 8)


@pytest.mark.parametrize("text", ["", "best F1", "recall > 0.9", "recall >= 95", "recall >= 1.5", "f1 >= 0.5"])
def test_operating_point_that_is_not_understood_lists_the_forms(text: str) -> None:
    with pytest.raises(PipelineError, match=r'Write "best f1", "recall >= 0\.95" or "precision >= 0\.9"'):
        parse_operating_point(text, "use_case.operating_point")


def test_operating_point_of_an_unknown_class_lists_the_classes() -> None:
    with pytest.raises(PipelineError, match="Classes are 'crack', 'dent'"):
        operating_points(use_case(carck="best f1"), ["crack", "dent"])


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        # 101 levels: 26 up to recall 1/4 at precision 1, 50 up to 3/4 at 3/4, none beyond; dent has none.
        ("map50", (26 + 50 * 0.75) / 101 / 2),
        ('recall of "crack"', 3 / 4),
        ('recall of "dent"', 0.0),
        ("recall", 3 / 8),
        ('precision of "dent"', None),
        ('ap50 of "no such class"', None),
    ],
)
def test_use_case_value_is_the_metric_that_params_name(metric: str, value: float | None) -> None:
    both = pd.concat([truth(), truth("dent")])
    measured = use_case_value(use_case(metric=metric), both, predictions())
    assert measured == (None if value is None else pytest.approx(value))


def test_class_with_quotes_in_its_label_is_measured_by_its_quoted_name() -> None:
    both = pd.concat([truth(), truth('5" pipe')])
    assert use_case_value(use_case(metric=r'recall of "5\" pipe"'), both, predictions()) == 0.0
    found = predictions().assign(label='5" pipe')
    assert use_case_value(use_case(metric=r'recall of "5\" pipe"'), both, found) == pytest.approx(3 / 4)


def test_nothing_predicted_and_nothing_labelled_have_no_value() -> None:
    assert use_case_value(use_case(), truth().iloc[:0], predictions().iloc[:0]) is None
    assert use_case_value(use_case(), truth(), predictions().iloc[:0]) == 0.0
