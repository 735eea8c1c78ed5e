"""Charts of the training and the data: lines over epochs, bars per class."""

from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from tasks.report_page.charts import DASHES, INK, PAPER, SERIES, canvas, told_apart
from tasks.report_page.formatting import title


def epochs_chart(
    history: pd.DataFrame, columns: Sequence[str], alt: str, ylabel: str, best_epoch: int | None = None
) -> Markup:
    """Columns of the history over its epochs; a vertical line stands at the best one."""
    with canvas(alt) as drawn:
        axes = drawn.axes
        names = told_apart([title(column) for column in columns], 30)
        for number, column in enumerate(columns):
            axes.plot(
                history["epoch"],
                history[column],
                color=SERIES[number % len(SERIES)],
                linestyle=DASHES[number % len(DASHES)],
                marker="o" if len(history) == 1 else "",
                label=names[number],
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
        axes.set_yticks(range(len(counts)), told_apart([str(label) for label in counts.index]))
        axes.set_ylim(len(counts) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_xlabel("objects")
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        drawn.figure.legend(loc="outside upper center", ncols=3)
    return drawn.svg
