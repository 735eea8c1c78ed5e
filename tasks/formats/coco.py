"""COCO 1.0 instances and keypoints, as CVAT and others write them.

The box is COCO's own `bbox`, which is the extent of the segmentation; without one it is taken from the segmentation.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pycocotools import mask as rle
from pydantic import BaseModel, Field, ValidationError

from tasks.contracts.errors import PipelineError, first_of
from tasks.formats import geometry
from tasks.formats.geometry import Box
from tasks.formats.labels import (
    MASK_MALFORMED,
    NO_PLACE,
    NOT_NUMBERS,
    Details,
    LabelledImage,
    LabelledObject,
    Origin,
    Points,
)

_PREFIXES = ("instances_", "person_keypoints_")
# Attributes of CVAT that have a column of their own.
_COLUMNS = frozenset({"occluded", "rotation", "track_id"})
_NOWHERE: Box = (math.nan, math.nan, math.nan, math.nan)


class CocoCategory(BaseModel):
    """A label."""

    id: int
    name: str


class CocoImage(BaseModel):
    """An image; sizes in pixels."""

    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


class CocoAnnotation(BaseModel):
    """An object. What may be malformed in a single one is looked at when it is converted."""

    image_id: int | str
    category_id: int | None = None
    bbox: Any = None  # x, y, width, height
    segmentation: Any = None  # polygons, or a mask as run lengths
    keypoints: Any = None  # x, y, visibility, ...
    iscrowd: int = 0
    attributes: dict[str, Any] = Field(default_factory=dict)


class CocoFile(BaseModel):
    """The parts of a file that matter here."""

    categories: list[CocoCategory]
    images: list[CocoImage]
    annotations: list[CocoAnnotation]


def read_coco(path: Path) -> CocoFile:
    """Read a file. Raises PipelineError naming all that is missing or of the wrong kind."""
    try:
        return CocoFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise PipelineError(
            "not a sound COCO file", f"{path}:\n{first_of(faults)}\n", "Export the labels again"
        ) from error


def coco_to_labels(path: Path, export: Origin) -> Iterator[LabelledImage]:
    """Read a file image by image, in its order. The subset is what follows `instances_` in its name."""
    content = read_coco(path)
    names = {category.id: category.name for category in content.categories}
    annotations: dict[int | str, list[CocoAnnotation]] = defaultdict(list)
    for annotation in content.annotations:
        annotations[annotation.image_id].append(annotation)
    strays = annotations.keys() - {image.id for image in content.images}
    if strays:
        raise PipelineError(
            "annotations of images that the file does not list",
            f"{path}: image ids {', '.join(map(str, sorted(strays, key=str)[:20]))}, {len(strays):,} in all",
            "Export the labels again",
        )
    subset = coco_subset(path)
    for image in content.images:
        yield LabelledImage(
            name=image.file_name,
            origin=export,
            width=image.width or None,
            height=image.height or None,
            subset=subset,
            objects=[
                _object(annotation, names.get(annotation.category_id or 0, ""))
                for annotation in annotations.pop(image.id, ())
            ],
        )


def coco_subset(path: Path) -> str | None:
    """The subset that a file's name tells."""
    return next((path.stem.removeprefix(prefix) for prefix in _PREFIXES if path.stem.startswith(prefix)), None)


def _object(annotation: CocoAnnotation, label: str) -> LabelledObject:
    attributes = annotation.attributes
    shape, points, refused, rotation, box = _shape_name(annotation), None, None, 0.0, _NOWHERE
    try:
        rotation = float(attributes.get("rotation") or 0)
        points = _points(annotation, shape)
        box = _box(annotation, points)
    except _NowhereError:
        shape, refused = "tag", NO_PLACE
    except (KeyError, TypeError, ValueError):
        refused = MASK_MALFORMED if shape == "mask" else NOT_NUMBERS
    if shape == "box" and rotation:
        # CVAT writes the box as it was before it was turned.
        shape, points = "rotated_box", geometry.rotated_corners(box, rotation)
        box = geometry.points_box(points)
    kept = {name: value for name, value in attributes.items() if name not in _COLUMNS}
    if annotation.iscrowd:
        kept["iscrowd"] = annotation.iscrowd
    track_id = attributes.get("track_id")
    return LabelledObject(
        label,
        shape,
        *box,
        occluded=bool(attributes.get("occluded")),
        details=Details(
            rotation=rotation if math.isfinite(rotation) else 0.0,
            track_id=None if track_id is None else str(track_id),
            attributes=kept,
            points=points,
            refused=refused,
        ),
    )


class _NowhereError(Exception):
    """Nothing says where the object is."""


def _shape_name(annotation: CocoAnnotation) -> str:
    if annotation.keypoints:
        return "skeleton"
    if isinstance(annotation.segmentation, dict):
        return "mask"
    return "polygon" if annotation.segmentation else "box"


def _points(annotation: CocoAnnotation, shape: str) -> Points | None:
    if shape == "skeleton":
        numbers = [float(number) for number in annotation.keypoints]
        return [(x, y) for x, y, seen in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True) if seen]
    if shape == "polygon":
        return [
            (float(x), float(y))
            for polygon in annotation.segmentation
            for x, y in zip(polygon[::2], polygon[1::2], strict=True)
        ]
    return None


def _box(annotation: CocoAnnotation, points: Points | None) -> Box:
    if annotation.bbox:
        x, y, width, height = map(float, annotation.bbox)
        return x, y, x + width, y + height
    if isinstance(annotation.segmentation, dict):
        x, y, width, height = map(float, rle.toBbox(_packed(annotation.segmentation)))
        return x, y, x + width, y + height
    if points:
        return geometry.points_box(points)
    raise _NowhereError


def _packed(mask: dict[str, Any]) -> dict[str, Any]:
    # Run lengths come as a list, or as text that the COCO library packs them into.
    if isinstance(mask["counts"], list):
        packed: dict[str, Any] = rle.frPyObjects(mask, *mask["size"])
        return packed
    return mask
