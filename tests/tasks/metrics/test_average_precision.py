"""AP equals pycocotools, and a weighted resample equals one that is really drawn."""

import contextlib
import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tasks.contracts.tables import BOX, CROWD, DIFFICULT
from tasks.metrics.average_precision import average_precisions
from tasks.metrics.matching import Scene, match, scene
from tasks.metrics.slices import SIZES, size_parts
from tests.fixtures.coco_library import library_average_precisions
from tests.fixtures.scene import Draw, random_scene

pytestmark = pytest.mark.slow

LABELS = ["bolt", "crack", "nut", "never seen"]
DRAWS = {
    "plain": Draw(),
    "ties everywhere": Draw(decimals=1),
    "all scores equal": Draw(decimals=0, images=8),
    "more than 100 detections of a class in an image": Draw(images=3, objects=60, false_alarms=400),
    "crowded, so that detections compete": Draw(images=6, objects=60, side_px=(60, 90)),
    "most images empty": Draw(images=200, objects=0.2, false_alarms=0.1),
    "few objects, where recall levels are hit exactly": Draw(images=20, objects=1, found=1.0, false_alarms=0.5),
    "hundred objects of a class": Draw(images=20, objects=5, labels=["bolt"], found=0.95),
    "no detection": Draw(found=0.0, false_alarms=0.0),
    "no object": Draw(objects=0.0),
    "nothing": Draw(objects=0.0, false_alarms=0.0),
}


