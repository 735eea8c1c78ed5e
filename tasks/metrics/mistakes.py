"""What goes wrong at the operating thresholds: confusion between classes, and the kinds of errors.

A detection that finds no object of its class is, in this order:

    duplicate      it covers an object of its class (IoU at least 0.5) that a better detection has found
    class          it covers an object of another class (IoU at least 0.5)
    localisation   it touches an object of its class (IoU at least 0.1)
    background     none of these

What found an object that is ignored is none of these, nor is such an object missed or the object of another error.
An object is missed if nothing finds it and no class or localisation error points at it. The kinds are those of TIDE
(Bolya et al., ECCV 2020), with its rare "both" counted as background.
"""

from dataclasses import replace

import numpy as np

from tasks.metrics.matching import IOU_50, Floats, Ints, Matches, Scene, box_pairs, match
from tasks.metrics.use_case import operating

BACKGROUND = "background"
KINDS = ("missed", "background", "class", "localisation", "duplicate")
_COVERS, _TOUCHES = 0.5, 0.1


def confusion(boxes: Scene, matches: Matches, thresholds: list[float]) -> dict[str, dict[str, int]]:
    """Truth label -> predicted label -> objects; `background` is truth for false alarms, and prediction for misses.

    Objects are paired with detections of their class first; of what is left, each detection in the order of scores
    takes the object that it covers best, IoU at least 0.5, whatever its class.
    """
    labels = [*boxes.labels, BACKGROUND]
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    right, wrong = operating(matches, thresholds)
    found, false = matches.found[right, 0], matches.row[wrong]
    np.add.at(counts, (boxes.truth.label[found], matches.label[right]), 1)

    free = np.setdiff1d(np.flatnonzero(~boxes.truth.ignored), found)
    crossed = match(_as_one_class(boxes, free, false), IOU_50)
    pair = crossed.found[:, 0] >= 0
    confused, mistaken = free[crossed.found[pair, 0]], false[crossed.row[pair]]
    np.add.at(counts, (boxes.truth.label[confused], boxes.predictions.label[mistaken]), 1)
    counts[:-1, -1] += np.bincount(boxes.truth.label[np.setdiff1d(free, confused)], minlength=len(boxes.labels))
    counts[-1, :-1] += np.bincount(boxes.predictions.label[np.setdiff1d(false, mistaken)], minlength=len(boxes.labels))
    return {
        truth: {predicted: int(count) for predicted, count in zip(labels, row, strict=True)}
        for truth, row in zip(labels, counts, strict=True)
    }


def error_kinds(boxes: Scene, matches: Matches, thresholds: list[float]) -> dict[str, dict[str, int]]:
    """Label -> kind -> count: false detections under the label they carry, missed objects under their own."""
    right, wrong = operating(matches, thresholds)
    found, false = matches.found[right, 0], matches.row[wrong]
    kind, culprit = false_kinds(boxes, false)
    blamed = culprit[(kind == KINDS.index("class")) | (kind == KINDS.index("localisation"))]
    missed = np.setdiff1d(np.flatnonzero(~boxes.truth.ignored), np.concatenate([found, blamed]))
    counts = np.zeros((len(boxes.labels), len(KINDS)), dtype=np.int64)
    np.add.at(counts, (boxes.predictions.label[false], kind), 1)
    np.add.at(counts, (boxes.truth.label[missed], KINDS.index("missed")), 1)
    return {
        label: {name: int(count) for name, count in zip(KINDS, row, strict=True)}
        for label, row in zip(boxes.labels, counts, strict=True)
    }


def false_kinds(boxes: Scene, false: Ints) -> tuple[Ints, Ints]:
    """Of each false detection its kind (index into KINDS) and the object that it is about, -1 for background."""
    counted = np.flatnonzero(~boxes.truth.ignored)
    detection, truth, iou = box_pairs(
        boxes.predictions.rows(false),
        boxes.truth.rows(counted),
        boxes.predictions.image[false],
        boxes.truth.image[counted],
        _TOUCHES,
    )
    truth = counted[truth]
    same = boxes.predictions.label[false[detection]] == boxes.truth.label[truth]
    kind = np.full(len(false), KINDS.index("background"))
    culprit = np.full(len(false), -1)
    # The weakest reason first: a stronger one overwrites it.
    for name, holds in (
        ("localisation", same & (iou < _COVERS)),
        ("class", ~same & (iou >= _COVERS)),
        ("duplicate", same & (iou >= _COVERS)),
    ):
        who, what = _best(detection[holds], truth[holds], iou[holds])
        kind[who], culprit[who] = KINDS.index(name), what
    return kind, culprit


def _best(detection: Ints, truth: Ints, iou: Floats) -> tuple[Ints, Ints]:
    """Each detection once, with the object that it covers best."""
    order = np.lexsort((-iou, detection))
    who, first = np.unique(detection[order], return_index=True)
    return who, truth[order][first]


def _as_one_class(boxes: Scene, truth: Ints, predictions: Ints) -> Scene:
    some_truth, some_predictions = boxes.truth.rows(truth), boxes.predictions.rows(predictions)
    return Scene(
        boxes.images,
        ["any"],
        replace(some_truth, label=np.zeros_like(some_truth.label)),
        replace(some_predictions, label=np.zeros_like(some_predictions.label)),
    )
