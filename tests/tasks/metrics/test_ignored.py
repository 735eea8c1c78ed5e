"""Crowds and difficult objects leave every figure as if neither they nor the boxes on them were there."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.tables import BOX, CROWD, DIFFICULT, counted
from tasks.contracts.use_case import UseCase
from tasks.metrics.bootstrap import draw
from tasks.metrics.box_outcomes import marked_boxes
from tasks.metrics.curves import curves, score_bins
from tasks.metrics.error_kinds import confusion, error_kinds
from tasks.metrics.matching import IOU_50, Scene, match, scene
from tasks.metrics.operating_points import choose_thresholds, operating_points
from tasks.metrics.slices import measure_slices, parts
from tasks.metrics.use_case import figures, headline
from tests.fixtures.scene import Draw, random_scene

LABELS = ["bolt", "crack", "nut"]
USE_CASE = UseCase(target="onnx", metric="map50")
CROWDED = Draw(images=12, objects=15, side_px=(10, 200), found=0.9, crowds=0.2, difficult=0.2)


def measured(boxes: Scene) -> dict[str, object]:
    matches = match(boxes, IOU_50)
    chosen = choose_thresholds(matches, operating_points(USE_CASE, LABELS))
    thresholds = [threshold.score for threshold in chosen]
    return {
        "thresholds": chosen,
        "objects": matches.objects.tolist(),
        "figures": figures(matches, thresholds),
        "errors": error_kinds(boxes, matches, thresholds),
        "confusion": confusion(boxes, matches, thresholds),
        "curves": curves(matches).to_dict("list"),
        "bins": score_bins(matches, 10, 0.05),
    }


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_without_what_is_ignored(seed: int) -> None:
    truth, predictions, images = random_scene(CROWDED, seed)
    boxes = scene(truth, predictions, images, LABELS)
    matches = match(boxes, IOU_50)
    excused = matches.row[matches.ignored[:, 0]]
    assert len(excused)
    rest = scene(counted(truth), predictions.drop(index=excused.tolist()), images, LABELS)
    assert measured(boxes) == measured(rest)
    assert measured(boxes) != measured(scene(truth.assign(ignored=None), predictions, images, LABELS))


@pytest.mark.parametrize("seed", range(2))
def test_what_is_ignored_is_marked_so(seed: int) -> None:
    truth, predictions, images = random_scene(CROWDED, seed)
    marked = marked_boxes(truth, predictions, images, dict.fromkeys(LABELS, 0.0))
    objects = marked[marked["side"] == "truth"]
    assert ((objects["kind"] == "ignored").to_numpy() == truth["ignored"].notna().to_numpy()).all()
    kinds = marked.loc[marked["side"] == "prediction", "kind"].value_counts()
    counts = error_kinds(boxes := scene(truth, predictions, images, LABELS), match(boxes, IOU_50), [0.0] * 3)
    for kind in ("background", "class", "localisation", "duplicate"):
        assert kinds.get(kind, 0) == sum(of_label[kind] for of_label in counts.values())
    assert kinds["ignored"] == match(boxes, IOU_50).ignored.sum()
    assert kinds.sum() == len(predictions)


def test_a_class_of_which_all_are_ignored_has_no_figure() -> None:
    truth, predictions, _ = random_scene(replace(CROWDED, crowds=0.0, difficult=0.0), 0)
    truth["ignored"] = truth["label"].map({"crack": CROWD})
    named = headline(USE_CASE, truth, predictions).figures
    assert named['ap50 of "crack"'] is None
    assert named['recall of "crack"'] is None
    assert named["map50"] == pytest.approx(np.mean([named['ap50 of "bolt"'], named['ap50 of "nut"']]))


def test_slices_hold_no_ignored_objects() -> None:
    truth = pd.DataFrame(
        [
            ["a", "bolt", 0.0, 0, 20, 20, None, {"light": "day"}],
            ["a", "bolt", 50, 50, 70, 70, DIFFICULT, {"light": "night"}],
            ["a", "bolt", 200, 200, 400, 400, CROWD, {"light": "day"}],
        ],
        columns=["image_id", "label", *BOX, "ignored", "attributes"],
    )
    truth["attributes"] = truth["attributes"].map(json.dumps)
    predictions = truth[["image_id", "label", *BOX]].assign(score=0.9)
    boxes = scene(truth, predictions, ["a"], ["bolt"])
    found, _ = parts(
        boxes,
        pd.DataFrame({"image_id": ["a"], "source": ["line"]}),
        truth,
        edges_px=(32, 96),
        attributes=["light"],
    )
    slices, _ = measure_slices(boxes, found, [0.5], draw(["g"], 10, 0), np.full((1, 1), 0.5))
    assert [(part.by, part.part, part.objects) for part in slices] == [("size", "small", 1), ("light", "day", 1)]
    assert [part.recall.value for part in slices] == [1.0, 1.0]
