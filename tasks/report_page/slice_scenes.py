"""How many scenes stand behind a figure of a slice; no interval over one, which does not show how scenes differ."""

from collections.abc import Mapping

from tasks.contracts.evaluation import ClassSlice, Evaluation, Interval, Slice


class OverScenes(Interval):
    """A figure with the number of scenes that its interval rests on."""

    scenes: int
    classes: int  # that it is over; `scenes` are those of the class with the most


def with_scenes(evaluation: Evaluation) -> Evaluation:
    """An evaluation whose slices say how many scenes they rest on, without an interval over one."""
    return evaluation.model_copy(update={"slices": [_slice(part) for part in evaluation.slices]})


def _slice(part: Slice) -> Slice:
    if not part.classes:
        return part  # an earlier version did not count them
    classes = {
        label: of.model_copy(update={name: _over(getattr(of, name), {label: of}) for name in ("ap50", "recall")})
        for label, of in part.classes.items()
    }
    overall = {name: _over(getattr(part, name), part.classes) for name in ("ap50", "recall")}
    return part.model_copy(update={**overall, "classes": classes})


def _over(figure: Interval, classes: Mapping[str, ClassSlice]) -> OverScenes:
    scenes = max(of.groups for of in classes.values())
    low, high = (figure.low, figure.high) if scenes > 1 else (None, None)
    return OverScenes(value=figure.value, low=low, high=high, scenes=scenes, classes=len(classes))
