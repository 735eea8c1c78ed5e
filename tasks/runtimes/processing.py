"""From an image to the network's input, and from its output to boxes: one way for every runtime.

Evaluation, calibration and serving all pass through here, so that what was measured is what runs. The conventions are
those of the training library's validation; another interpolation or rounding alone moves mAP50 by some thousandths.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.contracts.bundle import Output, Preprocessing
from tasks.dataset.decoding import Image

Floats = NDArray[np.float32]
Boxes = NDArray[np.float64]
Indices = NDArray[np.int64]

# OpenCV compares each candidate with all that were kept and knows no limit: 8,000 scattered boxes take half a second.
# In blocks by falling score it ends as soon as there are enough.
_NMS_BLOCK = 500
_NMS_CANDIDATES = 30_000  # the best by score; more would only come from a network that has learnt nothing


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found in one image, best score first."""

    boxes_xyxy: Boxes  # (n, 4) absolute pixels of the image, inside it
    scores: NDArray[np.float64]  # (n,)
    class_indices: Indices  # (n,) into Bundle.classes

    def at(self, selection: Indices | NDArray[np.bool_] | slice) -> "Detections":
        """Those of the boxes that a numpy index selects."""
        return Detections(self.boxes_xyxy[selection], self.scores[selection], self.class_indices[selection])


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image stands in the network's input: input = image * gain + offset, per axis."""

    image_wh: tuple[int, int]
    gain_xy: tuple[float, float]
    offset_xy: tuple[int, int]


def preprocess(image: Image, preprocessing: Preprocessing) -> tuple[Floats, Placement]:
    """Place an RGB uint8 image (height, width, 3) in the network's input: (1, 3, height, width) float32, and where."""
    height, width = image.shape[:2]
    input_w, input_h = preprocessing.input_wh
    resized_w, resized_h = _resized_wh((width, height), preprocessing)
    # Half a pixel of border goes to the right and the bottom.
    left, top = round((input_w - resized_w) / 2 - 0.1), round((input_h - resized_h) / 2 - 0.1)
    canvas = np.full((input_h, input_w, 3), preprocessing.fill, dtype=np.uint8)
    inside = canvas[top : top + resized_h, left : left + resized_w]
    if (resized_w, resized_h) == (width, height):
        inside[:] = image
    else:
        cv2.resize(image, (resized_w, resized_h), dst=inside, interpolation=cv2.INTER_LINEAR)
    pixels: Floats = cv2.dnn.blobFromImage(canvas, scalefactor=preprocessing.scale, ddepth=cv2.CV_32F)
    return pixels, Placement((width, height), (resized_w / width, resized_h / height), (left, top))


