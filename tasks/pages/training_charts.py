"""Charts of the training, the search and the data: lines over epochs, points over trials, bars per class."""

from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, MaxNLocator, NullFormatter

from tasks.pages.charts import ACCENT, DASHES, FAINT, INK, PAPER, SERIES, canvas, shortened
from tasks.pages.formatting import title


def epochs_chart(
    history: pd.DataFrame, columns: Sequence[str], alt: str, ylabel: str, best_epoch: int | None = None
) -> Markup:
    """Columns of the history over its epochs; a vertical line stands at the best one."""
    with canvas(alt) as drawn:
        axes = drawn.axes
        for number, column in enumerate(columns):
            axes.plot(
                history["epoch"],
                history[column],
                color=SERIES[number % len(SERIES)],
                linestyle=DASHES[number % len(DASHES)],
                marker="o" if len(history) == 1 else "",
                label=shortened(title(column), 30),
            )
        if best_epoch is not None:
            axes.axvline(best_epoch, color=INK, linewidth=1, linestyle=(0, (3, 2)), label="best epoch")
        axes.set_xlabel("epoch")
        axes.set_ylabel(ylabel)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
        if len(columns) > 1 or best_epoch is not None:
            axes.legend(loc="best")
    return drawn.svg


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
            axes.set_xticks(range(len(names)), [shortened(name, 12) for name in names])
        axes.set_xlabel(parameter)
        axes.set_ylabel(metric)
    return drawn.svg


def _scale(axes: Axes, across: "pd.Series[float]") -> None:
    """A logarithmic axis for what was searched over magnitudes, as learning rates are."""
    if across.min() > 0 and across.max() / across.min() > 20:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4))


def _positions(values: "pd.Series[float]") -> "pd.Series[float]":
    if pd.api.types.is_numeric_dtype(values):
        return values
    names = values.astype(str)
    order = {name: float(position) for position, name in enumerate(sorted(names.unique()))}
    return names.map(order)


def balance_chart(counts: pd.DataFrame, alt: str) -> Markup:
    """Objects per class, one row each, divided by split. Index: label; columns: train, val, test."""
    with canvas(alt, height=0.85 + 0.24 * len(counts)) as drawn:
        axes = drawn.axes
        left = pd.Series(0, index=counts.index)
        for number, split in enumerate(counts.columns):
            axes.barh(
                range(len(counts)),
                counts[split],
                left=left,
                height=0.7,
                color=SERIES[number % len(SERIES)],
                edgecolor=PAPER,
                label=str(split),
            )
            left = left + counts[split]
        axes.set_yticks(range(len(counts)), [shortened(str(label)) for label in counts.index])
        axes.set_ylim(len(counts) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_xlabel("objects")
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        drawn.figure.legend(loc="outside upper center", ncols=3)
    return drawn.svg
