"""What a target gets wrong: confused classes, kinds of errors, and the images on which it errs most."""

from dataclasses import dataclass

import pandas as pd

from tasks.contracts.evaluation import Evaluation
from tasks.contracts.tables import BOX
from tasks.dataset.decoding import Image
from tasks.report_page.inputs import LoadImage
from tasks.report_page.pictures import Mark, Picture, picture, window_around

BACKGROUND = "background"
REST = "all others"
_NO_ERRORS = ("right", "ignored")
KINDS = {
    "missed": "an object that no box found",
    "background": "a box where there is nothing",
    "class": "a box on an object of another class that is not found otherwise",
    "second class": "a box on an object of another class that is found already",
    "localisation": "a box of the right class that fits its object badly (IoU under 0.5)",
    "duplicate": "one more box on an object of its class that is found already",
}


@dataclass(frozen=True)
class Confusion:
    """Truth in rows, predictions in columns; `share` of a cell is of its row."""

    labels: list[str]  # rows and columns, background last
    rows: list[list[int]]
    left_out: int  # classes that are in `all others`


@dataclass(frozen=True)
class WorstImage:
    """One image with its truth and predictions."""

    name: str
    where: str
    summary: str  # 2 missed, 1 on the background
    picture: Picture | None  # None where there is no file


def confusion(evaluation: Evaluation, most: int) -> Confusion | None:
    """The confusion matrix of at most `most` classes, those most often confused; the others are summed up."""
    counts = evaluation.confusion
    if not counts:
        return None
    known = list(evaluation.classes) or sorted({*counts} - {BACKGROUND})
    wrong = {label: _confused(counts, label) for label in known}
    shown = sorted(known, key=lambda label: -wrong[label])[:most] if len(known) > most else known
    shown = [label for label in known if label in shown]
    rest = [label for label in known if label not in shown]
    parts = {**{label: [label] for label in shown}, **({REST: rest} if rest else {}), BACKGROUND: [BACKGROUND]}
    rows = [
        [sum(counts.get(truth, {}).get(found, 0) for truth in truths for found in founds) for founds in parts.values()]
        for truths in parts.values()
    ]
    return Confusion(list(parts), rows, len(rest))


def _confused(counts: dict[str, dict[str, int]], label: str) -> int:
    as_truth = sum(number for found, number in counts.get(label, {}).items() if found != label)
    return as_truth + sum(row.get(label, 0) for truth, row in counts.items() if truth != label)


def worst_images(
    marked: pd.DataFrame, images: pd.DataFrame, load: LoadImage, *, most: int, longest: int, quality: int
) -> list[WorstImage]:
    """The images with the most missed objects and the most confident wrong boxes, the worst first.

    marked: one row per object (`side` truth) and box at the operating thresholds (`side` prediction), with image_id,
    kind (right, ignored, or one of `KINDS`), label, score and the box.
    """
    wrong = marked[~marked["kind"].isin(_NO_ERRORS)]
    # A missed object weighs as much as a wrong box that the detector is certain of.
    weight = wrong["score"].where(wrong["side"] == "prediction", 1.0)
    ranked = weight.groupby(wrong["image_id"]).sum().rename("weight").reset_index()
    ranked = ranked.sort_values(["weight", "image_id"], ascending=[False, True]).head(most)
    by_id = images.set_index("image_id")
    return [
        _worst(by_id.loc[image_id], marked[marked["image_id"] == image_id], load(str(image_id)), longest, quality)
        for image_id in ranked["image_id"]
    ]


def _worst(row: "pd.Series[str]", marked: pd.DataFrame, image: Image | None, longest: int, quality: int) -> WorstImage:
    kinds = marked["kind"].value_counts()
    parts = [f"{kinds[kind]} {_WORDS.get(kind, kind)}" for kind in KINDS if kind in kinds]
    drawn = None
    if image is not None:
        marks = _marks(marked)
        errors = [mark for mark in marks if mark.text]
        drawn = picture(image, marks, window_around(errors, image, longest), longest, quality)
    return WorstImage(name=str(row["name"]), where=place(row), summary=", ".join(parts), picture=drawn)


_WORDS = {
    "background": "on the background",
    "class": "wrong class",
    "second class": "of a second class",
    "localisation": "badly placed",
}
# Beside a box there is room for one short word; the legend says what each means.
_SHORT = {
    "missed": "missed",
    "background": "false",
    "class": "wrong",
    "second class": "also",
    "localisation": "off",
    "duplicate": "twice",
}


def _marks(marked: pd.DataFrame) -> list[Mark]:
    """Those that are no errors first and without words, so that errors lie above them; errors by kind and label."""
    order = marked["kind"].map({kind: number for number, kind in enumerate(KINDS)}).fillna(-1)
    rows = marked.assign(order=order).sort_values(
        ["order", "label", "score"], ascending=[True, True, False], kind="stable"
    )
    marks = []
    for row, corners in zip(rows.to_dict("records"), rows[BOX].to_numpy(float).tolist(), strict=True):
        is_error = row["kind"] not in _NO_ERRORS
        mark = Mark(
            box_xyxy=(corners[0], corners[1], corners[2], corners[3]),
            style=f"{row['side']} {'wrong' if is_error else row['kind']}",
            text=f"{_SHORT[row['kind']]} {row['label']}" if is_error else "",
            score=float(row["score"]) if is_error and row["side"] == "prediction" else None,
        )
        marks.append(mark)
    return marks


def place(image: "pd.Series[str]") -> str:
    """Where an image stands in CVAT, in words: its export, subset, task and frame."""
    parts = [str(image["source"])]
    for column, word in (("subset", "subset"), ("task_id", "task"), ("frame", "frame")):
        if pd.notna(image[column]):
            number = image[column]
            parts.append(f"{word} {int(number) if column == 'frame' else number}")
    return ", ".join(parts)
