"""What a check found, and the table of it that a labeller works from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tasks.checks.rules import RuleText
from tasks.contracts.check_report import FINDINGS, SEVERITIES, ExpectationCount, Severity


@dataclass(frozen=True)
class Finding:
    """One fault, with what it is about; nulls where it is about a class or a whole export."""

    rule: str
    severity: Severity
    message: str
    image_id: str | None = None
    object_id: str | None = None
    label: str | None = None
    other_image_id: str | None = None
    value: float | None = None
    where: str | None = None  # set only where no image says it


@dataclass(frozen=True)
class Validation:
    """The outcome of the suites of expectations."""

    counts: dict[str, ExpectationCount]  # by table
    findings: list[Finding]
    rules: dict[str, RuleText]  # words of ours and of a team's


def rows(table: pd.DataFrame) -> Iterator[Any]:
    """The rows of a table as named tuples, whose fields the table's schema types."""
    yield from table.itertuples()


def findings_table(findings: Iterable[Finding], images: pd.DataFrame) -> pd.DataFrame:
    """All findings as contracts.check_report.FINDINGS, worst first, each with its place in CVAT.

    The order does not depend on the order of `findings`.
    """
    table = pd.DataFrame([vars(finding) for finding in findings], columns=list(FINDINGS.names))
    places = cvat_places(images)
    table["where"] = table["where"].fillna(table["image_id"].map(places))
    rank = table["severity"].map({severity: rank for rank, severity in enumerate(SEVERITIES)})
    return (
        table.assign(rank=rank)
        .sort_values(["rank", "rule", "where", "label", "object_id", "message"], na_position="first", kind="stable")
        .drop(columns="rank")
        .reset_index(drop=True)
    )


def cvat_places(images: pd.DataFrame) -> pd.Series:
    """Where each image stands in CVAT, for people: export, task, frame and name, by image_id."""
    parts = [
        images["source"],
        ("task " + images["task_id"]).where(images["task_id"].notna()),
        ("frame " + images["frame"].astype("Int64").astype("string")).where(images["frame"].notna()),
        images["name"],
    ]
    text = parts[0].astype("string")
    for part in parts[1:]:
        text = text + (" · " + part.astype("string")).fillna("")
    places = pd.Series(text.to_numpy(dtype=object), index=images["image_id"])
    return places[~places.index.duplicated()]
