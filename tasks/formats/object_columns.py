"""The objects of many images as columns of the table, and what becomes of each."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.contracts.tables import BOX, OBJECTS
from tasks.formats.label_rules import LabelRules
from tasks.formats.labels import PLAIN, SIZE_UNKNOWN, Details, LabelledObject, Points
from tasks.formats.placing import PlacedImage
from tasks.formats.settling import settle_boxes
from tasks.formats.tally import CONVERTED, KEPT

_TEXT_FIELDS = ("label", *BOX, "occluded", "z_order", "source")  # of a TextBox


@dataclass(frozen=True, slots=True)
class ObjectColumns:
    """One entry per object, in the order of the images and within them of the label file."""

    owners: list[int]  # rows of the images
    shapes: list[str]
    labels: list[str]  # after renaming
    outcomes: list[str]  # kept, converted, or a reason
    table: pa.Table  # of those kept and converted
    clipped: int  # of those, how many went over the border
    per_image: list[int]  # of those, how many each image has


def object_columns(
    placed: Sequence[PlacedImage], sizes_wh: Sequence[tuple[int, int]], rules: LabelRules
) -> ObjectColumns:
    """Make columns of at least one object. sizes_wh: pixels of each image, (0, 0) where unknown."""
    given, order = _given(placed)
    counts = np.array([len(one.image.objects) for one in placed])
    owners = np.repeat(np.arange(len(placed)), counts)[order]
    sizes = np.array(sizes_wh, dtype=np.float64)
    scales = _scales(placed, sizes)
    boxes = np.array([given[side] for side in BOX]).T
    if scales is not None:
        boxes *= np.tile(scales, 2)[owners]
    boxes, over, faults = settle_boxes(boxes, np.where(sizes > 0, sizes, np.inf)[owners])
    if scales is not None:
        faults |= dict.fromkeys(np.flatnonzero(np.isnan(scales[owners, 0])).tolist(), SIZE_UNKNOWN)
    labels = [rules.rename.get(label, label) for label in given["label"]] if rules.rename else given["label"]
    faults |= {row: reason for row, reason in enumerate(given["refused"]) if reason} | _label_faults(labels, rules)
    outcomes = [KEPT if shape == "box" else CONVERTED for shape in given["shape"]]
    is_in = np.ones(len(owners), dtype=np.bool_)
    for row, reason in faults.items():
        outcomes[row] = reason
        is_in[row] = False
    ids = pa.array([one.image_id for one in placed]).take(pa.array(owners))
    columns = given | dict(zip(BOX, boxes.T, strict=True))
    columns |= {
        "object_id": pc.binary_join_element_wise(ids, _places(placed, counts).take(pa.array(order)), "-"),
        "image_id": ids,
        "label": labels,
        "truncated": over | np.array(given["truncated"]),
        "attributes": [json.dumps(found, ensure_ascii=False) if found else "{}" for found in given["attributes"]],
        "points": _points(given["points"], scales, owners),
    }
    table = pa.table({field.name: pa.array(columns[field.name], field.type) for field in OBJECTS}, schema=OBJECTS)
    # Back into the order of the label file.
    rows = np.argsort(order)
    return ObjectColumns(
        owners=owners.tolist(),
        shapes=given["shape"],
        labels=labels,
        outcomes=outcomes,
        table=table.take(pa.array(rows[is_in[rows]])),
        clipped=int((over & is_in).sum()),
        per_image=np.bincount(owners[is_in], minlength=len(placed)).tolist(),
    )


def _given(placed: Sequence[PlacedImage]) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """Fields of all objects by name, those that are still text first; and where each stood among all."""
    objects = [labelled for one in placed for labelled in one.image.objects]
    texts = [labelled for labelled in objects if not isinstance(labelled, LabelledObject)]
    read = [labelled for labelled in objects if isinstance(labelled, LabelledObject)]
    is_read = np.array([isinstance(labelled, LabelledObject) for labelled in objects]) if read else np.zeros(len(texts))
    text = _columns(_TEXT_FIELDS, texts)
    given = _columns(LabelledObject._fields, read)
    details = _columns(Details._fields, given.pop("details"))
    values: dict[str, Any] = {
        "label": text["label"],
        "shape": ["box"] * len(texts),
        "occluded": [value == "1" for value in text["occluded"]],
        "z_order": _whole_numbers(text["z_order"]),
        "source": text["source"],
    }
    boxes = {side: np.concatenate([_numbers(text[side]), np.array(given[side], np.float64)]) for side in BOX}
    rest = {name: [value] * len(texts) + details[name] for name, value in PLAIN._asdict().items()}
    return {name: column + given[name] for name, column in values.items()} | boxes | rest, np.argsort(
        is_read, kind="stable"
    )


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    # Not zip(*rows): with thousands of arguments it leaves the processor's cache.
    return {name: list(map(itemgetter(place), rows)) for place, name in enumerate(names)}


def _numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    """Numbers, NaN for what is none."""
    try:
        return np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:
        return np.array([_number(text) for text in texts])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _whole_numbers(texts: Sequence[str]) -> list[int]:
    # There are few different ones.
    values = {text: int(text) if text.lstrip("-").isdecimal() else 0 for text in set(texts)}
    return [values[text] for text in texts]


def _scales(placed: Sequence[PlacedImage], sizes: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """What relative coordinates are multiplied by, NaN where that is unknown; None if none are relative."""
    is_relative = np.array([one.image.relative for one in placed])
    if not is_relative.any():
        return None
    return np.where(is_relative[:, None], np.where(sizes > 0, sizes, np.nan), 1.0)


def _label_faults(labels: Sequence[str], rules: LabelRules) -> dict[int, str]:
    why = {label: rules.why_dropped(label) for label in set(labels)}
    if not any(why.values()):
        return {}
    return {row: reason for row, label in enumerate(labels) if (reason := why[label]) is not None}


def _places(placed: Sequence[PlacedImage], counts: NDArray[np.int64]) -> pa.Array:
    """The number of each object within its image, as text."""
    first = np.array([one.objects_before or 0 for one in placed]) - (np.cumsum(counts) - counts)
    return pa.array(np.arange(counts.sum()) + np.repeat(first, counts)).cast(pa.string())


def _points(
    given: Sequence[Points | None], scales: NDArray[np.float64] | None, owners: NDArray[np.int64]
) -> list[str | None]:
    texts: list[str | None] = [None] * len(given)
    for row in [row for row, points in enumerate(given) if points is not None]:
        scale_x, scale_y = (1.0, 1.0) if scales is None else scales[owners[row]].tolist()
        texts[row] = json.dumps([[x * scale_x, y * scale_y] for x, y in given[row] or ()])
    return texts
