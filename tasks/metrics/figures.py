"""Headline figures with their intervals, in the form that the evaluation is written in."""

import pandas as pd

from tasks.contracts.evaluation import ClassEvaluation, Evaluation, Interval
from tasks.metrics.bootstrap import holders
from tasks.metrics.intervals import TAIL_OF_95, ClassCounts, bounds, evidence
from tasks.metrics.matching import Matches
from tasks.metrics.operating_points import Threshold
from tasks.metrics.use_case import AP_NAMES, RATE_NAMES, metric_name

OVERALL = ("map50", "map50_95", *RATE_NAMES)


def overall_figures(
    values: dict[str, float | None], resamples: pd.DataFrame, counts: list[ClassCounts]
) -> dict[str, Interval]:
    """map50, map50_95, precision, recall and F1 over all classes."""
    return {name: _interval(name, None, values, resamples, counts) for name in OVERALL}


def class_figures(
    matches: Matches,
    chosen: list[Threshold],
    *,
    values: dict[str, float | None],
    resamples: pd.DataFrame,
    counts: list[ClassCounts],
) -> dict[str, ClassEvaluation]:
    """The same per class, in the order of `matches.labels`, as are `chosen` and `counts`."""
    images = holders(matches)
    result = {}
    for index, (label, threshold, of) in enumerate(zip(matches.labels, chosen, counts, strict=True)):
        ap50, ap50_95, precision, recall, f1 = (
            _interval(name, label, values, resamples, [of]) for name in (*AP_NAMES, *RATE_NAMES)
        )
        result[label] = ClassEvaluation(
            objects=of.objects,
            groups=of.units,
            equal_groups=of.equal_units,
            images=int(images[index]),
            threshold=threshold.score,
            operating_point=threshold.point,
            operating_note=threshold.note,
            true_positives=of.right,
            false_positives=of.wrong,
            found=of.found,
            ap50=ap50,
            ap50_95=ap50_95,
            precision=precision,
            recall=recall,
            f1=f1,
        )
    return result


def headline_row(evaluation: Evaluation, metric: str) -> dict[str, float | None]:
    """A target's row in `dvc metrics show`: what people compare, without intervals. metric: use_case.metric."""
    values = {name: interval.value for name, interval in evaluation.overall.items()}
    for label, of in evaluation.classes.items():
        values |= {metric_name(name, label): getattr(of, name).value for name in (*AP_NAMES, *RATE_NAMES)}
    of_classes = [of.ap50.value for of in evaluation.classes.values() if of.ap50.value is not None]
    return {
        "metric": values.get(metric),
        **{name: values.get(name) for name in OVERALL},
        "worst_class_ap50": min(of_classes, default=None),
        "latency_p95_ms": evaluation.latency.p95_ms if evaluation.latency else None,
        "peak_memory_mb": evaluation.peak_memory_mb,
        "size_mb": evaluation.size_bytes / 1e6,
    }


def _interval(
    name: str,
    label: str | None,
    values: dict[str, float | None],
    resamples: pd.DataFrame,
    counts: list[ClassCounts],
) -> Interval:
    full_name = metric_name(name, label)
    value = values[full_name]
    if value is None:
        return Interval(value=None, low=None, high=None)
    behind = evidence(name, counts)
    low, high = bounds(value, resamples[full_name].to_numpy(), behind, TAIL_OF_95)
    return Interval(value=value, low=low, high=high)
