"""The score from which a detection counts, per class: chosen on val, by what the use case asks for."""

import re
from dataclasses import dataclass

import numpy as np

from tasks.contracts.errors import PipelineError
from tasks.contracts.use_case import UseCase
from tasks.metrics.matching import Bools, Floats, Matches

BEST_F1 = "best f1"
_FLOOR = re.compile(r"(?P<rate>recall|precision) *>= *(?P<floor>0?\.\d+|1(\.0*)?|0)")
NOTHING_TO_CHOOSE_FROM = 0.5


@dataclass(frozen=True)
class OperatingPoint:
    """What the use case asks of a class: the best F1, or a floor under one rate."""

    text: str
    rate: str | None  # recall or precision; None: best f1
    floor: float


@dataclass(frozen=True)
class Threshold:
    """A class's operating threshold: a detection counts if its score is at least this."""

    score: float
    point: str  # the operating point as written in params
    note: str  # empty, or why it is not what was asked for


def parse_operating_point(text: str, where: str) -> OperatingPoint:
    """Read "best f1", "recall >= 0.95" or "precision >= 0.9".

    Raises PipelineError that lists these forms.
    """
    plain = " ".join(text.split())
    if plain == BEST_F1:
        return OperatingPoint(plain, None, 0.0)
    form = _FLOOR.fullmatch(plain)
    if form is None:
        raise PipelineError(
            f"operating point {text!r} is not understood",
            f"params.yaml: {where}",
            'Write "best f1", "recall >= 0.95" or "precision >= 0.9" with a number from 0 to 1',
        )
    return OperatingPoint(plain, form["rate"], float(form["floor"]))


def operating_points(use_case: UseCase, labels: list[str]) -> list[OperatingPoint]:
    """The operating point of each class.

    Raises PipelineError if one is not understood or names a class that does not exist.
    """
    unknown = sorted(set(use_case.operating_points) - set(labels))
    if unknown:
        raise PipelineError(
            f"no class is named {', '.join(map(repr, unknown))}",
            "params.yaml: use_case.operating_points",
            f"Classes are {', '.join(map(repr, labels))}",
        )
    general = parse_operating_point(use_case.operating_point, "use_case.operating_point")
    special = {
        label: parse_operating_point(text, f"use_case.operating_points.{label}")
        for label, text in use_case.operating_points.items()
    }
    return [special.get(label, general) for label in labels]


def choose_thresholds(matches: Matches, points: list[OperatingPoint]) -> list[Threshold]:
    """The threshold of each class on these (val) matches at IoU 0.5.

    A class without objects or without a right detection here has nothing to choose by; it gets the threshold at which
    all classes together have the best F1, and a note.
    """
    objects = matches.objects
    pooled = sweep(*matches.judged(), int(objects.sum()))
    fallback = NOTHING_TO_CHOOSE_FROM if pooled is None else pooled.best_f1()
    chosen = []
    for label, point in enumerate(points):
        curve = sweep(*matches.judged(matches.of(label)), int(objects[label]))
        if curve is None:
            seen = "no detection on val is right" if objects[label] else "no object on val"
            instead = "the best F1 of all classes together" if pooled else f"{fallback:g}"
            chosen.append(Threshold(fallback, point.text, f"{seen}: {instead} instead"))
        else:
            chosen.append(curve.choose(point))
    return chosen


@dataclass(frozen=True)
class Sweep:
    """Rates of one class at every score that occurs, the highest first: (scores,) each."""

    score: Floats
    precision: Floats
    recall: Floats

    @property
    def f1(self) -> Floats:
        """Harmonic mean of the two; zero where both are."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)

    def best_f1(self) -> float:
        """The score at which F1 is best; of equals the highest."""
        return float(self.score[np.argmax(self.f1)])

    def choose(self, point: OperatingPoint) -> Threshold:
        """The threshold that an operating point asks for; best F1 and a note where it cannot be reached."""
        if point.rate is None:
            return Threshold(self.best_f1(), point.text, "")
        rate = self.recall if point.rate == "recall" else self.precision
        reached = np.flatnonzero(rate >= point.floor)
        if not len(reached):
            note = f"{point.text} cannot be reached on val ({rate.max():.3f} at most): best F1 instead"
            return Threshold(self.best_f1(), point.text, note)
        # Recall: the highest threshold that reaches it; precision: that of the most recall, and of equals the highest.
        index = reached[0] if point.rate == "recall" else np.searchsorted(self.recall, self.recall[reached[-1]])
        return Threshold(float(self.score[index]), point.text, "")


def sweep(score: Floats, right: Bools, objects: int) -> Sweep | None:
    """Rates over the detections of one class (or of all); None without objects or without a right detection."""
    if not objects or not right.any():
        return None
    order = np.argsort(-score, kind="stable")
    score, hits = score[order], np.cumsum(right[order])
    # Equal scores pass a threshold together: only the last of them is a point of the curve.
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True))
    return Sweep(score[last], hits[last] / (last + 1), hits[last] / objects)
