"""Charts of what was measured: intervals, the trade against latency, curves over the score, calibration of scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from tasks.contracts.evaluation import Interval, ScoreBin
from tasks.report_page.charts import ACCENT, DASHES, FAINT, GRID, INK, MARKERS, PAPER, SERIES, canvas, told_apart

ROW = 0.26  # inches of height per row of a chart that has one row per thing


@dataclass(frozen=True)
class Curve:
    """One class over the score threshold."""

    label: str
    points: pd.DataFrame  # columns threshold, precision, recall, f1; at least one row, by threshold
    threshold: float  # the operating one
    apart: bool  # has a colour of its own


def interval_chart(rows: Sequence[tuple[str, Interval]], alt: str, metric: str, highlighted: str = "") -> Markup:
    """One row per target or class: the value as a dot, its 95 % interval as a line."""
    with canvas(alt, height=0.75 + ROW * len(rows)) as drawn:
        axes = drawn.axes
        for row, (name, interval) in enumerate(rows):
            colour = ACCENT if name == highlighted or not highlighted else FAINT
            if interval.value is None:
                axes.text(0.02, row, "not measured", transform=axes.get_yaxis_transform(), va="center", color=FAINT)
                continue
            if interval.low is not None and interval.high is not None:
                axes.plot([interval.low, interval.high], [row, row], color=colour, linewidth=2.6, alpha=0.55)
            axes.plot(interval.value, row, marker="o", markersize=6, color=colour, markeredgecolor=PAPER)
        axes.set_yticks(range(len(rows)), told_apart([name for name, _ in rows]))
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(_floor(rows), 1.005)
        axes.set_xlabel(metric)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False, axis="y")
    return drawn.svg


def _floor(rows: Sequence[tuple[str, Interval]]) -> float:
    """Where the axis starts: at 0, or nearer where everything drawn is near 1."""
    drawn = [value for _, interval in rows for value in (interval.value, interval.low) if value is not None]
    return 0.5 if min(drawn, default=0.0) > 0.55 else -0.005


def tradeoff_chart(
    points: Sequence[tuple[str, float, float, Interval]], alt: str, metric: str, highlighted: str = ""
) -> Markup:
    """Accuracy over latency: up and to the left is better. Points are (target, p50 in ms, value, interval)."""
    with canvas(alt) as drawn:
        axes = drawn.axes
        names = told_apart([target for target, _, _, _ in points])
        for number, (target, latency_ms, value, interval) in enumerate(points):
            live = target == highlighted
            colour = ACCENT if live else FAINT
            if interval.low is not None and interval.high is not None:
                axes.plot([latency_ms] * 2, [interval.low, interval.high], color=colour, linewidth=1.4, alpha=0.5)
            axes.plot(
                latency_ms,
                value,
                linestyle="",
                marker=MARKERS[number % len(MARKERS)],
                markersize=7,
                color=colour,
                markeredgecolor=PAPER,
                label=names[number],
            )
        axes.set_xlim(left=0, right=max(latency_ms for _, latency_ms, _, _ in points) * 1.12)
        axes.set_xlabel("latency p50, ms")
        axes.set_ylabel(metric)
        # Beside the axes: with bars of intervals at every target no place within them is free.
        drawn.figure.legend(loc="outside lower center", ncols=2, columnspacing=1.2)
    return drawn.svg


def precision_recall_chart(curves: Sequence[Curve], alt: str) -> Markup:
    """Precision over recall per class at IoU 0.5; the marker is the operating threshold."""
    return _curves_chart(curves, alt, "recall", "precision")


def f1_chart(curves: Sequence[Curve], alt: str) -> Markup:
    """F1 over the score threshold per class at IoU 0.5; the marker is the operating threshold."""
    return _curves_chart(curves, alt, "threshold", "f1")


def _curves_chart(curves: Sequence[Curve], alt: str, across: str, up: str) -> Markup:
    with canvas(alt, height=3.2) as drawn:
        axes = drawn.axes
        for curve in curves:
            if not curve.apart:
                axes.plot(curve.points[across], curve.points[up], color=GRID, linewidth=1)
        # Classes with a colour of their own last, so that they lie above the grey ones.
        apart = [curve for curve in curves if curve.apart]
        names = told_apart([curve.label for curve in apart])
        for number, (curve, label) in enumerate(zip(apart, names, strict=True)):
            colour, dashes = SERIES[number % len(SERIES)], DASHES[number % len(DASHES)]
            axes.plot(curve.points[across], curve.points[up], color=colour, linestyle=dashes, label=label)
            here = int((curve.points["threshold"] - curve.threshold).abs().to_numpy().argmin())
            mark = curve.points.iloc[[here]]
            axes.plot(mark[across], mark[up], marker="o", markersize=6, color=colour, markeredgecolor=PAPER)
        _share_axes(axes, "score threshold" if across == "threshold" else across, "F1" if up == "f1" else up)
        if axes.get_legend_handles_labels()[0]:
            drawn.figure.legend(loc="outside lower center", ncols=2, columnspacing=1.2)
    return drawn.svg


def _share_axes(axes: Axes, across: str, up: str) -> None:
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel(across)
    axes.set_ylabel(up)


def reliability_chart(bins: Sequence[ScoreBin], alt: str) -> Markup:
    """Share of right predictions over their score: on the diagonal, a score of 0.8 means right in 8 of 10."""
    points = [
        (band.mean_score, band.precision) for band in bins if band.mean_score is not None and band.precision is not None
    ]
    most = max([1, *[band.predictions for band in bins]])
    with canvas(alt) as drawn:
        axes = drawn.axes
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (3, 2)))
        for band in bins:
            # Faint columns from the bottom: how many predictions stand behind a point.
            height = 0.25 * band.predictions / most
            axes.bar((band.low + band.high) / 2, height, width=0.9 * (band.high - band.low), color=GRID)
        axes.plot(*zip(*points, strict=True), marker="o", color=ACCENT)
        _share_axes(axes, "score", "share that is right")
    return drawn.svg