def _resized_wh(image_wh: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    input_w, input_h = preprocessing.input_wh
    if preprocessing.resize == "stretch":
        return input_w, input_h
    width, height = image_wh
    ratio = min(input_w / width, input_h / height)
    # Rounded up, as in validation; prediction in the training library rounds to the nearest.
    return min(math.ceil(width * ratio), input_w), min(math.ceil(height * ratio), input_h)


def postprocess(network_output: Floats, output: Output, placement: Placement, input_wh: tuple[int, int]) -> Detections:
    """Turn the network's output (see contracts.bundle.Output) into boxes of the image.

    An anchor may be several classes at once if several of its scores are above `min_score`: AP and thresholds are
    per class, DETR and end-to-end heads choose that way themselves, and serving must equal what was evaluated. Under
    class-agnostic suppression only the best of them is left. A higher `min_score` only cuts the list off: it never
    changes the boxes above it.
    """
    return select(candidates(network_output, output, input_wh), output, placement)


def select(found: Detections, output: Output, placement: Placement) -> Detections:
    """The boxes to keep of all candidates, as boxes of the image."""
    if output.layout == "yolo":
        kept = non_maximum_suppression(found, output.nms_iou, output.max_detections, agnostic=output.nms_agnostic)
        found = found.at(kept)
    return onto_image(found.at(slice(output.max_detections)), placement)


def candidates(network_output: Floats, output: Output, input_wh: tuple[int, int]) -> Detections:
    """Every box and class above `min_score`, in input pixels and before NMS; without NMS to come, best first."""
    if output.layout == "yolo":
        return _yolo_candidates(network_output[0], output.min_score)
    rows = network_output[0].astype(np.float64)
    rows = rows[rows[:, 4] > output.min_score]
    boxes = _corners(rows[:, :4] * np.tile(input_wh, 2)) if output.layout == "detr" else rows[:, :4]
    return Detections(boxes, rows[:, 4], rows[:, 5].astype(np.int64))


def _yolo_candidates(columns: Floats, min_score: float) -> Detections:
    # A network that predicts free box sides (reg_max 1) may give a box without area.
    promising = np.flatnonzero((columns[4:].max(axis=0) > min_score) & (columns[2:4].min(axis=0) > 0))
    rows = columns[:, promising].T.astype(np.float64)
    anchors, classes = np.nonzero(rows[:, 4:] > min_score)
    return Detections(_corners(rows[:, :4])[anchors], rows[anchors, 4 + classes], classes)


def _corners(boxes_cxcywh: Boxes) -> Boxes:
    half = boxes_cxcywh[:, 2:] / 2
    return np.hstack([boxes_cxcywh[:, :2] - half, boxes_cxcywh[:, :2] + half])


def onto_image(found: Detections, placement: Placement) -> Detections:
    """Map boxes from input pixels to the image and clip them there; a box that has no area left shows nothing."""
    boxes = (found.boxes_xyxy - np.tile(placement.offset_xy, 2)) / np.tile(placement.gain_xy, 2)
    boxes = np.clip(boxes, 0.0, np.tile(placement.image_wh, 2))
    visible = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return replace(found, boxes_xyxy=boxes).at(visible)


def non_maximum_suppression(found: Detections, iou: float, limit: int, *, agnostic: bool = False) -> Indices:
    """Indices of the boxes that no better box overlaps by more than `iou`: best first, `limit` at most.

    A better box of the same class, or of any class if agnostic. Greedy, as `torchvision.ops.batched_nms` and `nms`;
    ties go to the earlier box. Boxes have an area, scores are above 0.
    """
    order = np.argsort(-found.scores, kind="stable")[:_NMS_CANDIDATES]
    boxes_xywh = np.hstack([found.boxes_xyxy[:, :2], found.boxes_xyxy[:, 2:] - found.boxes_xyxy[:, :2]])
    if not agnostic:
        # Classes stand side by side, too far apart to overlap.
        boxes_xywh[:, 0] += found.class_indices * (2 * np.abs(found.boxes_xyxy).max(initial=0.0) + 1)
    kept = order[:0]
    for start in range(0, len(order), _NMS_BLOCK):
        # Those kept so far come first and do not overlap, so going on with them is the same as one pass over all.
        pool = np.concatenate([kept, order[start : start + _NMS_BLOCK]])
        kept = pool[cv2.dnn.NMSBoxes(boxes_xywh[pool], found.scores[pool], 0.0, iou)]
        if len(kept) >= limit:
            break
    return kept[:limit]


def box_iou(boxes_xyxy: Boxes, others_xyxy: Boxes) -> Boxes:
    """Intersection over union of each box (n, 4) with each other box (m, 4): (n, m); 0 where both have no area."""
    corner_min = np.maximum(boxes_xyxy[:, None, :2], others_xyxy[None, :, :2])
    corner_max = np.minimum(boxes_xyxy[:, None, 2:], others_xyxy[None, :, 2:])
    intersection = np.clip(corner_max - corner_min, 0.0, None).prod(axis=2)
    areas, other_areas = (np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (boxes_xyxy, others_xyxy))
    union = areas[:, None] + other_areas[None, :] - intersection
    iou: Boxes = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return iou
