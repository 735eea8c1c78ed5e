"""The same figures on parts of the test split: by object size, by source, by an attribute.

Objects of other parts are ignored as COCO ignores objects of other sizes: nobody has to find them, and finding them is
no mistake. What counts as a false alarm depends on what is parted: see each function.
"""

import json
import logging
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tasks.contracts.evaluation import ClassSlice, Interval, Slice
from tasks.metrics.average_precision import average_precisions
from tasks.metrics.bootstrap import Resampling, count, holders, resampled_ap, resampled_counts
from tasks.metrics.intervals import TAIL_OF_95, ClassCounts, bounds, evidence
from tasks.metrics.matching import IOU_50, Bools, Floats, Scene, match
from tasks.metrics.use_case import metric_name, rates

log = logging.getLogger(__name__)

SIZES = ("small", "medium", "large")
MOST_PARTS = 20  # of one attribute; one with more is free text


@dataclass(frozen=True)
class Part:
    """One part of the test split."""

    by: str
    part: str
    truth: Bools  # (objects,) the objects in it
    predictions: Bools  # (predictions,) those that are false alarms in it if they find nothing


def parts(
    boxes: Scene, images: pd.DataFrame, truth: pd.DataFrame, *, edges_px: tuple[int, int], attributes: list[str]
) -> tuple[list[Part], dict[str, int]]:
    """All parts that there are: sizes, sources where there are several, and values of the attributes named.

    And how many values of an attribute are left out, where it has more than 20.
    images: columns image_id and source; truth: column attributes (JSON), one row per object of `boxes`.
    """
    sources = images.set_index("image_id")["source"][boxes.images].to_list()
    found = size_parts(boxes, edges_px)
    if len(set(sources)) > 1:
        found += source_parts(boxes, sources)
    left_out = {}
    described = [json.loads(text) for text in truth["attributes"]] if attributes else []
    for name in attributes:
        values = [
            None if name not in of or ignored else str(of[name])
            for of, ignored in zip(described, boxes.truth.ignored, strict=True)
        ]
        if not any(values):
            log.warning("evaluate.slice_attributes: no object of test has the attribute %r", name)
        found += attribute_parts(boxes, name, values)
        more = len({*values} - {None}) - MOST_PARTS
        if more > 0:
            log.warning(
                "evaluate.slice_attributes: %r has %d more values than the %d that are measured", name, more, MOST_PARTS
            )
            left_out[name] = more
    return [replace(part, truth=part.truth & ~boxes.truth.ignored) for part in found], left_out


def size_parts(boxes: Scene, edges_px: tuple[int, int]) -> list[Part]:
    """By the box's area, between the squares of `edges_px`; as COCO has it, an area on an edge is on both sides.

    A false alarm counts against its own size.
    """
    low = [0.0, float(edges_px[0] ** 2), float(edges_px[1] ** 2)]
    high = [*low[1:], np.inf]
    areas = (boxes.truth.area, boxes.predictions.area)
    return [
        Part("size", name, *((area >= least) & (area <= most) for area in areas))
        for name, least, most in zip(SIZES, low, high, strict=True)
    ]


def source_parts(boxes: Scene, sources: list[str]) -> list[Part]:
    """By the export that an image came from (`sources`, per image); a false alarm counts against its image's source."""
    source = np.array(sources, dtype=object)
    return [
        Part("source", str(name), source[boxes.truth.image] == name, source[boxes.predictions.image] == name)
        for name in sorted(set(sources))
    ]


def attribute_parts(boxes: Scene, name: str, values: list[str | None]) -> list[Part]:
    """By an attribute's values (per object, None: it has none), the most frequent 20 of them.

    A false alarm has no attributes: it counts against each value that an object of its image has.
    """
    value = np.array(values, dtype=object)
    parts = []
    for part in pd.Series(values).value_counts().index[:MOST_PARTS]:
        inside = value == part
        image = np.zeros(len(boxes.images), dtype=bool)
        image[boxes.truth.image[inside]] = True
        parts.append(Part(name, str(part), inside, image[boxes.predictions.image]))
    return parts


def measure_slices(
    boxes: Scene, parts: list[Part], thresholds: list[float], drawn: Resampling, redrawn: Floats
) -> tuple[list[Slice], pd.DataFrame]:
    """AP50 and recall of each part that holds objects, overall and per class; and its resamples by `metric_name`.

    redrawn: the thresholds of each resample, as in `resampled_figures`.
    """
    slices = []
    tables = [pd.DataFrame(index=pd.RangeIndex(drawn.weights.shape[1]))]
    for part in parts:
        if part.truth.any():
            sliced, resamples = _measure(boxes, part, thresholds, drawn, redrawn)
            slices.append(sliced)
            tables.append(pd.DataFrame(resamples))
    return slices, pd.concat(tables, axis=1)


def _measure(
    boxes: Scene, part: Part, thresholds: list[float], drawn: Resampling, redrawn: Floats
) -> tuple[Slice, dict[str, Floats]]:
    matches = match(boxes, IOU_50, ~part.truth, ~part.predictions)
    everything = np.ones((drawn.groups, 1))
    ap = average_precisions(matches, drawn.group, everything)[:, 0, 0]
    counts = count(matches, thresholds, drawn)
    where = (part.by, part.part)
    columns = _columns(
        resampled_ap("ap50", "ap50", boxes.labels, average_precisions(matches, drawn.group, drawn.weights)[:, 0]),
        resampled_counts(matches, redrawn, drawn),
        boxes.labels,
        where,
    )

    def interval(name: str, value: float, of: list[ClassCounts], label: str | None = None) -> Interval:
        behind = evidence(name, of)
        low, high = bounds(value, columns[metric_name(name, label, where)], behind, TAIL_OF_95)
        return Interval(value=value, low=low, high=high)

    images = holders(matches)
    classes = {
        label: ClassSlice(
            objects=of.objects,
            groups=of.units,
            equal_groups=of.equal_units,
            images=int(images[index]),
            true_positives=of.right,
            found=of.found,
            ap50=interval("ap50", float(ap[index]), [of], label),
            recall=interval("recall", of.right / of.objects, [of], label),
        )
        for index, (label, of) in enumerate(zip(boxes.labels, counts, strict=True))
        if of.objects
    }
    objects = sum(of.objects for of in counts)
    sliced = Slice(
        by=part.by,
        part=part.part,
        images=len(np.unique(matches.truth_image)),
        objects=objects,
        ap50=interval("ap50", float(np.nanmean(ap)), counts),
        recall=interval("recall", sum(of.right for of in counts) / objects, counts),
        classes=classes,
    )
    return sliced, columns


def _columns(
    ap50: dict[str, Floats],
    counted: tuple[Floats, Floats, Floats],
    labels: list[str],
    where: tuple[str, str],
) -> dict[str, Floats]:
    suffix = metric_name("", where=where)
    right, wrong, objects = counted
    columns = {name + suffix: values for name, values in ap50.items()}
    columns["recall" + suffix] = rates(right.sum(axis=0), wrong.sum(axis=0), objects.sum(axis=0))[1]
    recall = rates(right, wrong, objects)[1]
    for label, values, right_of_label, count_of_label in zip(labels, recall, right, objects, strict=True):
        if count_of_label.any():
            columns[metric_name("recall", label, where)] = values
            columns[metric_name("right", label, where)] = right_of_label
            columns[metric_name("objects", label, where)] = count_of_label
        else:
            del columns[metric_name("ap50", label, where)]
    return columns
