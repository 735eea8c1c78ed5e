"""Over which classes a target is compared with the champion, and its figures over these alone.

A champion cannot know a class that came, or got its name, after it was trained. If its figures counted that as missed,
it would be no bar any more. So both sides are taken over the classes that the champion knows and the target is asked
for: it was trained on them, or test holds them. The others are left out on both sides, and named.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.contracts.evaluation import ClassEvaluation, ClassSlice, Evaluation, Interval, Slice
from tasks.contracts.quoting import quoted
from tasks.gating.renames import NO_RENAME, Rename, rename_hint
from tasks.metrics.bootstrap import mean_of_present
from tasks.metrics.matching import Floats
from tasks.metrics.use_case import AP_NAMES, COUNT_NAMES, RATE_NAMES, metric_name, rates

_NAMED = 5  # classes that a reason lists; the others are counted


@dataclass(frozen=True)
class Compared:
    """Classes of a target and of the champion."""

    labels: list[str]  # to compare over, in the order of the target's evaluation
    new: list[str]  # of the target, which the champion does not know
    gone: list[str]  # of the champion, which the target does not know and test does not hold
    rename: Rename  # which may be why they are called otherwise

    @property
    def differs(self) -> bool:
        """Whether any class is left out."""
        return bool(self.new or self.gone)

    @property
    def left_out(self) -> str:
        """Which classes are, and why; empty where none is."""
        return "; ".join(
            [
                *([f"the champion does not know {_listed(self.new)}"] if self.new else []),
                *([f"the champion alone knows {_listed(self.gone)}"] if self.gone else []),
            ]
        )

    @property
    def note(self) -> str:
        """For the end of a reason about all classes; empty where none is left out."""
        if not self.differs:
            return ""
        over = f"compared over {_listed(self.labels)} alone" if self.labels else "no class is left to compare over"
        return f"; {over}: {self.left_out}{self.hint}"

    @property
    def hint(self) -> str:
        """How to compare over a class that may only have got another name; empty where none may."""
        hint = rename_hint(self.gone, self.new, self.rename)
        return f". {hint}" if hint else ""


def compare_classes(target: Evaluation, champion: Evaluation, rename: Rename = NO_RENAME) -> Compared:
    """What both can be judged by. `target` may name classes that test holds and that it does not know itself.

    rename: parse.rename, by which the target's classes got their names.
    """
    known = champion.known or list(champion.classes)
    return Compared(
        labels=[label for label in target.classes if label in known],
        new=[label for label in target.classes if label not in known],
        gone=[label for label in known if label not in target.classes],
        rename=rename,
    )


def over(labels: Sequence[str], evaluation: Evaluation, resamples: pd.DataFrame) -> tuple[Evaluation, pd.DataFrame]:
    """Figures over all classes, of test and of its slices, taken over these labels alone; resample by resample, too.

    They come without intervals: a bound is that of a difference.
    """
    classes = {label: of for label, of in evaluation.classes.items() if label in labels}
    slices = [_sliced(one, labels) for one in evaluation.slices]
    columns = _resampled(list(classes), None, resamples)
    for one in slices:
        columns |= _resampled(list(one.classes), (one.by, one.part), resamples)
    update = {"classes": classes, "overall": _overall(classes), "slices": [one for one in slices if one.classes]}
    return evaluation.model_copy(update=update), resamples.assign(**columns)


def _overall(classes: dict[str, ClassEvaluation]) -> dict[str, Interval]:
    counts = [(of.true_positives, of.false_positives, of.objects) for of in classes.values()]
    of_all = rates(*np.array(counts).reshape(-1, 3).sum(axis=0))
    values = {name: float(value) for name, value in zip(RATE_NAMES, of_all, strict=True)}
    values |= {f"m{name}": _mean([getattr(of, name) for of in classes.values()]) for name in AP_NAMES}
    return {name: _interval(value) for name, value in values.items()}


def _sliced(one: Slice, labels: Sequence[str]) -> Slice:
    classes: dict[str, ClassSlice] = {label: of for label, of in one.classes.items() if label in labels}
    objects = sum(of.objects for of in classes.values())
    right = sum(of.true_positives for of in classes.values())
    ap50, recall = _mean([of.ap50 for of in classes.values()]), right / objects if objects else np.nan
    update = {"classes": classes, "objects": objects, "ap50": _interval(ap50), "recall": _interval(recall)}
    return one.model_copy(update=update)


def _resampled(labels: list[str], where: tuple[str, str] | None, resamples: pd.DataFrame) -> dict[str, Floats]:
    """Columns over all classes together, out of those of each class."""

    def of_each(name: str) -> Floats:
        columns = [resamples.get(metric_name(name, label, where)) for label in labels]
        found = [np.full(len(resamples), np.nan) if column is None else column.to_numpy(float) for column in columns]
        return np.stack(found) if found else np.zeros((0, len(resamples)))

    right, wrong, objects = (of_each(name).sum(axis=0) for name in COUNT_NAMES)
    columns = dict(zip(RATE_NAMES, rates(right, wrong, objects), strict=True))
    columns |= {name if where else f"m{name}": mean_of_present(of_each(name)) for name in AP_NAMES}
    there = {metric_name(name, where=where): values for name, values in columns.items()}
    return {name: values for name, values in there.items() if name in resamples}


def _mean(intervals: Sequence[Interval]) -> float:
    values = [interval.value for interval in intervals if interval.value is not None]
    return float(np.mean(values)) if values else float("nan")


def _interval(value: float) -> Interval:
    return Interval(value=None if np.isnan(value) else value, low=None, high=None)


def _listed(labels: Sequence[str]) -> str:
    more = len(labels) - _NAMED
    return ", ".join(map(quoted, labels[:_NAMED])) + (f" and {more} more" if more > 0 else "")
