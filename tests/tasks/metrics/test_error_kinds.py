"""Confusion and kinds of errors, one situation at a time."""

import pandas as pd
import pytest

from tasks.contracts.tables import BOX
from tasks.metrics.error_kinds import ERROR_KINDS, confusion, error_kinds
from tasks.metrics.matching import Scene, match, scene
from tests.fixtures.scene import Draw, random_scene

LABELS = ["crack", "dent", "nick"]
CRACK = ("crack", [100, 100, 200, 200])
NEAR_IT = [110, 110, 210, 210]  # IoU 0.68
BESIDE_IT = [150, 150, 250, 250]  # IoU 0.14
FAR = [400, 400, 450, 450]

Box = tuple[str, list[int]]
SITUATIONS: dict[str, tuple[list[Box], list[Box], dict[str, dict[str, int]], dict[tuple[str, str], int]]] = {
    "found": ([CRACK], [CRACK], {}, {("crack", "crack"): 1}),
    "missed": ([CRACK], [], {"crack": {"missed": 1}}, {("crack", "background"): 1}),
    "background": (
        [CRACK],
        [CRACK, ("dent", FAR)],
        {"dent": {"background": 1}},
        {("crack", "crack"): 1, ("background", "dent"): 1},
    ),
    "class: the object is not missed besides": (
        [CRACK],
        [("dent", NEAR_IT)],
        {"dent": {"class": 1}},
        {("crack", "dent"): 1},
    ),
    "localisation: the object is not missed besides": (
        [CRACK],
        [("crack", BESIDE_IT)],
        {"crack": {"localisation": 1}},
        {("crack", "background"): 1, ("background", "crack"): 1},
    ),
    "duplicate": (
        [CRACK],
        [CRACK, ("crack", NEAR_IT)],
        {"crack": {"duplicate": 1}},
        {("crack", "crack"): 1, ("background", "crack"): 1},
    ),
    "duplicate goes before class": (
        [CRACK, ("dent", NEAR_IT)],
        [CRACK, ("dent", NEAR_IT), ("crack", NEAR_IT)],
        {"crack": {"duplicate": 1}},
        {("crack", "crack"): 1, ("dent", "dent"): 1, ("background", "crack"): 1},
    ),
    "second class: of an object that is found": (
        [CRACK],
        [CRACK, ("dent", NEAR_IT)],
        {"dent": {"second class": 1}},
        {("crack", "crack"): 1, ("background", "dent"): 1},
    ),
    "second class: of an object that a class error has taken": (
        [CRACK],
        [("dent", CRACK[1]), ("nick", NEAR_IT)],
        {"dent": {"class": 1}, "nick": {"second class": 1}},
        {("crack", "dent"): 1, ("background", "nick"): 1},
    ),
    "a second badly placed box has no object left": (
        [CRACK],
        [("crack", BESIDE_IT), ("crack", [50, 50, 150, 150])],
        {"crack": {"localisation": 1, "background": 1}},
        {("crack", "background"): 1, ("background", "crack"): 2},
    ),
    "a box on a found object does not excuse its missed neighbour": (
        [CRACK, ("crack", [190, 100, 290, 200])],
        [CRACK, ("crack", [120, 100, 220, 200])],
        {"crack": {"duplicate": 1, "missed": 1}},
        {("crack", "crack"): 1, ("crack", "background"): 1, ("background", "crack"): 1},
    ),
    "beside an object of another class is background": (
        [CRACK],
        [("dent", BESIDE_IT)],
        {"dent": {"background": 1}, "crack": {"missed": 1}},
        {("crack", "background"): 1, ("background", "dent"): 1},
    ),
}


def table(boxes: list[Box], low_score: bool = False) -> pd.DataFrame:
    rows = [["a", label, 0.3 if low_score else 0.9 - row / 100, *box] for row, (label, box) in enumerate(boxes)]
    return pd.DataFrame(rows, columns=["image_id", "label", "score", *BOX])


def seen(truth: list[Box], predictions: pd.DataFrame) -> Scene:
    return scene(table(truth).drop(columns="score"), predictions, ["a"], LABELS)


@pytest.mark.parametrize(("truth", "predictions", "kinds", "pairs"), SITUATIONS.values(), ids=SITUATIONS.keys())
def test_each_situation_is_named(
    truth: list[Box],
    predictions: list[Box],
    kinds: dict[str, dict[str, int]],
    pairs: dict[tuple[str, str], int],
) -> None:
    boxes = seen(truth, table(predictions))
    matches = match(boxes)
    counted = error_kinds(boxes, matches, [0.5] * 3)
    assert {label: {k: n for k, n in row.items() if n} for label, row in counted.items() if any(row.values())} == kinds
    confused = confusion(boxes, matches, [0.5] * 3)
    assert {(t, p): n for t, row in confused.items() for p, n in row.items() if n} == pairs


def test_detections_below_their_threshold_are_not_there() -> None:
    boxes = seen([CRACK], table([CRACK, ("dent", FAR)], low_score=True))
    matches = match(boxes)
    assert error_kinds(boxes, matches, [0.5] * 3)["crack"]["missed"] == 1
    assert sum(error_kinds(boxes, matches, [0.5] * 3)["dent"].values()) == 0
    assert error_kinds(boxes, matches, [0.3] * 3)["crack"]["missed"] == 0
    assert error_kinds(boxes, matches, [0.3] * 3)["dent"]["background"] == 1


@pytest.mark.parametrize("seed", range(3))
def test_every_object_and_every_detection_is_somewhere_in_the_confusion(seed: int) -> None:
    truth, predictions, images = random_scene(Draw(), seed)
    labels = ["bolt", "crack", "nut"]
    boxes = scene(truth, predictions, images, labels)
    confused = confusion(boxes, match(boxes), [0.3] * 3)
    kinds = error_kinds(boxes, match(boxes), [0.3] * 3)
    for label in labels:
        assert sum(confused[label].values()) == (truth["label"] == label).sum()
        detections = ((predictions["label"] == label) & (predictions["score"] >= 0.3)).sum()
        assert sum(row[label] for row in confused.values()) == detections
        false = sum(count for kind, count in kinds[label].items() if kind != "missed")
        assert false == detections - confused[label][label]


CROWDED = Draw(objects=40.0, false_alarms=40.0, side_px=(40, 200))


@pytest.mark.parametrize("draw", [Draw(), CROWDED], ids=["sparse", "crowded"])
@pytest.mark.parametrize("seed", range(3))
def test_kinds_of_errors_and_confusion_are_one_reading(draw: Draw, seed: int) -> None:
    truth, predictions, images = random_scene(draw, seed)
    several = predictions.sample(frac=0.3, random_state=seed).assign(label="bolt")  # a box with a second class
    predictions.loc[several.index[::2], "label"] = "nut"  # and a box with a wrong one
    predictions = pd.concat([predictions, several], ignore_index=True)
    labels = ["bolt", "crack", "nut"]
    boxes = scene(truth, predictions, images, labels)
    matches = match(boxes)
    confused, kinds = confusion(boxes, matches, [0.2, 0.3, 0.4]), error_kinds(boxes, matches, [0.2, 0.3, 0.4])
    for label in labels:
        of = kinds[label]
        others = [truth_label for truth_label in labels if truth_label != label]
        assert sum(confused[other][label] for other in others) == of["class"]
        assert confused["background"][label] == sum(of.values()) - of["missed"] - of["class"]
        assert confused[label]["background"] == of["missed"] + of["localisation"]
    for kind in ERROR_KINDS:
        assert sum(of[kind] for of in kinds.values()), f"no {kind}: the drawing does not reach it"
