"""Objects of COCO.

The box is COCO's own `bbox`, which is the extent of the segmentation; without one it is taken from the segmentation.
"""

import math
import re
from collections.abc import Set
from typing import Annotated, Any

from pycocotools import mask as rle
from pydantic import BaseModel, BeforeValidator

from tasks.contracts.tables import CROWD, DIFFICULT
from tasks.formats import geometry
from tasks.formats.geometry import Box
from tasks.formats.labelled_image import MASK_MALFORMED, NO_PLACE, NOT_NUMBERS, Details, LabelledObject, Points

# Attributes of CVAT that have a column of their own.
_COLUMNS = frozenset({"occluded", "rotation", "track_id"})
_NOWHERE: Box = (math.nan, math.nan, math.nan, math.nan)
_MALFORMED = (KeyError, TypeError, ValueError, OverflowError)


def _same_id(given: Any) -> Any:
    # Tools write one id as a number here and as text there.
    if isinstance(given, float) and given.is_integer():
        return int(given)
    return int(given) if isinstance(given, str) and re.fullmatch(r"0|[1-9]\d{0,17}", given) else given


Id = Annotated[int | str, BeforeValidator(_same_id)]


class CocoAnnotation(BaseModel):
    """An object. What may be malformed in a single one is looked at when it is converted."""

    id: Any = None
    image_id: Id
    category_id: Id | None = None
    bbox: Any = None  # x, y, width, height
    segmentation: Any = None  # polygons, or a mask as run lengths
    keypoints: Any = None  # x, y, visibility, ...
    iscrowd: int | None = None
    ignore: Any = None
    attributes: dict[str, Any] | None = None


def coco_object(
    annotation: CocoAnnotation, label: str, *, no_label: str | None = None, ignores: Set[str] = frozenset()
) -> LabelledObject:
    """Convert an annotation; a malformed segmentation leaves the box alone.

    no_label: why its label is not known. ignores: CROWD where `iscrowd` means a crowd, see `crowds`; DIFFICULT where
    `ignore` counts, which tools write that turn the difficult objects of other formats into COCO.
    """
    attributes = annotation.attributes or {}
    kept = {name: value for name, value in attributes.items() if name not in _COLUMNS}
    shape, box, points, refused = _extent(annotation)
    try:
        rotation = float(attributes.get("rotation") or 0)
    except _MALFORMED:
        # Somebody's own attribute: CVAT's is a number.
        rotation, kept["rotation"] = 0.0, attributes["rotation"]
    if not math.isfinite(rotation):
        rotation, refused = 0.0, NOT_NUMBERS
    if shape == "box" and rotation:
        # CVAT writes the box as it was before it was turned.
        shape, points = "rotated_box", geometry.rotated_corners(box, rotation)
        box = geometry.points_box(points)
    if annotation.iscrowd:
        kept["iscrowd"] = annotation.iscrowd
    track_id = attributes.get("track_id")
    return LabelledObject(
        label,
        shape,
        *box,
        occluded=bool(attributes.get("occluded")),
        details=Details(
            rotation=rotation,
            track_id=None if track_id is None else str(track_id),
            attributes=kept,
            points=points,
            refused=no_label or refused,
            ignored=_ignored(annotation) if _ignored(annotation) in ignores else None,
        ),
    )


def _ignored(annotation: CocoAnnotation) -> str | None:
    if annotation.iscrowd:
        return CROWD
    return DIFFICULT if annotation.ignore in (1, "1") else None


def _extent(annotation: CocoAnnotation) -> tuple[str, Box, Points | None, str | None]:
    """Shape, box and points; the reason if there is no box."""
    shape, box = _shape_name(annotation), _given_box(annotation.bbox)
    try:
        points = _points(annotation, shape)
        if box is None:
            box = _outer_box(annotation.segmentation, points)
    except _MALFORMED:
        if box is None:
            return shape, _NOWHERE, None, MASK_MALFORMED if shape == "mask" else NOT_NUMBERS
        return "box", box, None, None
    if box is not None:
        return shape, box, points, None
    return (shape, _NOWHERE, None, NOT_NUMBERS) if annotation.bbox else ("tag", _NOWHERE, None, NO_PLACE)


def _shape_name(annotation: CocoAnnotation) -> str:
    if annotation.keypoints:
        return "skeleton"
    if isinstance(annotation.segmentation, dict):
        return "mask"
    return "polygon" if annotation.segmentation else "box"


def _given_box(bbox: Any) -> Box | None:
    try:
        x, y, width, height = map(float, bbox)
    except _MALFORMED:
        return None
    return x, y, x + width, y + height


def _points(annotation: CocoAnnotation, shape: str) -> Points | None:
    if shape == "skeleton":
        numbers = [float(number) for number in annotation.keypoints]
        return [(x, y) for x, y, seen in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True) if seen]
    if shape == "polygon":
        given = annotation.segmentation
        polygons = given if isinstance(given[0], list) else [given]
        return [(float(x), float(y)) for polygon in polygons for x, y in zip(polygon[::2], polygon[1::2], strict=True)]
    return None


def _outer_box(segmentation: Any, points: Points | None) -> Box | None:
    if points:
        return geometry.points_box(points)
    return _mask_box(segmentation) if isinstance(segmentation, dict) else None


def _mask_box(mask: dict[str, Any]) -> Box:
    height, width = map(int, mask["size"])
    if height <= 0 or width <= 0:
        # The COCO library would divide by them.
        raise ValueError("a mask without pixels")
    if isinstance(mask["counts"], list):
        # COCO counts down the columns, CVAT along the rows.
        turned = geometry.mask_box(mask["counts"], 0, 0, height, width) or (0.0, 0.0, 0.0, 0.0)
        y_min, x_min, y_max, x_max = turned
        return x_min, y_min, x_max, y_max
    x, y, box_width, box_height = map(float, rle.toBbox(mask))
    return x, y, x + box_width, y + box_height
