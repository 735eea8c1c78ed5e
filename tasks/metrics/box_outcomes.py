"""Every object and every box at the operating thresholds, row by row, with what became of it: for people to look at."""

import numpy as np
import pandas as pd

from tasks.contracts.tables import BOX
from tasks.metrics.error_kinds import ERROR_KINDS, assess
from tasks.metrics.matching import IOU_50, match, scene

RIGHT, IGNORED = "right", "ignored"
MARKED = ["image_id", "side", "kind", "label", "score", *BOX]


def marked_boxes(
    truth: pd.DataFrame, predictions: pd.DataFrame, images: list[str], thresholds: dict[str, float]
) -> pd.DataFrame:
    """Columns image_id, side (truth or prediction), kind (right, ignored, of ERROR_KINDS), label, score and the box.

    truth: columns image_id, label, the box, and `ignored` if any are; predictions: contracts.tables.PREDICTIONS;
    thresholds: operating score threshold by label. Boxes below their threshold and rows of other images or labels are
    left out. An object that a class or localisation error is about is not missed, as in `error_kinds`: it is right, and
    that box is not.
    """
    labels = list(thresholds)
    truth, predictions = (
        table[table["image_id"].isin(images) & table["label"].isin(labels)] for table in (truth, predictions)
    )
    boxes = scene(truth, predictions, images, labels)
    matches = match(boxes, IOU_50)
    reading = assess(boxes, matches, list(thresholds.values()))
    truth_kind = np.full(len(truth), RIGHT, dtype=object)
    truth_kind[reading.missed] = ERROR_KINDS[0]
    truth_kind[boxes.truth.ignored] = IGNORED
    objects = truth.assign(side="truth", kind=truth_kind, score=1.0)
    hits = predictions.iloc[reading.right].assign(side="prediction", kind=RIGHT)
    alarms = predictions.iloc[reading.false].assign(
        side="prediction", kind=[ERROR_KINDS[number] for number in reading.kind]
    )
    excused = matches.ignored[:, 0] & (matches.score >= np.array([*thresholds.values(), np.inf])[matches.label])
    others = predictions.iloc[matches.row[excused]].assign(side="prediction", kind=IGNORED)
    return pd.concat([table[MARKED] for table in (objects, hits, alarms, others)], ignore_index=True)
