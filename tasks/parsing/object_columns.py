"""The objects of many images as columns of the table, and what becomes of each."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.contracts.tables import BOX, OBJECTS
from tasks.formats.labelled_image import SIZE_UNKNOWN, Details, LabelledObject, Points, TextBox
from tasks.parsing.clip_boxes import clip_boxes
from tasks.parsing.identify_images import PlacedImage
from tasks.parsing.label_rules import LabelRules

_TEXT_FIELDS = ("label", *BOX, "occluded", "z_order", "source")  # of a TextBox

_GREATEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ObjectColumns:
    """One entry per object, in any order."""

    owners: NDArray[np.int64]  # rows of the images
    shapes: list[str]
    labels: list[str]  # after renaming
    faults: dict[int, str]  # rows of those dropped, and the reason
    table: pa.Table  # of the others, in the order of the label file
    clipped: int  # of those, how many went over the border
    ignored: dict[str, int]  # of those, by reason
    cut_texts: int  # attributes whose text was cut
    per_image: list[int]  # of those, how many each image has


def object_columns(
    placed: Sequence[PlacedImage], sizes_wh: Sequence[tuple[int, int]], rules: LabelRules
) -> ObjectColumns:
    """Make columns of at least one object. sizes_wh: pixels of each image, (0, 0) where unknown."""
    texts, read, order = _by_kind(placed)
    counts = np.array([len(one.image.objects) for one in placed])
    owners = np.repeat(np.arange(len(placed)), counts)[order]
    sizes = np.array(sizes_wh, dtype=np.float64)
    scales = _scales(placed, sizes)
    boxes = np.column_stack([np.concatenate([_numbers(texts[side]), np.array(read[side], float)]) for side in BOX])
    if scales is not None:
        boxes *= np.tile(scales, 2)[owners]
    boxes, over, faults = clip_boxes(boxes, np.where(sizes > 0, sizes, np.inf)[owners])
    if scales is not None:
        faults |= dict.fromkeys(np.flatnonzero(np.isnan(scales[owners, 0])).tolist(), SIZE_UNKNOWN)
    labels = texts["label"] + read["label"]
    if rules.rename:
        labels = [rules.rename.get(label, label) for label in labels]
    first_read = len(texts["label"])
    faults |= {row: reason for row, reason in enumerate(read["refused"], first_read) if reason}
    faults |= _label_faults(labels, rules)
    labels = [rules.shown(label) for label in labels]
    attributes, cut_texts = _attributes(read["attributes"], rules.max_chars)
    is_in = np.ones(len(owners), dtype=np.bool_)
    is_in[list(faults)] = False
    over[first_read:] |= np.array(read["truncated"], dtype=np.bool_)
    ids = pa.array([one.image_id for one in placed]).take(pa.array(owners))
    # Of boxes that were text, then of the others.
    columns = {
        "shape": ["box"] * first_read + read["shape"],
        "rotation": [0.0] * first_read + read["rotation"],
        "occluded": [text == "1" for text in texts["occluded"]] + read["occluded"],
        "z_order": _whole_numbers(texts["z_order"]) + read["z_order"],
        "ignored": [None] * first_read + read["ignored"],
        "track_id": [None] * first_read + read["track_id"],
        "source": texts["source"] + read["source"],
        "attributes": ["{}"] * first_read + attributes,
        "points": [None] * first_read + _points(read["points"], scales, owners[first_read:]),
    }
    arrays = {
        "object_id": pc.binary_join_element_wise(ids, _places(placed, counts).take(pa.array(order)), "-"),
        "image_id": ids,
        "label": pa.array(labels),
        **{side: pa.array(column) for side, column in zip(BOX, boxes.T, strict=True)},
        "truncated": pa.array(over),
    }
    arrays |= {name: arrow_array(values, OBJECTS.field(name)) for name, values in columns.items()}
    table = pa.table([arrays[name] for name in OBJECTS.names], schema=OBJECTS)
    if read["label"] or faults:
        # Back into the order of the label file, without those that were dropped.
        rows = np.argsort(order)
        table = table.take(pa.array(rows[is_in[rows]]))
    return ObjectColumns(
        owners=owners,
        shapes=columns["shape"],
        labels=labels,
        faults=faults,
        table=table,
        clipped=int((over & is_in).sum()),
        ignored=dict(Counter(table["ignored"].drop_null().to_pylist())),
        cut_texts=cut_texts,
        per_image=np.bincount(owners[is_in], minlength=len(placed)).tolist(),
    )


def _by_kind(placed: Sequence[PlacedImage]) -> tuple[dict[str, Any], dict[str, Any], NDArray[np.int64]]:
    """Fields by name, of boxes that are still text and of other objects; and where each of both stood among all."""
    objects = [labelled for one in placed for labelled in one.image.objects]
    texts: Sequence[LabelledObject | TextBox] = objects
    read: list[LabelledObject] = []
    order = np.arange(len(objects))
    if LabelledObject in set(map(type, objects)):
        texts = [labelled for labelled in objects if not isinstance(labelled, LabelledObject)]
        read = [labelled for labelled in objects if isinstance(labelled, LabelledObject)]
        order = np.argsort([isinstance(labelled, LabelledObject) for labelled in objects], kind="stable")
    fields = _columns(LabelledObject._fields, read)
    return _columns(_TEXT_FIELDS, texts), fields | _columns(Details._fields, fields["details"]), order


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    # Not zip(*rows): with thousands of arguments it leaves the processor's cache.
    return {name: list(map(itemgetter(place), rows)) for place, name in enumerate(names)}


def _numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    """Numbers, NaN for what is none."""
    try:
        return np.asarray(pa.array(texts, pa.string()).cast(pa.float64()))
    except pa.ArrowInvalid:
        return np.array([_number(text) for text in texts])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _whole_numbers(texts: Sequence[str]) -> list[int]:
    # There are few different ones.
    values = {text: _whole_number(text) for text in set(texts)}
    return [values[text] for text in texts]


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0


def _attributes(given: Sequence[dict[str, object] | None], max_chars: int) -> tuple[list[str], int]:
    """As JSON, what is longer cut; and how many were."""
    texts, cut = ["{}"] * len(given), 0
    for row in [row for row, attributes in enumerate(given) if attributes]:
        whole = given[row] or {}
        short = {name[:max_chars]: _cut(value, max_chars) for name, value in whole.items()}
        cut += sum(short.get(name) is not value for name, value in whole.items())
        texts[row] = json.dumps(short, ensure_ascii=False)
    return texts, cut


def _cut(value: object, max_chars: int) -> object:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= max_chars else text[:max_chars]


def arrow_array(values: list[Any], field: pa.Field) -> pa.Array:
    """A column of at least one row; fast where all have one value, as in most columns of most chunks."""
    try:
        if values.count(values[0]) == len(values):
            return pa.repeat(pa.scalar(values[0], field.type), len(values))
        return pa.array(values, field.type)
    except OverflowError:
        # Whole numbers beyond 64 bits mean nothing.
        unknown = None if field.nullable else 0
        return pa.array([unknown if abs(value or 0) > _GREATEST else value for value in values], field.type)


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
