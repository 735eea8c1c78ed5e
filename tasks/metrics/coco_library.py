"""Average precision as the library has it (faster-coco-eval): the figures of record.

Our own matching gives the same to the last digits and serves what the library does not: resamples, slices, kinds of
errors. So nobody has to take our word for AP.

The library knows crowds. A difficult object, which any number of detections may find, is given to it once for each
detection that could, of a size beyond the range that is measured: such objects it ignores.
"""

import logging

import numpy as np
from faster_coco_eval import COCO
from faster_coco_eval.core.faster_eval_api import COCOeval_faster

from tasks.execution.garbage import no_garbage_collection
from tasks.metrics.matching import IOU_THRESHOLDS, MAX_DETECTIONS, Boxes, Floats, Ints, Scene, box_pairs

log = logging.getLogger(__name__)

_MOST_AREA = 1e10  # of what the library measures, as it has it by default
Annotation = dict[str, int | float | list[float]]


def library_average_precisions(boxes: Scene) -> Floats:
    """AP of every class at every IoU of .5:.95: (classes, 10); NaN for a class without objects."""
    with no_garbage_collection():
        evaluation = COCOeval_faster(*library_truth_and_predictions(boxes), "bbox", print_function=log.debug)
        # Only what is asked for: its defaults measure four ranges of sizes and three limits of detections.
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, _MOST_AREA]], ["all"]
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.params.iouThrs = IOU_THRESHOLDS
        evaluation.evaluate()
        evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, 0]  # (ious, recall levels, classes)
    aps: Floats = np.where(precision < 0, np.nan, precision).mean(axis=1).T
    return aps


def library_truth_and_predictions(boxes: Scene) -> tuple[COCO, COCO]:
    """Both sides in the library's form."""
    truth_rows = boxes.truth.rows(_difficult_once_per_detection(boxes))
    images = [{"id": number} for number in range(1, len(boxes.images) + 1)]
    categories = [{"id": number, "name": label} for number, label in enumerate(boxes.labels, start=1)]
    truth, found = (
        COCO({"images": images, "categories": categories, "annotations": _annotations(side)})
        for side in (truth_rows, boxes.predictions)
    )
    return truth, found


def _annotations(boxes: Boxes) -> list[Annotation]:
    # Its ids start at 1: 0 marks "no match" inside the library.
    columns = zip(
        (boxes.image + 1).tolist(),
        (boxes.label + 1).tolist(),
        boxes.xywh.tolist(),
        np.where(boxes.ignored & ~boxes.crowd, 2 * _MOST_AREA, boxes.area).tolist(),
        boxes.score.tolist(),
        boxes.crowd.astype(int).tolist(),
        strict=True,
    )
    return [
        {
            "id": row,
            "image_id": image,
            "category_id": label,
            "bbox": xywh,
            "area": area,
            "score": score,
            "iscrowd": crowd,
        }
        for row, (image, label, xywh, area, score, crowd) in enumerate(columns, start=1)
    ]


def _difficult_once_per_detection(boxes: Scene) -> Ints:
    """Rows of the truth, those of difficult objects as often as there are detections that may find them."""
    times = np.ones(len(boxes.truth), dtype=np.int64)
    difficult = np.flatnonzero(boxes.truth.ignored & ~boxes.truth.crowd)
    if len(difficult):
        objects = boxes.truth.rows(difficult)
        cell, of_objects = (side.label * len(boxes.images) + side.image for side in (boxes.predictions, objects))
        _, found, _ = box_pairs(boxes.predictions, objects, cell, of_objects, float(IOU_THRESHOLDS[0]))
        times[difficult] = np.bincount(found, minlength=len(difficult))
    return np.repeat(np.arange(len(boxes.truth)), times)
