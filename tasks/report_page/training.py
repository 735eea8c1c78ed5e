"""How the model came about: curves of its training, and the search for its parameters."""

from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from tasks.report_page.formatting import HEADLINES, title
from tasks.report_page.inputs import Training
from tasks.report_page.search_charts import importance_chart, parallel_chart, parameter_chart, trials_chart
from tasks.report_page.training_charts import epochs_chart

ACROSS = 6  # searched params in the chart of all trials, which is no wider for more
SCATTERED = 6  # searched params with a chart of their own; the table has all


@dataclass(frozen=True)
class Chart:
    """A drawing and what it is called."""

    title: str
    svg: Markup


def history_charts(history: pd.DataFrame, metric: str, best_epoch: int) -> list[Chart]:
    """Losses, metrics on val and the learning rate over the epochs; a kind without a column has no chart."""
    if history.empty:
        return []
    filled = [str(name) for name in history.select_dtypes("number").columns if history[name].notna().any()]
    metrics = [name for name in filled if name in HEADLINES]
    if "metric" in filled and metric not in metrics:
        history = history.rename(columns={"metric": metric})
        metrics.insert(0, metric)
    losses = [name for name in filled if name not in {"epoch", "metric", "lr", "seconds", *HEADLINES}]
    kinds = [
        ("Losses", losses, "loss", None),
        ("Metrics on val", metrics, "", best_epoch),
        ("Learning rate", [name for name in filled if name == "lr"], "learning rate", None),
    ]
    return [
        Chart(name, epochs_chart(history, columns, f"{name} over {len(history)} epochs", ylabel, best))
        for name, columns, ylabel, best in kinds
        if columns
    ]


def searched(trials: pd.DataFrame) -> list[str]:
    """Names of the searched params: what the table of trials has beyond its own columns."""
    return [str(name) for name in trials.columns if name not in {"number", "state", "value", "epochs", "seconds"}]


def search_charts(training: Training) -> list[Chart]:
    """Trials over their numbers, across and over their parameters; none with fewer than two finished trials."""
    trials, metric = training.trials, title(training.tuned.metric)
    if "value" not in trials or trials["value"].notna().sum() < 2:
        return []
    charts = [Chart("Trials in their order", trials_chart(trials, f"{metric} of each trial", metric))]
    if training.tuned.importances:
        alt = "Share by which each searched parameter mattered"
        charts.append(Chart("How much each parameter mattered", importance_chart(training.tuned.importances, alt)))
    varied = [name for name in searched(trials) if len(trials[name].dropna().unique()) > 1]
    if len(varied) > 1:
        alt = f"Every trial as a line over its parameters, to its {metric}"
        charts.append(Chart("Every trial across its parameters", parallel_chart(trials, varied[:ACROSS], alt, metric)))
    for name in varied[:SCATTERED]:
        alt = f"{metric} of each trial over {name}"
        charts.append(Chart(name, parameter_chart(trials, name, alt, metric)))
    return charts
