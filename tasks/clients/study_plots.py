"""Plots of an Optuna study."""

import warnings
from collections.abc import Callable
from pathlib import Path

import optuna


def draw_study(study: optuna.Study, folder: Path, metric: str) -> list[str]:
    """Draw history, importance and parallel coordinates as SVG; returns which of them need more trials."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.rcParams["svg.hashsalt"] = "study"  # or else ids are drawn at random
    mpl.use("agg")  # the importance plot measures its own text, which only this one can
    from optuna.visualization import matplotlib as plots  # noqa: PLC0415

    drawings: dict[str, Callable[..., object]] = {
        "history": plots.plot_optimization_history,
        "importance": plots.plot_param_importances,
        "parallel": plots.plot_parallel_coordinate,
    }
    missing = []
    for name, draw in drawings.items():
        try:
            _draw(draw, study, folder / f"{name}.svg", metric)
        except (ValueError, RuntimeError):
            missing.append(name)
    return missing


def _draw(draw: Callable[..., object], study: optuna.Study, path: Path, metric: str) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    with warnings.catch_warnings():
        # These plots are experimental, and few trials make importances equal.
        warnings.simplefilter("ignore")
        draw(study, target_name=metric)
    figure = plt.gcf()
    try:
        figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    finally:
        plt.close(figure)
