"""Speed and memory as ratios, each measured in one run on this machine, printed and written to reports/bench.json.

Example: python -m tests.bench            everything
         python -m tests.bench parse ap   only these
"""

import importlib
import json
import platform
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.bench.ratios import Ratio
from tests.fixtures.repository import REPOSITORY

PARTS = ("parse", "images", "ap", "runtimes", "unchanged", "training", "pipeline", "airflow")


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"of {', '.join(PARTS)}")] = None,
    to: Annotated[Path, typer.Option(help="where the figures go")] = REPOSITORY / "reports" / "bench.json",
) -> None:
    """Measure and print; parts not asked for keep their figures of last time."""
    measured: dict[str, list[dict[str, object]]] = json.loads(to.read_text())["parts"] if to.exists() else {}
    for part in parts or PARTS:
        ratios: list[Ratio] = importlib.import_module(f"tests.bench.{part}").measure()
        measured[part] = [ratio.model_dump() for ratio in ratios]
        Console().print(_table(part, ratios))
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(json.dumps({"machine": platform.processor() or platform.machine(), "parts": measured}, indent=2))


def _table(part: str, ratios: list[Ratio]) -> Table:
    table = Table(title=part, title_justify="left")
    for column in ("claim", "ours", "other", "unit", "ratio", "goal", ""):
        table.add_column(column, justify="left" if column in {"claim", "unit"} else "right")
    for ratio in ratios:
        figures = (f"{value:.3g}" for value in (ratio.ours, ratio.other))
        table.add_row(
            ratio.claim, *figures, ratio.unit, f"{ratio.ratio:.2f}", ratio.goal, "met" if ratio.met else "NOT MET"
        )
    return table


if __name__ == "__main__":
    typer.run(main)
