"""Which detection finds which object, by the rules of COCO, for all images, classes and IoU thresholds at once.

Source of the rules: `COCOeval.evaluateImg` of pycocotools. Within an image and a class, detections choose in the order
of their scores; each takes the free object with the largest IoU that reaches the threshold (of equals the last one),
and only where no other is left an object that is to be ignored. The best 100 detections count.

Truth that parse marks as ignored is never missed, and any number of detections may find it, neither right nor wrong. Of
a crowd what counts is the share of the detection that lies in it, in place of the IoU, as in the library; of a
difficult object the IoU, as in Pascal VOC.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.tables import BOX, CROWD

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

IOU_THRESHOLDS: Floats = np.linspace(0.5, 0.95, 10)
IOU_50: Floats = IOU_THRESHOLDS[:1]
MAX_DETECTIONS = 100  # per image and class, as COCO has it
_PAIRS_AT_ONCE = 2_000_000  # box pairs whose IoU is computed together: about 200 MB


@dataclass(frozen=True)
class Boxes:
    """Columns of a table of boxes as arrays; `image` and `label` count in the order of `Scene`."""

    image: Ints  # (n,)
    label: Ints  # (n,)
    xywh: Floats  # (n, 4), pixels; COCO's form, so that its rounding is repeated
    score: Floats  # (n,); ones for truth
    ignored: Bools  # (n,) neither missed nor counted; false for predictions
    crowd: Bools  # (n,) which of these are crowds

    def __len__(self) -> int:
        return len(self.image)

    @property
    def area(self) -> Floats:
        """Area of each box in pixels, (n,)."""
        return self.xywh[:, 2] * self.xywh[:, 3]

    def rows(self, rows: Ints | Bools) -> "Boxes":
        """The boxes of these rows."""
        return Boxes(
            self.image[rows],
            self.label[rows],
            self.xywh[rows],
            self.score[rows],
            self.ignored[rows],
            self.crowd[rows],
        )


@dataclass(frozen=True)
class Scene:
    """Truth and predictions of one set of images."""

    images: list[str]  # ids, sorted: equal scores count in this order, then in the order of the table
    labels: list[str]
    truth: Boxes
    predictions: Boxes


@dataclass(frozen=True)
class Matches:
    """The detections that count, by class and then by score, the best first; and what each one found."""

    labels: list[str]
    ious: Floats  # (t,) thresholds
    start: Ints  # (labels + 1,): class c has the rows start[c] to start[c + 1]
    row: Ints  # (n,) of the predictions
    image: Ints  # (n,)
    score: Floats  # (n,)
    found: NDArray[np.int32]  # (n, t) row of the truth; -1 nothing
    ignored: Bools  # (n, t) neither right nor wrong: found what is ignored, or nothing outside of its slice
    truth_label: Ints  # of the objects that count
    truth_image: Ints

    def of(self, label: int) -> slice:
        """The rows that the detections of one class have."""
        return slice(int(self.start[label]), int(self.start[label + 1]))

    @property
    def label(self) -> Ints:
        """Class of each detection, (n,)."""
        return np.repeat(np.arange(len(self.labels)), np.diff(self.start))

    def judged(self, rows: slice = slice(None)) -> tuple[Floats, Bools]:
        """Scores of the detections that are right or wrong at the first threshold, and which are right."""
        counts = ~self.ignored[rows, 0]
        return self.score[rows][counts], self.found[rows, 0][counts] >= 0

    @property
    def objects(self) -> Ints:
        """Number of objects that count, per class: (classes,)."""
        return np.bincount(self.truth_label, minlength=len(self.labels))


def scene(truth: pd.DataFrame, predictions: pd.DataFrame, images: list[str], labels: list[str]) -> Scene:
    """Turn tables into arrays.

    truth: columns image_id, label, the box, and `ignored` if any are; predictions: contracts.tables.PREDICTIONS. Rows
    of images or labels that are not listed are left out.
    """
    images = sorted(images)
    return Scene(images, labels, _boxes(truth, images, labels), _boxes(predictions, images, labels))


def _boxes(table: pd.DataFrame, images: list[str], labels: list[str]) -> Boxes:
    image = pd.Index(images, dtype=object).get_indexer(pd.Index(table["image_id"].to_numpy(dtype=object)))
    label = pd.Index(labels, dtype=object).get_indexer(pd.Index(table["label"].to_numpy(dtype=object)))
    xywh = table[BOX].to_numpy(dtype=np.float64, copy=True).reshape(-1, 4)
    xywh[:, 2:] -= xywh[:, :2]
    score = table["score"].to_numpy(dtype=np.float64) if "score" in table else np.ones(len(table))
    why = table["ignored"] if "ignored" in table else pd.Series(None, index=table.index, dtype=object)
    ignored, crowd = why.notna().to_numpy(dtype=bool), (why == CROWD).to_numpy(dtype=bool)
    boxes = Boxes(image.astype(np.int64), label.astype(np.int64), xywh, score, ignored, crowd)
    return boxes.rows((image >= 0) & (label >= 0))


def match(
    boxes: Scene,
    ious: Floats = IOU_THRESHOLDS,
    ignored_truth: Bools | None = None,
    ignored_if_unmatched: Bools | None = None,
) -> Matches:
    """Match every detection at every IoU threshold.

    ignored_truth: (objects,) objects of another slice: who finds them is neither right nor wrong. Unlike those that
    are ignored in every slice, each excuses one detection, as COCO has it for objects of other sizes.
    ignored_if_unmatched: (predictions,) detections that are no mistake if they find nothing (COCO: of another size).
    """
    truth, predictions = boxes.truth, boxes.predictions
    if ignored_truth is None:
        ignored_truth = np.zeros(len(truth), dtype=bool)
    ignored_truth = ignored_truth | truth.ignored
    rows, cell, rank = _best_detections(predictions, len(boxes.images))
    detection, wanted, iou = box_pairs(
        predictions.rows(rows), truth, cell, truth.label * len(boxes.images) + truth.image, float(ious[0])
    )
    # Of one detection the most wanted object first; of equal ones the last.
    order = np.lexsort((-wanted, -iou, ignored_truth[wanted], detection))
    pairs = _Pairs(detection[order], wanted[order], iou[order])
    found_by_rank = _greedy(pairs, rank, len(rows), truth.ignored, np.minimum(ious, 1 - 1e-10))

    order = np.lexsort((-predictions.score[rows], predictions.label[rows]))
    rows, found = rows[order], found_by_rank[order]
    ignored = (found >= 0) & ignored_truth[found] if len(truth) else np.zeros(found.shape, dtype=bool)
    if ignored_if_unmatched is not None:
        ignored |= (found < 0) & ignored_if_unmatched[rows, None]
    label = predictions.label[rows]
    return Matches(
        labels=boxes.labels,
        ious=ious,
        start=np.searchsorted(label, np.arange(len(boxes.labels) + 1)).astype(np.int64),
        row=rows,
        image=predictions.image[rows],
        score=predictions.score[rows],
        found=found,
        ignored=ignored,
        truth_label=truth.label[~ignored_truth],
        truth_image=truth.image[~ignored_truth],
    )


def _best_detections(predictions: Boxes, images: int) -> tuple[Ints, Ints, Ints]:
    """Rows of the detections that count, their cell (class and image) and their rank in it; sorted by cell and rank."""
    cell = predictions.label * images + predictions.image
    rows = np.lexsort((-predictions.score, cell))
    cell = cell[rows]
    rank = np.arange(len(rows)) - np.searchsorted(cell, cell)
    kept = rank < MAX_DETECTIONS
    return rows[kept], cell[kept], rank[kept]


def box_pairs(boxes: Boxes, others: Boxes, cell: Ints, other_cell: Ints, least_iou: float) -> tuple[Ints, Ints, Floats]:
    """Rows of `boxes`, rows of `others` and their IoU, for all pairs of equal cells that overlap by `least_iou`.

    Of others that are crowds it is the share of the box that lies in them.

    Sorted by the row of `boxes`, then of `others`.
    """
    by_cell = np.argsort(other_cell, kind="stable")
    first = np.searchsorted(other_cell[by_cell], cell)
    count = np.searchsorted(other_cell[by_cell], cell, side="right") - first
    before = np.concatenate([[0], np.cumsum(count)])
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    low = 0
    while low < len(boxes):
        high = max(low + 1, int(np.searchsorted(before, before[low] + _PAIRS_AT_ONCE, side="right")) - 1)
        row = np.repeat(np.arange(low, high), count[low:high])
        other = by_cell[first[row] + np.arange(before[low], before[high]) - before[row]]
        iou = _iou(boxes.xywh[row], others.xywh[other], others.crowd[other])
        enough = iou >= least_iou
        parts.append((row[enough], other[enough], iou[enough]))
        low = high
    rows, other_rows, ious = (np.concatenate(column) for column in zip(*parts, strict=True))
    return rows, other_rows, ious


def _iou(a_xywh: Floats, b_xywh: Floats, b_is_crowd: Bools) -> Floats:
    """IoU of boxes row by row, in the order of operations of COCO's `bbIou`."""
    a_end, b_end = a_xywh[:, :2] + a_xywh[:, 2:], b_xywh[:, :2] + b_xywh[:, 2:]
    sides = np.minimum(a_end, b_end) - np.maximum(a_xywh[:, :2], b_xywh[:, :2])
    common = np.where((sides > 0).all(axis=1), sides[:, 0] * sides[:, 1], 0.0)
    area = a_xywh[:, 2] * a_xywh[:, 3]
    union = np.where(b_is_crowd, area, area + b_xywh[:, 2] * b_xywh[:, 3] - common)
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


