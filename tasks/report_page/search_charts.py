"""Charts of the search: trials in their order, what each parameter mattered, trials over one and over all of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, MaxNLocator, NullFormatter

from tasks.report_page.charts import ACCENT, FAINT, GRID, INK, PAPER, canvas, shortened, told_apart
from tasks.report_page.formatting import setting

_MAGNITUDES = 20  # a range of so many times its lowest value was searched over magnitudes, as learning rates are
_SHADES = (0.12, 0.75)  # of the worst and the best trial's line


def trials_chart(trials: pd.DataFrame, alt: str, metric: str) -> Markup:
    """Each finished trial's value by its number, and the best so far as a line. Columns: number, value."""
    finished = trials.dropna(subset=["value"]).sort_values("number")
    with canvas(alt) as drawn:
        axes = drawn.axes
        axes.plot(finished["number"], finished["value"], linestyle="", marker="o", color=FAINT, label="trial")
        axes.step(finished["number"], finished["value"].cummax(), where="post", color=ACCENT, label="best so far")
        axes.set_xlabel("trial")
        axes.set_ylabel(metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="lower right")
    return drawn.svg


def parameter_chart(trials: pd.DataFrame, parameter: str, alt: str, metric: str) -> Markup:
    """Each finished trial's value over one searched parameter; the best trial is filled."""
    finished = trials.dropna(subset=["value", parameter])
    best = finished.index == finished["value"].idxmax()
    with canvas(alt, height=2.3) as drawn:
        axes = drawn.axes
        across = _positions(finished[parameter])
        axes.plot(across[~best], finished["value"][~best], linestyle="", marker="o", color=FAINT, markerfacecolor=PAPER)
        axes.plot(across[best], finished["value"][best], linestyle="", marker="D", markersize=8, color=ACCENT)
        if pd.api.types.is_numeric_dtype(finished[parameter]):
            _scale(axes, across)
        else:
            names = sorted(finished[parameter].astype(str).unique())
            axes.set_xticks(range(len(names)), told_apart(names, 12))
        axes.set_xlabel(parameter)
        axes.set_ylabel(metric)
    return drawn.svg


def _scale(axes: Axes, across: "pd.Series[float]") -> None:
    if _over_magnitudes(across):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4))


def _over_magnitudes(values: "pd.Series[float]") -> bool:
    return bool(values.min() > 0 and values.max() / values.min() > _MAGNITUDES)


def _positions(values: "pd.Series[float]") -> "pd.Series[float]":
    if pd.api.types.is_numeric_dtype(values):
        return values
    names = values.astype(str)
    order = {name: float(position) for position, name in enumerate(sorted(names.unique()))}
    return names.map(order).astype(float)


def importance_chart(importances: Mapping[str, float], alt: str) -> Markup:
    """A bar per searched parameter, the most important one on top."""
    with canvas(alt, height=0.7 + 0.3 * len(importances)) as drawn:
        axes = drawn.axes
        axes.barh(range(len(importances)), list(importances.values()), height=0.6, color=ACCENT)
        for row, share in enumerate(importances.values()):
            axes.annotate(f"{share:.2f}", (share, row), (4, 0), textcoords="offset points", va="center", color=INK)
        axes.set_yticks(range(len(importances)), told_apart(list(importances)))
        axes.set_ylim(len(importances) - 0.4, -0.6)
        axes.set_xlim(0, 1.12 * max(importances.values()))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_xlabel("share, as Optuna estimates it")
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False, axis="y")
    return drawn.svg


def parallel_chart(trials: pd.DataFrame, parameters: Sequence[str], alt: str, metric: str) -> Markup:
    """Each finished trial as a line over its parameters and its value, the best one apart; the better the darker."""
    finished = trials.dropna(subset=["value", *parameters]).sort_values("value")
    places = pd.DataFrame({name: _share_of_range(finished[name]) for name in [*parameters, "value"]})
    with canvas(alt, height=3.0) as drawn:
        axes = drawn.axes
        columns = range(len(places.columns))
        for shade, line in zip(np.linspace(*_SHADES, len(places)), places.to_numpy(), strict=True):
            axes.plot(columns, line, color=FAINT, linewidth=1.1, alpha=float(shade))
        if len(places):
            axes.plot(columns, places.to_numpy()[-1], color=ACCENT, linewidth=2.4, label="best trial")
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.06))
        for column, name in enumerate(places.columns):
            axes.axvline(column, color=GRID, linewidth=1)
            _label_ends(axes, column, finished[name])
        names = told_apart([*parameters, metric], 14)
        axes.set_xticks(columns, names, rotation=20 if len(names) > 4 else 0)
        axes.tick_params(axis="x", length=0, labelcolor=INK, pad=16)
        axes.set_yticks([])
        axes.set_xlim(-0.25, len(names) - 0.75)
        axes.set_ylim(-0.02, 1.02)
        axes.spines[["left", "bottom"]].set_visible(False)
    return drawn.svg


def _share_of_range(values: "pd.Series[float]") -> "pd.Series[float]":
    """From 0 at the lowest to 1 at the highest, by magnitude where it was searched so; 0.5 for one value alone."""
    places = _positions(values)
    if pd.api.types.is_numeric_dtype(values) and _over_magnitudes(places):
        places = pd.Series(np.log(places.to_numpy(float)), index=places.index)
    span = places.max() - places.min()
    return (places - places.min()) / span if span else places * 0 + 0.5


def _label_ends(axes: Axes, column: int, values: "pd.Series[float]") -> None:
    """The lowest and the highest value at the ends of an axis."""
    order = values if pd.api.types.is_numeric_dtype(values) else values.astype(str)
    if not len(order):
        return
    for end, place, gap in ((order.min(), 0, -4), (order.max(), 1, 4)):
        axes.annotate(
            shortened(setting(end, 3), 10),
            (column, place),
            (0, gap),
            textcoords="offset points",
            ha="center",
            va="top" if place == 0 else "bottom",
            color=FAINT,
            fontsize=8.5,
        )
