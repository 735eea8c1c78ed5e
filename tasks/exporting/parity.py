"""How far an artefact's boxes are from the checkpoint's on the same images."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.bundle import Output, Parity
from tasks.dataset.decoding import Image
from tasks.runtimes.processing import (
    Detections,
    box_iou,
    candidates,
    onto_image,
    preprocess,
    select,
)
from tasks.runtimes.protocol import LibraryRun, Runtime

_MATCH_IOU = 0.5
# NMS keeps one of two overlapping boxes whose scores differ by less than rounding does: either is right.
_NEAR_TIE = 0.02
# A box of the artefact is no ghost where the checkpoint has one of at least this share of the score that counts.
_NEAR_SCORE = 0.5
_BEST_BOXES = 10  # of each image, where no box of the checkpoint reaches the score that counts
_FEWEST_FOR_BIAS = 5  # boxes; of fewer, a median may well lie to one side
_ROWS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class ImageParity:
    """One image: what the checkpoint found, the artefact's box for each, if it has one, and what else that found."""

    expected: Detections
    found: Detections
    partners: NDArray[np.int64]  # index into `found` per expected box; -1: not found again
    extra: NDArray[np.int64]  # indices into `found` of boxes that count and that the checkpoint does not have
    shifts_xyxy: NDArray[np.float64]  # (n, 4) pixels, signed, per expected box that was found again
    score: NDArray[np.float64]  # change, signed, of the same
    gain_xy: tuple[float, float]  # pixels of the network's input per pixel of the image

    @property
    def box_px(self) -> NDArray[np.float64]:
        """Largest difference of a coordinate, per expected box that was found again."""
        off: NDArray[np.float64] = np.abs(self.shifts_xyxy).max(axis=1, initial=0.0)
        return off

    @property
    def of_size(self) -> NDArray[np.float64]:
        """`box_px` as a share of the box's size, the root of its area."""
        boxes = self.expected.boxes_xyxy[self.partners >= 0]
        shares: NDArray[np.float64] = self.box_px / np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        return shares

    @property
    def badness(self) -> tuple[int, float]:
        """Sorts images from the best to the worst."""
        return int((self.partners < 0).sum()) + len(self.extra), float(self.box_px.max(initial=0.0))


@dataclass(frozen=True, slots=True)
class _View:
    """What the checkpoint makes of an image."""

    found: Detections
    around: Detections  # all that its NMS chose from
    known: Detections | None  # where a box of the other is no extra one; None: where one of `found` has no partner
    gain_xy: tuple[float, float]


def compare(checkpoint: Runtime, artefact: Runtime, images: list[Image], score: float) -> list[ImageParity]:
    """Hold the artefact to the checkpoint on each image, over the boxes of either from `score` up.

    Raises NotFiniteError.
    A checkpoint that has learnt little may have no such box at all: then over the best ten of each image.
    """
    views = [_view(checkpoint, image) for image in images]
    return _match_all(views, [artefact.predict(image) for image in images], checkpoint.bundle.output, score)


def compare_with_library(
    checkpoint: Runtime, images: list[Image], seen: list[LibraryRun], score: float
) -> list[ImageParity]:
    """Hold the training library's own boxes to ours, both of the checkpoint, as `compare` does."""
    views = [_view(checkpoint, image, one_class=True) for image in images]
    return _match_all(views, [each.found for each in seen], checkpoint.bundle.output, score)


def grey_levels_off(checkpoint: Runtime, image: Image, seen: LibraryRun) -> float:
    """The largest difference of the network's input from the library's, in grey levels; infinite for another shape."""
    pixels, _ = preprocess(image, checkpoint.bundle.preprocessing)
    if pixels.shape != seen.pixels.shape:
        return float("inf")
    return float(np.abs(pixels - seen.pixels).max()) * 255


def _view(checkpoint: Runtime, image: Image, one_class: bool = False) -> _View:
    """What the checkpoint makes of an image.

    one_class: of the best class of each place alone, as the library's predict has it before NMS.
    """
    preprocessing, output = checkpoint.bundle.preprocessing, checkpoint.bundle.output
    raw, placement = checkpoint.run(image)
    around = candidates(raw, output, preprocessing.input_wh)
    if one_class and output.layout == "yolo":
        around = _best_class(around)
    found, around_on_image = select(around, output, placement), onto_image(around, placement)
    # What suppression chose from may show by rounding alone; the library is to choose as we do.
    known = around_on_image if output.layout == "yolo" and not one_class else None
    return _View(found, around_on_image, known, placement.gain_xy)


