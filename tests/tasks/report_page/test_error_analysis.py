"""Which errors the page shows."""

import numpy as np
import pandas as pd

from tasks.contracts.evaluation import Evaluation
from tasks.report_page.error_analysis import REST, confusion, worst_images

IMAGES = pd.DataFrame(
    [
        {"image_id": name, "name": f"{name}.png", "source": "belt", "subset": None, "task_id": "17", "frame": 4.0}
        for name in ("good", "bad", "worse")
    ]
)


def marked(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["image_id", "side", "kind", "score"])
    return table.assign(label="crack", x_min=1.0, y_min=1.0, x_max=9.0, y_max=9.0)


def test_images_with_more_and_surer_errors_come_first_and_faultless_ones_not_at_all() -> None:
    rows = marked(
        ("good", "truth", "right", 1.0),
        ("good", "prediction", "right", 0.9),
        ("bad", "prediction", "background", 0.3),
        ("worse", "truth", "missed", 1.0),
        ("worse", "prediction", "class", 0.6),
    )
    worst = worst_images(rows, IMAGES, lambda _: np.zeros((300, 400, 3), np.uint8), most=9, longest=400, quality=70)
    assert [image.name for image in worst] == ["worse.png", "bad.png"]
    assert worst[0].summary == "1 missed, 1 wrong class"
    assert worst[0].where == "belt, task 17, frame 4"
    drawn = worst[0].picture
    assert drawn is not None
    assert [caption.text for caption in drawn.captions] == ["missed crack", "wrong crack 0.60"]


def test_what_is_ignored_is_drawn_and_is_no_error() -> None:
    rows = marked(
        ("good", "truth", "ignored", 1.0),
        ("good", "prediction", "ignored", 0.9),
        ("bad", "truth", "ignored", 1.0),
        ("bad", "prediction", "background", 0.3),
    )
    (worst,) = worst_images(rows, IMAGES, lambda _: np.zeros((300, 400, 3), np.uint8), most=9, longest=400, quality=70)
    assert (worst.name, worst.summary) == ("bad.png", "1 on the background")
    assert worst.picture is not None
    assert [mark.style for mark in worst.picture.marks] == ["truth ignored", "prediction wrong"]
    assert [caption.text for caption in worst.picture.captions] == ["false crack 0.30"]


def test_at_most_so_many_images_are_drawn() -> None:
    rows = marked(("bad", "truth", "missed", 1.0), ("worse", "truth", "missed", 1.0))
    assert [image.name for image in worst_images(rows, IMAGES, lambda _: None, most=1, longest=9, quality=9)] == [
        "bad.png"
    ]


def test_confusion_of_many_classes_keeps_the_most_confused_and_every_object() -> None:
    counts = {
        "a": {"a": 5, "b": 0, "c": 0, "background": 0},
        "b": {"a": 0, "b": 4, "c": 3, "background": 1},
        "c": {"a": 0, "b": 2, "c": 6, "background": 0},
        "background": {"a": 1, "b": 0, "c": 0, "background": 0},
    }
    table = confusion(Evaluation(target="onnx", confusion=counts), most=2)
    assert table is not None
    assert table.labels == ["b", "c", REST, "background"]
    assert table.rows == [[4, 3, 0, 1], [2, 6, 0, 0], [0, 0, 5, 0], [0, 0, 1, 0]]
    assert table.left_out == 1


def test_nothing_measured_has_no_confusion() -> None:
    assert confusion(Evaluation(target="onnx"), most=9) is None
