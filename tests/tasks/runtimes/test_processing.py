"""One pre- and post-processing for every runtime: where images go, where boxes come out."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.contracts.bundle import Output, Preprocessing
from tasks.runtimes.processing import (
    Detections,
    Placement,
    box_iou,
    non_maximum_suppression,
    onto_image,
    postprocess,
    preprocess,
)

INPUT = Preprocessing(input_wh=(160, 160))
# An object of class 1 in the network's input, and how each layout says so: 40 to 80 across, 60 to 80 down.
IN_INPUT = (40.0, 60.0, 80.0, 80.0)
IN_LAYOUT = {
    "yolo": [[60.0], [70.0], [40.0], [20.0], [0.0], [0.9], [0.0]],
    "end2end": [[40.0, 60.0, 80.0, 80.0, 0.9, 1.0]],
    "detr": [[0.375, 0.4375, 0.25, 0.125, 0.9, 1.0]],
}


def picture(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def network_output(rows: list[list[float]]) -> NDArray[np.float32]:
    return np.array([rows], dtype=np.float32)


@pytest.mark.parametrize(
    ("image_wh", "resized_wh", "offset_xy"),
    [
        pytest.param((160, 160), (160, 160), (0, 0), id="fits"),
        pytest.param((320, 160), (160, 80), (0, 40), id="wide"),
        pytest.param((120, 240), (80, 160), (40, 0), id="tall"),
        pytest.param((80, 60), (160, 120), (0, 20), id="small, grows"),
        pytest.param((333, 200), (160, 97), (0, 31), id="side rounds up, odd border goes below"),
        pytest.param((200, 333), (97, 160), (31, 0), id="the same upright"),
        pytest.param((1000, 1), (160, 1), (0, 79), id="a line keeps a pixel"),
    ],
)
def test_letterbox_keeps_the_aspect_ratio_and_centres(
    image_wh: tuple[int, int], resized_wh: tuple[int, int], offset_xy: tuple[int, int]
) -> None:
    pixels, placement = preprocess(picture(*image_wh), INPUT)
    assert pixels.shape == (1, 3, 160, 160)
    assert placement.offset_xy == offset_xy
    assert placement.gain_xy == (resized_wh[0] / image_wh[0], resized_wh[1] / image_wh[1])


def test_image_stands_in_the_input_as_rgb_on_grey() -> None:
    image = picture(160, 100)
    pixels, placement = preprocess(image, INPUT)
    assert placement.offset_xy == (0, 30)
    np.testing.assert_allclose(pixels[0, :, 30:130], image.transpose(2, 0, 1) / 255, atol=1e-7)
    np.testing.assert_allclose(pixels[0, :, :30], 114 / 255, atol=1e-7)
    np.testing.assert_allclose(pixels[0, :, 130:], 114 / 255, atol=1e-7)


def test_stretching_fills_the_input() -> None:
    _, placement = preprocess(picture(320, 80), INPUT.model_copy(update={"resize": "stretch"}))
    assert placement == Placement((320, 80), (0.5, 2.0), (0, 0))


@pytest.mark.parametrize("layout", IN_LAYOUT)
def test_every_layout_gives_the_same_box_of_the_image(layout: str) -> None:
    # An image of 320 x 200 is halved and stands 30 pixels from the top.
    placement = Placement((320, 200), (0.5, 0.5), (0, 30))
    output = Output.model_validate({"layout": layout})
    found = postprocess(network_output(IN_LAYOUT[layout]), output, placement, (160, 160))
    np.testing.assert_allclose(found.boxes_xyxy, [[80, 60, 160, 100]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.9], atol=1e-6)
    assert found.class_indices.tolist() == [1]


@pytest.mark.parametrize("layout", IN_LAYOUT)
def test_nothing_found_is_an_empty_list_of_boxes(layout: str) -> None:
    output = Output.model_validate({"layout": layout, "min_score": 0.95})
    found = postprocess(network_output(IN_LAYOUT[layout]), output, Placement((160, 160), (1, 1), (0, 0)), (160, 160))
    assert found.boxes_xyxy.shape == (0, 4)
    assert found.scores.shape == found.class_indices.shape == (0,)


def test_boxes_are_clipped_to_the_image_and_gone_outside_of_it() -> None:
    boxes = np.array([[-10.0, 20, 30, 200], [0, 0, 160, 29]])
    found = Detections(boxes, np.array([0.9, 0.8]), np.array([0, 0]))
    on_image = onto_image(found, Placement((160, 100), (1.0, 1.0), (0, 30)))
    assert on_image.boxes_xyxy.tolist() == [[0, 0, 30, 100]]


def test_an_anchor_with_two_likely_classes_is_both() -> None:
    output = network_output([[60.0], [70.0], [40.0], [20.0], [0.3], [0.9], [0.0001]])
    found = postprocess(output, Output(layout="yolo"), Placement((160, 160), (1, 1), (0, 0)), (160, 160))
    assert found.class_indices.tolist() == [1, 0]


def test_a_box_without_area_is_none() -> None:
    output = network_output([[60.0], [70.0], [-40.0], [20.0], [0.9]])
    found = postprocess(output, Output(layout="yolo"), Placement((160, 160), (1, 1), (0, 0)), (160, 160))
    assert len(found.scores) == 0


@pytest.mark.parametrize("most", [5, 300])
def test_a_higher_score_floor_only_cuts_the_list_off(most: int) -> None:
    columns = _crowd(seed=4, boxes=600)
    placement = Placement((160, 160), (1, 1), (0, 0))
    output = Output(layout="yolo", max_detections=most)
    everything = postprocess(columns, output, placement, (160, 160))
    certain = postprocess(columns, output.model_copy(update={"min_score": 0.6}), placement, (160, 160))
    expected = everything.at(everything.scores > 0.6)
    assert 0 < len(certain.scores) == len(expected.scores)
    np.testing.assert_array_equal(certain.boxes_xyxy, expected.boxes_xyxy)


@pytest.mark.parametrize("agnostic", [False, True], ids=["per class", "agnostic"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("boxes", [1, 60, 700])
def test_suppression_equals_the_plain_greedy_loop(seed: int, boxes: int, *, agnostic: bool) -> None:
    found = _detections(_crowd(seed, boxes))
    for limit in (20, 10_000):
        kept = non_maximum_suppression(found, 0.5, limit, agnostic=agnostic)
        assert kept.tolist() == _greedy(found, 0.5, agnostic=agnostic)[:limit]


def test_of_two_equal_scores_the_earlier_box_stays() -> None:
    found = Detections(np.array([[0.0, 0, 10, 10], [1, 0, 11, 10]]), np.array([0.5, 0.5]), np.array([0, 0]))
    assert non_maximum_suppression(found, 0.5, 10).tolist() == [0]


def test_classes_do_not_suppress_each_other() -> None:
    found = Detections(np.array([[0.0, 0, 10, 10], [0, 0, 10, 10]]), np.array([0.5, 0.9]), np.array([0, 1]))
    assert non_maximum_suppression(found, 0.5, 10).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("agnostic", "classes"), [pytest.param(False, [1, 0], id="per class"), pytest.param(True, [1], id="agnostic")]
)
def test_an_object_gets_one_class_where_suppression_is_agnostic(classes: list[int], *, agnostic: bool) -> None:
    # One anchor that is two classes, and a second anchor beside it.
    columns = network_output([[60.0, 62], [70.0, 70], [40.0, 40], [20.0, 20], [0.3, 0.2], [0.9, 0.1]])
    output = Output(layout="yolo", nms_agnostic=agnostic)
    found = postprocess(columns, output, Placement((160, 160), (1, 1), (0, 0)), (160, 160))
    assert found.class_indices.tolist() == classes


def test_overlap_of_boxes_is_intersection_over_union() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [3, 3, 3, 3]])
    others = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]])
    np.testing.assert_allclose(box_iou(boxes, others), np.array([[1, 1 / 3, 0, 0], [0, 0, 0, 0]]))


def _crowd(seed: int, boxes: int) -> NDArray[np.float32]:
    """The output of a yolo network of three classes with overlapping boxes; many scores are equal."""
    rng = np.random.default_rng(seed)
    columns = np.zeros((7, boxes), dtype=np.float32)
    columns[:2] = rng.uniform(20, 140, (2, boxes))
    columns[2:4] = rng.uniform(10, 60, (2, boxes))
    columns[4:] = rng.integers(0, 40, (3, boxes)) / 40 * (rng.random((3, boxes)) < 0.6)
    return columns[None]


def _detections(columns: NDArray[np.float32]) -> Detections:
    centres, sizes = columns[0, :2].T.astype(np.float64), columns[0, 2:4].T.astype(np.float64)
    found = Detections(
        np.hstack([centres - sizes / 2, centres + sizes / 2]),
        columns[0, 4:].max(axis=0).astype(np.float64),
        columns[0, 4:].argmax(axis=0),
    )
    return replace(found, scores=found.scores + 0.01)


def _greedy(found: Detections, iou: float, *, agnostic: bool) -> list[int]:
    overlap = box_iou(found.boxes_xyxy, found.boxes_xyxy)
    kept: list[int] = []
    for index in np.argsort(-found.scores, kind="stable").tolist():
        rivals = [other for other in kept if agnostic or found.class_indices[other] == found.class_indices[index]]
        if not (overlap[index, rivals] > iou).any():
            kept.append(index)
    return kept