@dataclass(frozen=True)
class _Pairs:
    """Detections (ascending) beside objects that they may find."""

    detection: Ints
    truth: Ints
    iou: Floats


def _greedy(pairs: _Pairs, rank: Ints, detections: int, shared: Bools, ious: Floats) -> NDArray[np.int32]:
    """(detections, thresholds): the object that each detection gets, or -1. shared: (objects,) those that many may get.

    Cells do not touch each other, so all detections of one turn choose at once: first each cell's best, then its next.
    """
    found = np.full((detections, len(ious)), -1, dtype=np.int32)
    if not len(pairs.detection):
        return found
    taken = np.zeros((len(shared), len(ious)), dtype=bool)
    chooser, first, count = np.unique(pairs.detection, return_index=True, return_counts=True)
    turns = rank[chooser]
    by_turn = np.argsort(turns, kind="stable")
    ends = np.cumsum(np.bincount(turns))
    for begin, end in zip(np.concatenate([[0], ends[:-1]]), ends, strict=True):
        now = by_turn[begin:end]
        for wish in range(int(count[now].max(initial=0))):
            now = now[count[now] > wish]
            pair = first[now] + wish
            who, what = chooser[now], pairs.truth[pair]
            gets = (pairs.iou[pair, None] >= ious) & ~taken[what] & (found[who] < 0)
            taken[what] |= gets & ~shared[what, None]
            found[who] = np.where(gets, what[:, None], found[who])
    return found
