"""What figures cannot say of classes whose objects are in few scenes of test."""

from collections.abc import Mapping, Sequence

from tasks.contracts.evaluation import ClassEvaluation, ClassSlice, Evaluation, Interval
from tasks.contracts.quoting import quoted
from tasks.metrics.intervals import TAIL_OF_95, ClassCounts

Classes = Mapping[str, ClassEvaluation | ClassSlice]  # by label

_OF_CLASS = {"map50": "ap50", "map50_95": "ap50_95", "ap50": "ap50", "ap50_95": "ap50_95"}
_NAMED = 3  # classes


def unproven(metric: str, classes: Classes, fewest: int, tail: float) -> float:
    """By how much a mean AP over several classes may lie lower than its bound, for the classes in few scenes.

    How much scenes differ cannot be seen in so few. Were each scene found or missed as a whole, n scenes that were
    found support a share of no more than tail ** (1 / n), the exact binomial bound. fewest: scenes that are enough.
    0 for other metrics: rates are over all objects together, and of a single class nothing is decided.
    """
    present = [of for of in classes.values() if of.objects]
    if metric not in _OF_CLASS or len(present) < 2:
        return 0.0
    lower = 0.0
    for of in present:
        if of.groups < fewest:
            lower += (getattr(of, _OF_CLASS[metric]).value or 0.0) * (1 - tail ** (1 / of.groups))
    return lower / len(present)


def lower_means(evaluation: Evaluation) -> Evaluation:
    """The evaluation with the intervals of means over classes lowered by what is unproven, as rules lower theirs."""
    fewest = evaluation.fewest_groups
    overall = {name: _lowered(of, name, evaluation.classes, fewest) for name, of in evaluation.overall.items()}
    slices = [
        one.model_copy(update={"ap50": _lowered(one.ap50, "ap50", one.classes, fewest)}) for one in evaluation.slices
    ]
    return evaluation.model_copy(update={"overall": overall, "slices": slices})


def _lowered(of: Interval, metric: str, classes: Classes, fewest: int) -> Interval:
    if of.low is None:
        return of
    return of.model_copy(update={"low": max(0.0, of.low - unproven(metric, classes, fewest, TAIL_OF_95))})


def too_few(counts: Sequence[ClassCounts], fewest: int) -> str:
    """Why nothing can be said for sure of scenes that were not seen; empty where there are enough."""
    scenes = max((of.units for of in counts), default=0)
    if scenes >= fewest:
        return ""
    return f"too few scenes of test show it to be sure of others ({scenes}, and it takes {fewest})"


def lacking_scenes(classes: Classes, fewest: int) -> int:
    """How many scenes more must show the class that is in the fewest."""
    return max((fewest - of.groups for of in classes.values() if 0 < of.groups < fewest), default=0)


def more_scenes(count: int) -> str:
    """A number of scenes in words, such as `2 more scenes`."""
    return f"{count:,} more scene{'s' * (count != 1)}"


def note_of(classes: Classes, fewest: int) -> str:
    """The three classes that are in the fewest scenes, for the end of a reason."""
    few = sorted((of.groups, label) for label, of in classes.items() if 0 < of.groups < fewest)
    return "".join(
        f"; all objects of {quoted(label)} are in {groups} scene{'s' * (groups != 1)} of test"
        for groups, label in few[:_NAMED]
    )