def _best_class(found: Detections) -> Detections:
    order = np.argsort(-found.scores, kind="stable")
    _, first = np.unique(found.boxes_xyxy[order], axis=0, return_index=True)
    return found.at(order[np.sort(first)])


def _match_all(views: list[_View], found: list[Detections], output: Output, score: float) -> list[ImageParity]:
    if any((view.found.scores >= score).any() for view in views):
        counting = [view.found.scores >= score for view in views]
    else:
        counting = [np.arange(len(view.found.scores)) < _BEST_BOXES for view in views]
    return [
        _match(replace(view, found=view.found.at(counts)), view.found, other, output, score)
        for view, counts, other in zip(views, counting, found, strict=True)
    ]


def _match(view: _View, every: Detections, found: Detections, output: Output, least: float) -> ImageParity:
    """Pair boxes of one class by overlap, the best expected box choosing first; scores may be tied and say little.

    every: what the checkpoint found, the boxes that count first.
    """
    expected, around = view.found, view.around
    overlap = _overlap(expected, found)
    partners = np.full(len(expected.scores), -1, dtype=np.int64)
    shifts, score = [], []
    for index in range(len(partners)):
        best = int(overlap[index].argmax()) if overlap.shape[1] else -1
        if best < 0 or overlap[index, best] < _MATCH_IOU:
            continue
        partners[index] = best
        overlap[:, best] = 0.0
        shift, change = _difference(
            expected.at(slice(index, index + 1)), around, found.at(slice(best, best + 1)), output
        )
        shifts.append(shift)
        score.append(change)
    # Without suppression a second box on an object is one too many.
    known = every.at(slice(len(partners), None)) if view.known is None else view.known
    alone = np.setdiff1d(np.flatnonzero(found.scores >= least), partners)
    near = _overlap(found.at(alone), known.at(known.scores >= least * _NEAR_SCORE))
    extra = alone[near.max(axis=1, initial=0.0) < _MATCH_IOU]
    return ImageParity(expected, found, partners, extra, np.array(shifts).reshape(-1, 4), np.array(score), view.gain_xy)


def _overlap(boxes: Detections, others: Detections) -> NDArray[np.float64]:
    """IoU of each box with each other one, 0 between classes."""
    overlap = box_iou(boxes.boxes_xyxy, others.boxes_xyxy)
    overlap[boxes.class_indices[:, None] != others.class_indices[None, :]] = 0.0
    return overlap


def _difference(
    expected: Detections, around: Detections, partner: Detections, output: Output
) -> tuple[NDArray[np.float64], float]:
    """Shifts in pixels, and of the score; to the nearest of the boxes that NMS might as well have kept."""
    boxes, scores = expected.boxes_xyxy, expected.scores
    if output.layout == "yolo":
        tied = (around.class_indices == expected.class_indices) & (np.abs(around.scores - scores) < _NEAR_TIE)
        near = around.at(tied)
        near = near.at(box_iou(near.boxes_xyxy, boxes)[:, 0] > output.nms_iou)
        boxes, scores = np.concatenate([boxes, near.boxes_xyxy]), np.concatenate([scores, near.scores])
    shifts = partner.boxes_xyxy - boxes
    nearest = int(np.abs(shifts).max(axis=1).argmin())
    return shifts[nearest], float(partner.scores[0] - scores[nearest])


def summarise(compared: list[ImageParity]) -> Parity:
    """Counts, quantiles and extremes over all images."""
    box_px = np.concatenate([each.box_px for each in compared])
    of_size = np.concatenate([each.of_size for each in compared])
    shifts = np.concatenate([each.shifts_xyxy * np.tile(each.gain_xy, 2) for each in compared])
    score = np.abs(np.concatenate([each.score for each in compared]))
    return Parity(
        images=len(compared),
        boxes=sum(len(each.expected.scores) for each in compared),
        matched=len(box_px),
        extra=sum(len(each.extra) for each in compared),
        max_box_px=float(box_px.max()) if len(box_px) else None,
        max_score=float(score.max()) if len(score) else None,
        mean_box_px=float(box_px.mean()) if len(box_px) else None,
        mean_score=float(score.mean()) if len(score) else None,
        # Of few boxes one may be far off, too.
        p90_box=float(np.quantile(of_size, 0.9, method="lower")) if len(score) else None,
        p90_score=float(np.quantile(score, 0.9, method="lower")) if len(score) else None,
        bias_input_px=float(np.abs(np.median(shifts, axis=0)).max()) if len(score) >= _FEWEST_FOR_BIAS else None,
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
