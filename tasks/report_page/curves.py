"""Curves over the score threshold, and how far scores can be believed."""

from tasks.report_page.accuracy_charts import Curve, f1_chart, interval_chart, precision_recall_chart, reliability_chart
from tasks.report_page.inputs import MeasuredTarget
from tasks.report_page.training import Chart

DRAWN_APART = 6  # curves with a colour of their own
ROWS = 16  # classes in the chart of intervals; the table has all


def curve_charts(target: MeasuredTarget) -> list[Chart]:
    """Precision over recall, F1 over the threshold, calibration, AP per class; what has no data is left out."""
    evaluation = target.evaluation
    weakest = _weakest_first(target)
    charts = []
    curves = _curves(target, weakest[:DRAWN_APART])
    if curves:
        alts = [f"{name} on test, one line per class" for name in ("Precision over recall", "F1 over the threshold")]
        charts.append(Chart("Precision over recall", precision_recall_chart(curves, alts[0])))
        charts.append(Chart("F1 over the score threshold", f1_chart(curves, alts[1])))
    if any(band.predictions for band in evaluation.score_bins):
        alt = "Share of right predictions over their score"
        charts.append(Chart("Calibration of scores", reliability_chart(evaluation.score_bins, alt)))
    if weakest:
        shown = weakest[:ROWS]
        name = f"AP50 of the {len(shown)} weakest classes" if len(shown) < len(weakest) else "AP50 per class"
        rows = [(label, evaluation.classes[label].ap50) for label in shown]
        charts.append(Chart(name, interval_chart(rows, "AP50 of each class with its 95 % interval", "AP50")))
    return charts


def _curves(target: MeasuredTarget, apart: list[str]) -> list[Curve]:
    if target.curves.empty:
        return []
    classes = target.evaluation.classes
    by_label = {str(label): points.sort_values("threshold") for label, points in target.curves.groupby("label")}
    # The order of `apart` first, so that colours go with the weakest classes in the same order in every chart.
    order = [label for label in dict.fromkeys([*apart, *by_label]) if label in by_label and label in classes]
    return [Curve(label, by_label[label], classes[label].threshold, label in apart) for label in order]


def _weakest_first(target: MeasuredTarget) -> list[str]:
    """Classes that have an AP, the lowest first."""
    aps = {label: of_class.ap50.value for label, of_class in target.evaluation.classes.items()}
    return [label for value, label in sorted((value, label) for label, value in aps.items() if value is not None)]