def coco_precision(boxes: Scene) -> NDArray[np.float64]:
    """(ious, classes, area ranges) of AP by pycocotools; NaN without objects."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        for coco, side in ((truth, boxes.truth), (found, boxes.predictions)):
            coco.dataset = {
                "images": [{"id": number} for number in range(len(boxes.images))],
                "categories": [{"id": number} for number in range(len(boxes.labels))],
                "annotations": [
                    {
                        "id": row + 1,
                        "image_id": int(side.image[row]),
                        "category_id": int(side.label[row]),
                        "bbox": side.xywh[row].tolist(),
                        "area": float(side.area[row]),
                        "score": float(side.score[row]),
                        "iscrowd": int(side.crowd[row]),
                    }
                    for row in range(len(side))
                ],
            }
            coco.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, :, -1]
    aps: NDArray[np.float64] = np.where(precision < 0, np.nan, precision).mean(axis=1)
    return aps


def own_precision(boxes: Scene) -> NDArray[np.float64]:
    one_group = np.zeros(len(boxes.images), dtype=np.int64)
    return average_precisions(match(boxes), one_group, np.ones((1, 1)))[:, :, 0]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_ap_of_every_class_and_iou_equals_pycocotools(draw: Draw, seed: int) -> None:
    boxes = scene(*random_scene(draw, seed), LABELS)
    expected = coco_precision(boxes)[:, :, 0].T
    np.testing.assert_allclose(own_precision(boxes), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(library_average_precisions(boxes), expected, rtol=0, atol=1e-9)


CROWDED = Draw(images=8, objects=12, side_px=(10, 300), found=0.9, crowds=0.3)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "draw",
    [CROWDED, replace(CROWDED, decimals=1), replace(CROWDED, crowds=0.95), replace(CROWDED, objects=60, images=3)],
    ids=["some crowds", "ties", "hardly anything else", "more than 100 detections"],
)
def test_ap_with_crowds_equals_pycocotools_in_every_range_of_sizes(draw: Draw, seed: int) -> None:
    boxes = scene(*random_scene(draw, seed), LABELS)
    assert boxes.truth.crowd.any()
    expected = coco_precision(boxes)
    np.testing.assert_allclose(own_precision(boxes), expected[:, :, 0].T, rtol=0, atol=1e-9)
    np.testing.assert_allclose(library_average_precisions(boxes), expected[:, :, 0].T, rtol=0, atol=1e-9)
    for index, part in enumerate(size_parts(boxes, (32, 96)), start=1):
        matches = match(boxes, ignored_truth=~part.truth, ignored_if_unmatched=~part.predictions)
        ap = average_precisions(matches, np.zeros(len(boxes.images), dtype=np.int64), np.ones((1, 1)))[:, :, 0]
        np.testing.assert_allclose(ap, expected[:, :, index].T, rtol=0, atol=1e-9, err_msg=SIZES[index - 1])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("crowds", [0.0, 0.2])
def test_ap_with_difficult_objects_equals_that_of_the_library(seed: int, crowds: float) -> None:
    draw = replace(CROWDED, difficult=0.3, crowds=crowds)
    truth, predictions, images = random_scene(draw, seed)
    boxes = scene(truth, predictions, images, LABELS)
    assert (boxes.truth.ignored & ~boxes.truth.crowd).any()
    np.testing.assert_allclose(own_precision(boxes), library_average_precisions(boxes), rtol=0, atol=1e-9)
    counted_as_others = scene(truth.drop(columns="ignored"), predictions, images, LABELS)
    assert not np.allclose(own_precision(boxes), own_precision(counted_as_others), equal_nan=True)


@pytest.mark.parametrize(
    ("why", "excused"), [(CROWD, [True, True, True, False]), (DIFFICULT, [True, True, False, False])]
)
def test_any_number_of_detections_may_find_what_is_ignored(why: str, excused: list[bool]) -> None:
    boxes = by_hand(
        [[100.0, 100, 200, 200]],
        [[100, 100, 200, 200], [95, 100, 195, 200], [100, 100, 130, 130], [300, 300, 340, 340]],
        ignored=why,
    )
    matches = match(boxes)
    assert matches.objects.tolist() == [0]
    assert matches.ignored[:, 0].tolist() == excused


def by_hand(truth: list[list[float]], predictions: list[list[float]], ignored: str | None = None) -> Scene:
    columns = ["image_id", "label", *BOX]
    objects = pd.DataFrame([["a", "bolt", *box] for box in truth], columns=columns)
    found = pd.DataFrame([["a", "bolt", *box] for box in predictions], columns=columns)
    objects["ignored"] = ignored
    return scene(objects, found.assign(score=np.linspace(0.9, 0.1, len(found))), ["a"], ["bolt"])


@pytest.mark.parametrize("second", [[80, 100, 180, 200], [120, 100, 220, 200]], ids=["left", "right"])
def test_of_two_objects_covered_equally_the_last_is_taken_as_in_pycocotools(second: list[float]) -> None:
    left, right, between = [80.0, 100, 180, 200], [120.0, 100, 220, 200], [100.0, 100, 200, 200]
    boxes = by_hand([left, right], [between, second])
    np.testing.assert_allclose(own_precision(boxes), coco_precision(boxes)[:, :, 0].T, atol=1e-9)


def test_object_that_counts_is_taken_before_one_that_is_ignored_as_in_pycocotools() -> None:
    small, medium = [100.0, 100, 130, 130], [100.0, 100, 135, 135]
    boxes = by_hand([medium, small], [medium])
    part = size_parts(boxes, (32, 96))[0]
    matches = match(boxes, ignored_truth=~part.truth, ignored_if_unmatched=~part.predictions)
    ap = average_precisions(matches, np.zeros(1, dtype=np.int64), np.ones((1, 1)))[:, :, 0]
    assert ap[0, 0] == pytest.approx(1.0)
    np.testing.assert_allclose(ap, coco_precision(boxes)[:, :, 1].T, atol=1e-9)


@pytest.mark.parametrize("draw", [DRAWS["plain"], DRAWS["ties everywhere"]], ids=["plain", "ties"])
def test_ap_by_object_size_equals_pycocotools(draw: Draw) -> None:
    boxes = scene(*random_scene(draw, 5), LABELS)
    expected = coco_precision(boxes)
    for index, part in enumerate(size_parts(boxes, (32, 96)), start=1):
        matches = match(boxes, ignored_truth=~part.truth, ignored_if_unmatched=~part.predictions)
        ap = average_precisions(matches, np.zeros(len(boxes.images), dtype=np.int64), np.ones((1, 1)))[:, :, 0]
        np.testing.assert_allclose(ap, expected[:, :, index].T, rtol=0, atol=1e-9, err_msg=SIZES[index - 1])


# Of equal scores within an image a copy of the image repeats the order, a weight does not: both are arbitrary.
@pytest.mark.parametrize("name", ["plain", "crowded, so that detections compete"])
def test_weighted_resample_equals_a_split_with_groups_repeated(name: str) -> None:
    truth, predictions, images = random_scene(DRAWS[name], 11)
    boxes = scene(truth, predictions, images, LABELS)
    group = np.arange(len(images)) // 3
    weights = np.random.default_rng(0).integers(0, 4, size=(group.max() + 1, 6)).astype(np.float32)
    weighted = average_precisions(match(boxes), group, weights)
    for resample in range(weights.shape[1]):
        times = {image: int(weights[group[row], resample]) for row, image in enumerate(images)}
        drawn = scene(repeated(truth, times), repeated(predictions, times), copies(times), LABELS)
        np.testing.assert_allclose(weighted[:, :, resample], own_precision(drawn), rtol=0, atol=1e-5)


def test_weighted_resample_of_a_slice_leaves_ignored_detections_out() -> None:
    truth, predictions, images = random_scene(DRAWS["plain"], 3)
    weights = np.random.default_rng(1).integers(0, 3, size=(len(images), 4)).astype(np.float64)
    part = size_parts(scene(truth, predictions, images, LABELS), (32, 96))[1]
    matches = match(
        scene(truth, predictions, images, LABELS), ignored_truth=~part.truth, ignored_if_unmatched=~part.predictions
    )
    weighted = average_precisions(matches, np.arange(len(images)), weights)
    for resample in range(weights.shape[1]):
        times = {image: int(weights[row, resample]) for row, image in enumerate(images)}
        drawn = scene(repeated(truth, times), repeated(predictions, times), copies(times), LABELS)
        expected = coco_precision(drawn)[:, :, 2].T
        np.testing.assert_allclose(weighted[:, :, resample], expected, rtol=0, atol=1e-9)


def test_more_resamples_than_are_computed_at_once_give_the_same() -> None:
    truth, predictions, images = random_scene(Draw(images=30, objects=200, found=1.0, false_alarms=1.0), 2)
    matches = match(scene(truth, predictions, images, LABELS))
    weights = np.random.default_rng(2).integers(0, 3, size=(len(images), 500)).astype(np.float32)
    together = average_precisions(matches, np.arange(len(images)), weights)
    apart = np.concatenate(
        [average_precisions(matches, np.arange(len(images)), part) for part in np.array_split(weights, 7, axis=1)],
        axis=2,
    )
    np.testing.assert_array_equal(together, apart)


def copies(times: dict[str, int]) -> list[str]:
    return [f"{image}.{copy}" for image, count in times.items() for copy in range(count)]


def repeated(table: pd.DataFrame, times: dict[str, int]) -> pd.DataFrame:
    parts = [table.iloc[:0]]
    for copy in range(max(times.values(), default=0)):
        part = table[[times[image] > copy for image in table["image_id"]]]
        parts.append(part.assign(image_id=part["image_id"] + f".{copy}"))
    return pd.concat(parts, ignore_index=True)


def test_rows_of_images_and_labels_that_are_not_listed_do_not_count() -> None:
    truth, predictions, images = random_scene(DRAWS["plain"], 0)
    some = scene(truth, predictions, images[:5], ["bolt"])
    assert len(some.truth) == (truth["image_id"].isin(images[:5]) & (truth["label"] == "bolt")).sum()
    assert len(some.predictions) == (predictions["image_id"].isin(images[:5]) & (predictions["label"] == "bolt")).sum()
