"""How far an artefact's boxes are from the checkpoint's on the same images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.bundle import Output, Parity
from tasks.contracts.images import Image
from tasks.runtimes.processing import (
    Detections,
    box_iou,
    candidates,
    onto_image,
    postprocess,
    preprocess,
)
from tasks.runtimes.protocol import Runtime

_MATCH_IOU = 0.5
# NMS keeps one of two overlapping boxes whose scores differ by less than rounding does: either is right.
_NEAR_TIE = 0.02
# A box of the artefact is no ghost where the checkpoint has one of at least this share of the score that counts.
_NEAR_SCORE = 0.5
_BEST_BOXES = 10  # of each image, where no box of the checkpoint reaches the score that counts
_ROWS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class ImageParity:
    """One image: what the checkpoint found, the artefact's box for each, if it has one, and what else that found."""

    expected: Detections
    found: Detections
    partners: NDArray[np.int64]  # index into `found` per expected box; -1: not found again
    extra: NDArray[np.int64]  # indices into `found` of boxes that count and that the checkpoint does not have
    box_px: NDArray[np.float64]  # largest difference of a coordinate, per expected box that was found again
    score: NDArray[np.float64]

    @property
    def badness(self) -> tuple[int, float]:
        """Sorts images from the best to the worst."""
        return int((self.partners < 0).sum()) + len(self.extra), float(self.box_px.max(initial=0.0))


def compare(checkpoint: Runtime, artefact: Runtime, images: list[Image], score: float) -> list[ImageParity]:
    """Hold the artefact to the checkpoint on each image, over the boxes of either from `score` up.

    A checkpoint that has learnt little may have no such box at all: then over the best ten of each image.
    """
    every = [_with_candidates(checkpoint, image) for image in images]
    if not any((expected.scores >= score).any() for expected, _ in every):
        every = [(expected.at(slice(_BEST_BOXES)), around) for expected, around in every]
    else:
        every = [(expected.at(expected.scores >= score), around) for expected, around in every]
    return [
        _match(expected, around, artefact.predict(image), checkpoint.bundle.output, score)
        for (expected, around), image in zip(every, images, strict=True)
    ]


def _with_candidates(checkpoint: Runtime, image: Image) -> tuple[Detections, Detections]:
    """What the checkpoint finds, and all that its NMS chose from."""
    preprocessing, output = checkpoint.bundle.preprocessing, checkpoint.bundle.output
    pixels, placement = preprocess(image, preprocessing)
    raw = checkpoint.network(pixels)
    found = postprocess(raw, output, placement, preprocessing.input_wh)
    return found, onto_image(candidates(raw, output, preprocessing.input_wh), placement)


def _match(expected: Detections, around: Detections, found: Detections, output: Output, least: float) -> ImageParity:
    """Pair boxes of one class by overlap, the best expected box choosing first; scores may be tied and say little."""
    overlap = _overlap(expected, found)
    partners = np.full(len(expected.scores), -1, dtype=np.int64)
    box_px, score = [], []
    for index in range(len(partners)):
        best = int(overlap[index].argmax()) if overlap.shape[1] else -1
        if best < 0 or overlap[index, best] < _MATCH_IOU:
            continue
        partners[index] = best
        overlap[:, best] = 0.0
        differences = _differences(
            expected.at(slice(index, index + 1)), around, found.at(slice(best, best + 1)), output
        )
        box_px.append(differences[0])
        score.append(differences[1])
    # What suppression chose from may show by rounding; without suppression a second box on an object is one too many.
    known = around if output.layout == "yolo" else around.at(slice(len(partners), None))
    alone = np.setdiff1d(np.flatnonzero(found.scores >= least), partners)
    near = _overlap(found.at(alone), known.at(known.scores >= least * _NEAR_SCORE))
    extra = alone[near.max(axis=1, initial=0.0) < _MATCH_IOU]
    return ImageParity(expected, found, partners, extra, np.array(box_px), np.array(score))


def _overlap(boxes: Detections, others: Detections) -> NDArray[np.float64]:
    """IoU of each box with each other one, 0 between classes."""
    overlap = box_iou(boxes.boxes_xyxy, others.boxes_xyxy)
    overlap[boxes.class_indices[:, None] != others.class_indices[None, :]] = 0.0
    return overlap


def _differences(expected: Detections, around: Detections, partner: Detections, output: Output) -> tuple[float, float]:
    """In pixels and in score; to the nearest of the boxes that NMS might as well have kept for `expected`."""
    boxes, scores = expected.boxes_xyxy, expected.scores
    if output.layout == "yolo":
        tied = (around.class_indices == expected.class_indices) & (np.abs(around.scores - scores) < _NEAR_TIE)
        near = around.at(tied)
        near = near.at(box_iou(near.boxes_xyxy, boxes)[:, 0] > output.nms_iou)
        boxes, scores = np.concatenate([boxes, near.boxes_xyxy]), np.concatenate([scores, near.scores])
    off = np.abs(boxes - partner.boxes_xyxy).max(axis=1)
    nearest = int(off.argmin())
    return float(off[nearest]), float(abs(scores[nearest] - partner.scores[0]))


def summarise(compared: list[ImageParity]) -> Parity:
    """The figures over all images."""
    box_px = np.concatenate([each.box_px for each in compared])
    score = np.concatenate([each.score for each in compared])
    return Parity(
        images=len(compared),
        boxes=sum(len(each.expected.scores) for each in compared),
        matched=len(box_px),
        extra=sum(len(each.extra) for each in compared),
        max_box_px=float(box_px.max()) if len(box_px) else None,
        max_score=float(score.max()) if len(score) else None,
        mean_box_px=float(box_px.mean()) if len(box_px) else None,
        mean_score=float(score.mean()) if len(score) else None,
    )


def side_by_side(image: ImageParity, classes: list[str]) -> str:
    """Both outputs for one image as a few lines of text: score and corners in pixels."""
    width = max(map(len, ["class", *classes]))
    pairs = [*enumerate(image.partners), *((-1, index) for index in image.extra)]
    # Those that differ first: they are what is looked for.
    pairs.sort(key=lambda pair: min(pair) >= 0)
    lines = [f"  {'class':{width}}  {'checkpoint':40}  artefact"]
    for index, partner in pairs[:_ROWS_SHOWN]:
        number = image.expected.class_indices[index] if index >= 0 else image.found.class_indices[partner]
        ours, other = _text(image.expected, index), _text(image.found, partner)
        lines.append(f"  {classes[number]:{width}}  {ours:40}  {other}")
    return "\n".join(lines)


def _text(detections: Detections, index: int) -> str:
    if index < 0:
        return "not found"
    corners = " ".join(f"{corner:7.1f}" for corner in detections.boxes_xyxy[index])
    return f"{detections.scores[index]:.3f} [{corners}]"
