"""What to change where one kind of error stands out."""

import pandas as pd

from tasks.contracts.bundle import Output
from tasks.contracts.evaluation import Evaluation
from tasks.metrics.error_kinds import ERROR_KINDS
from tasks.metrics.matching import box_pairs, scene


def suppression_hint(evaluation: Evaluation, truth: pd.DataFrame, output: Output) -> str | None:
    """Recommend class-agnostic suppression where boxes of several classes on one object are the most frequent error.

    truth: columns image_id, label and the box. None also where suppression is agnostic already, where the network goes
    without, and where labelled objects of two classes lie on one another as often: it would lose one of them.
    """
    if output.layout != "yolo" or output.nms_agnostic:
        return None
    counts = {kind: sum(of.get(kind, 0) for of in evaluation.errors.values()) for kind in ERROR_KINDS}
    total, several = sum(counts.values()), counts.pop("second class")
    hidden = objects_on_another(truth, output.nms_iou)
    if several <= max(counts.values()) or several <= hidden:
        return None
    share = f"{several:,} of {total:,} errors are boxes of several classes on one object"
    lost = f" ({hidden:,} labelled objects lie so on one of another class, and may be lost)" if hidden else ""
    return f"set export.nms_agnostic: true: {share}{lost}"


def objects_on_another(truth: pd.DataFrame, iou: float) -> int:
    """How many labelled objects overlap an object of another class by more than `iou`."""
    labels, images = sorted({*truth["label"]}), sorted({*truth["image_id"]})
    objects = scene(truth, truth.iloc[:0], images, labels).truth
    one, other, overlap = box_pairs(objects, objects, objects.image, objects.image, iou)
    return len({*one[(overlap > iou) & (objects.label[one] != objects.label[other])].tolist()})
