"""The data that a release stands on: classes over the splits, and the findings that a labeller works from."""

from collections.abc import Hashable
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from tasks.contracts.check_report import RuleCount
from tasks.contracts.leakage import SPLITS, Leakage
from tasks.contracts.tables import BOX
from tasks.report_page.inputs import Data, LoadImage
from tasks.report_page.pictures import Mark, Picture, picture, window_around
from tasks.report_page.training_charts import balance_chart

THUMBNAIL = 200  # pixels; the longest side
BARS = 30  # classes in the chart; the table has all


@dataclass(frozen=True)
class ListedFinding:
    """A finding as the page lists it."""

    message: str
    where: str
    label: str
    pictures: list[Picture]  # its image, and the other of two near-duplicates; empty where there is none to show


@dataclass(frozen=True)
class RuleFindings:
    """What one rule found, with its first findings."""

    count: RuleCount
    findings: list[ListedFinding]
    left_out: int


def balance(leakage: Leakage, labels: list[str]) -> pd.DataFrame:
    """Objects per class (index, most first) and split (columns); classes without objects included."""
    named = dict.fromkeys([*labels, *[label for split in leakage.splits.values() for label in split.objects_per_class]])
    counts = {
        split: [
            leakage.splits[split].objects_per_class.get(label, 0) if split in leakage.splits else 0 for label in named
        ]
        for split in SPLITS
    }
    table = pd.DataFrame(counts, index=list(named))
    return table.loc[table.sum(axis=1).sort_values(ascending=False, kind="stable").index]


def balance_drawn(counts: pd.DataFrame) -> Markup | None:
    """The classes with the most objects as bars; None without any object."""
    if not counts.to_numpy().sum():
        return None
    return balance_chart(counts.head(BARS), "objects per class in train, val and test; the figures stand in the table")


def rules(data: Data, load: LoadImage, most: int, thumbnails: int) -> list[RuleFindings]:
    """The rules that found something, as check orders them; the first `most` findings of each, a few with a picture.

    Thumbnails go round the rules, so that each gets some before one gets many.
    """
    found = [count for count in data.checks.rules if count.findings]
    each = thumbnails // len(found) if found else 0
    return [_rule(count, data, load, most, each) for count in found]


def _rule(count: RuleCount, data: Data, load: LoadImage, most: int, thumbnails: int) -> RuleFindings:
    findings = data.findings
    rows = findings[(findings["rule"] == count.rule) & (findings["severity"] == count.severity)]
    shown = rows.head(most).to_dict("records")
    return RuleFindings(
        count=count,
        findings=[_finding(row, data, load if place < thumbnails else None) for place, row in enumerate(shown)],
        left_out=len(rows) - len(shown),
    )


def _finding(row: dict[Hashable, object], data: Data, load: LoadImage | None) -> ListedFinding:
    drawn = []
    if load is not None:
        marks = _object_marks(row["object_id"], data.objects)
        for image_id, marked in ((row["image_id"], marks), (row["other_image_id"], [])):
            image = load(image_id) if isinstance(image_id, str) else None
            if image is not None:
                drawn.append(picture(image, marked, window_around(marked, image, THUMBNAIL), THUMBNAIL, quality=60))
    return ListedFinding(
        message=str(row["message"]), where=_text(row["where"]), label=_text(row["label"]), pictures=drawn
    )


def _object_marks(object_id: object, objects: pd.DataFrame) -> list[Mark]:
    found = objects[objects["object_id"] == object_id] if isinstance(object_id, str) else objects.iloc[:0]
    return [Mark((box[0], box[1], box[2], box[3]), "truth wrong") for box in found[BOX].to_numpy(float).tolist()]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
