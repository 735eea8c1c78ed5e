"""The last words of `make demo`: the verdict as a table, where the report is, and what to do with one's own labels.

In:   reports/verdict.json, reports/report.html
Out:  text on the terminal

Example: python -m tasks.sample.verdict
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tasks.contracts.record import read_record
from tasks.contracts.verdict import RuleResult, Verdict, three_digits
from tasks.execution.stage_command import run

NEXT = """\
Report:     {report}
Runs:       make tracking, then http://127.0.0.1:5000
Your data:  set ingest.source in params.yaml to a CVAT export (zip, folder or s3:// prefix), train.model to a
            pretrained network, gate.rules to what your use case needs; then: dvc repro"""


def verdict_table(verdict: Verdict) -> Table:
    """One row per target and rule."""
    table = Table(
        title=f"{verdict.outcome.upper()}: {verdict.reason}",
        title_justify="left",
        title_style="bold",
        caption="In brackets: one-sided bounds, each at the rule's confidence.",
        caption_justify="left",
    )
    for column, justify in (("target", "left"), ("verdict", "left"), ("rule", "left"), ("measured", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left")
    for target, judged in verdict.targets.items():
        for number, rule in enumerate(judged.rules):
            table.add_row("" if number else target, rule.outcome, rule.rule, measured(rule))
        table.add_section()
    return table


def measured(rule: RuleResult) -> str:
    """Value and interval of a rule, with its unit."""
    if rule.value is None:
        return rule.reason  # say, that there is no champion yet
    interval = (
        "" if rule.low is None or rule.high is None else f" [{three_digits(rule.low)}, {three_digits(rule.high)}]"
    )
    return f"{three_digits(rule.value)}{interval} {rule.unit}".rstrip()


def main(
    verdict: Annotated[Path, typer.Option(help="what gate wrote")] = Path("reports/verdict.json"),
    report: Annotated[Path, typer.Option(help="what report wrote")] = Path("reports/report.html"),
) -> None:
    """Print the verdict and the next steps."""
    console = Console()
    console.print(verdict_table(read_record(verdict, Verdict)))
    console.print(NEXT.format(report=report.resolve().as_uri()), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run(main)
