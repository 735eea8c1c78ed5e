"""What goes wrong at the operating thresholds: confusion between classes, and the kinds of errors.

Both come out of one reading, in which every object and every box is counted once. Boxes that found an object of their
class (IoU at least 0.5, the rules of COCO) are right. Of what is left, boxes take objects in the order of their scores:

    class          takes an object of another class that nothing has found (IoU at least 0.5)
    localisation   covers no object, and takes one of its class that nothing has found (IoU at least 0.1)
    second class   covers objects of other classes only, all taken: one more class for the same thing (IoU at least 0.5)
    duplicate      is one more box on an object of its class that is taken (IoU at least 0.5)
    background     none of these: no object is left for it

What found an object that is ignored is none of these, nor is such an object missed or taken. An object that is not
taken is missed. The kinds are those of TIDE (Bolya et al., ECCV 2020), each object taken once, so that they add up to
the confusion; what is a second class here is a class error there. Suppression across classes would leave it out.
"""

from dataclasses import dataclass

import numpy as np

from tasks.metrics.matching import Bools, Ints, Matches, Scene, box_pairs
from tasks.metrics.use_case import operating

BACKGROUND = "background"
ERROR_KINDS = ("missed", "background", "class", "second class", "localisation", "duplicate")
_MISSED, _BACKGROUND, _CLASS, _SECOND_CLASS, _LOCALISATION, _DUPLICATE = range(len(ERROR_KINDS))
_COVERS, _TOUCHES = 0.5, 0.1  # IoU


@dataclass(frozen=True)
class Assessment:
    """What became of every object and of every box at the operating thresholds; rows of `Scene`."""

    right: Ints  # (r,) boxes that found an object of their class
    found: Ints  # (r,) those objects
    false: Ints  # (f,) all other boxes
    kind: Ints  # (f,) index into ERROR_KINDS
    about: Ints  # (f,) the object that a class or localisation error takes; -1 for other kinds
    missed: Ints  # objects that nobody takes

    def of(self, kind: int) -> tuple[Ints, Ints]:
        """The false boxes of one kind, and the objects that they take."""
        return self.false[self.kind == kind], self.about[self.kind == kind]


def assess(boxes: Scene, matches: Matches, thresholds: list[float]) -> Assessment:
    """Say of every object and every box at the operating thresholds (per class) what became of it."""
    right, wrong = operating(matches, thresholds)
    found, false = matches.found[right, 0].astype(np.int64), matches.row[wrong]
    kind = np.full(len(false), _BACKGROUND)
    free = np.setdiff1d(np.flatnonzero(~boxes.truth.ignored), found)
    about = _takes(boxes, false, free, own_class=False, least_iou=_COVERS)
    kind[about >= 0] = _CLASS

    covers_own, covers_other = _covers(boxes, false)
    kind[(about < 0) & covers_other] = _SECOND_CLASS
    kind[(about < 0) & covers_own] = _DUPLICATE
    unclear = kind == _BACKGROUND
    free = np.setdiff1d(free, about)
    about[unclear] = _takes(boxes, false[unclear], free, own_class=True, least_iou=_TOUCHES)
    kind[unclear & (about >= 0)] = _LOCALISATION
    return Assessment(matches.row[right], found, false, kind, about, np.setdiff1d(free, about))


def confusion(boxes: Scene, matches: Matches, thresholds: list[float]) -> dict[str, dict[str, int]]:
    """Truth label -> predicted label -> objects; `background` is truth for false alarms, and prediction for misses.

    Off the diagonal stand the class errors. The row `background` holds the boxes of all other kinds, the column
    `background` the missed objects and those that only a badly placed box (localisation) is about.
    """
    reading = assess(boxes, matches, thresholds)
    labels = [*boxes.labels, BACKGROUND]
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    truth, predicted = boxes.truth.label, boxes.predictions.label
    mistaken, confused = reading.of(_CLASS)
    np.add.at(counts, (truth[reading.found], predicted[reading.right]), 1)
    np.add.at(counts, (truth[confused], predicted[mistaken]), 1)
    np.add.at(counts[-1], predicted[reading.false[reading.kind != _CLASS]], 1)
    np.add.at(counts[:, -1], truth[np.concatenate([reading.missed, reading.of(_LOCALISATION)[1]])], 1)
    return {
        label: {found: int(count) for found, count in zip(labels, row, strict=True)}
        for label, row in zip(labels, counts, strict=True)
    }


def error_kinds(boxes: Scene, matches: Matches, thresholds: list[float]) -> dict[str, dict[str, int]]:
    """Label -> kind -> count: false boxes under the label they carry, missed objects under their own."""
    reading = assess(boxes, matches, thresholds)
    counts = np.zeros((len(boxes.labels), len(ERROR_KINDS)), dtype=np.int64)
    np.add.at(counts, (boxes.predictions.label[reading.false], reading.kind), 1)
    np.add.at(counts[:, _MISSED], boxes.truth.label[reading.missed], 1)
    return {
        label: {name: int(count) for name, count in zip(ERROR_KINDS, row, strict=True)}
        for label, row in zip(boxes.labels, counts, strict=True)
    }


def _takes(boxes: Scene, false: Ints, free: Ints, *, own_class: bool, least_iou: float) -> Ints:
    """The object out of `free`, of its own or of another class, that each false box takes; -1 for none.

    The best score chooses first, and of the objects that are left the one that it covers best.
    """
    truth, predictions = boxes.truth.rows(free), boxes.predictions.rows(false)
    box, wanted, iou = box_pairs(predictions, truth, predictions.image, truth.image, least_iou)
    asked = (predictions.label[box] == truth.label[wanted]) == own_class
    box, wanted, iou = box[asked], wanted[asked], iou[asked]
    order = np.lexsort((wanted, -iou, box, -predictions.score[box]))
    taken, left = np.full(len(false), -1), set(range(len(free)))
    for who, what in zip(box[order].tolist(), wanted[order].tolist(), strict=True):
        if taken[who] < 0 and what in left:
            taken[who] = free[what]
            left.remove(what)
    return taken


def _covers(boxes: Scene, false: Ints) -> tuple[Bools, Bools]:
    """Of each false box whether it covers an object of its class, and whether it covers one of another class."""
    predictions = boxes.predictions.rows(false)
    counted = boxes.truth.rows(~boxes.truth.ignored)
    box, truth, _ = box_pairs(predictions, counted, predictions.image, counted.image, _COVERS)
    own = predictions.label[box] == counted.label[truth]
    everyone = np.arange(len(false))
    return np.isin(everyone, box[own]), np.isin(everyone, box[~own])
