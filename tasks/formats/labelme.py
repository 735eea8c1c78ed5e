"""LabelMe: one JSON per image, which may hold the picture itself.

A rectangle is two corners, a circle its centre and a point on it, a mask the corners of its first and last pixel.
"""

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from tasks.contracts.errors import PipelineError
from tasks.formats import geometry
from tasks.formats.geometry import Box
from tasks.formats.image_paths import is_image, near, path_parts, without_ending
from tasks.formats.labelled_image import (
    NOT_NUMBERS,
    POINTS_ALONE,
    Details,
    LabelledImage,
    LabelledObject,
    Origin,
    Points,
)
from tasks.formats.text_files import read_text

LINE_ALONE = "a line has no extent across"
_NOWHERE: Box = (math.nan, math.nan, math.nan, math.nan)
_MOST_PIXELS = 2**31  # of a side
_SHAPES = {"rectangle": "box", "rotation": "rotated_box", "circle": "ellipse"}  # others are called as in CVAT


class _Shape(BaseModel):
    label: str
    points: Any = None
    shape_type: str | None = "polygon"  # of files from before there were others
    group_id: Any = None
    flags: dict[str, Any] | None = None
    description: str | None = None


class _File(BaseModel):
    shapes: list[_Shape]
    path: str | None = Field(None, alias="imagePath")
    data: str | None = Field(None, alias="imageData")
    width: int | None = Field(None, alias="imageWidth", le=_MOST_PIXELS)
    height: int | None = Field(None, alias="imageHeight", le=_MOST_PIXELS)


def is_labelme(content: object) -> bool:
    """Whether a JSON's content is LabelMe's."""
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        return False
    return not {"imagePath", "imageData"}.isdisjoint(content)


def labelme_files(folder: Path) -> list[Path]:
    """The files of LabelMe directly in a folder, told without reading them as JSON."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".json" and path.is_file())
    return [path for path in paths if _has_keys(path)]


def _has_keys(path: Path) -> bool:
    content = path.read_bytes().replace(b"\0", b"")  # of UTF-16
    return b'"shapes"' in content and (b'"imagePath"' in content or b'"imageData"' in content)


def labelme_to_labels(paths: Sequence[Path], export: Origin, annotations: Path) -> Iterator[LabelledImage]:
    """Read image by image, sorted by path. Pictures that are only in the JSON are written below `annotations`.

    Raises PipelineError for a file that is not sound.
    """
    for path in paths:
        file = _read(path)
        written = (path_parts(file.path or "") or [""])[-1]
        # A file that was copied or renamed beside its image may still have the other one's name within.
        name = path.stem + (PurePosixPath(written).suffix if is_image(written) else "")
        if near(without_ending(written)) == near(path.stem):
            name = written
        yield LabelledImage(
            name=name,
            origin=export,
            width=file.width or None,
            height=file.height or None,
            file=_embedded(file, path, name, annotations),
            objects=[_object(shape) for shape in file.shapes],
        )


def _read(path: Path) -> _File:
    try:
        return _File.model_validate(json.loads(read_text(path)))
    except (ValidationError, ValueError, RecursionError) as error:
        fault = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(map(str, fault["loc"]))
        raise PipelineError("not a sound LabelMe file", f"{path}: {where} {fault['msg']}", "Save it again") from error


def _embedded(file: _File, path: Path, name: str, annotations: Path) -> str | None:
    """The picture within the JSON as a file, where none lies beside it or where its path leads."""
    beside = [path.with_name(name), path.parent / (file.path or "").replace("\\", "/")]
    if not file.data or any(map(_is_file, beside)):
        return None
    try:
        picture = base64.b64decode(file.data, validate=True)
    except (binascii.Error, ValueError):
        return None
    digest = hashlib.sha256(picture).hexdigest()[:16]
    place = Path("frames") / "labelme" / f"{digest}{PurePosixPath(name).suffix or '.png'}"
    (annotations / place).parent.mkdir(parents=True, exist_ok=True)
    (annotations / place).write_bytes(picture)
    return place.as_posix()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # text that is no path
        return False


def _object(shape: _Shape) -> LabelledObject:
    kind = shape.shape_type or "polygon"
    box, points, refused = _NOWHERE, None, None
    try:
        points = [(float(x), float(y)) for x, y in shape.points]
        box, refused = _extent(kind, points)
    except (TypeError, ValueError):
        points, refused = None, NOT_NUMBERS
    attributes: dict[str, object] = {name: value for name, value in (shape.flags or {}).items() if value}
    if shape.group_id is not None:
        attributes["group_id"] = shape.group_id
    if shape.description:
        attributes["description"] = shape.description
    kept = points if kind in ("polygon", "rotation", "circle") else None
    return LabelledObject(
        shape.label,
        _SHAPES.get(kind, kind),
        *box,
        details=Details(attributes=attributes or None, points=kept, refused=refused),
    )


def _extent(kind: str, points: Points) -> tuple[Box, str | None]:
    """The tight box, or the reason why there is none. Raises ValueError for points that are none."""
    if not points or not all(map(math.isfinite, (number for point in points for number in point))):
        raise ValueError("no points")
    if kind == "circle":
        (x, y), on_it = points
        radius = math.dist((x, y), on_it)
        return (x - radius, y - radius, x + radius, y + radius), None
    if kind == "mask":
        x_min, y_min, x_max, y_max = geometry.points_box(points)
        return (x_min, y_min, x_max + 1, y_max + 1), None
    if kind in ("line", "linestrip"):
        return _NOWHERE, LINE_ALONE
    if kind in ("point", "points"):
        return _NOWHERE, POINTS_ALONE
    if kind not in ("rectangle", "polygon", "rotation"):
        return _NOWHERE, f"shape {kind} is not known"
    if len(points) < (2 if kind == "rectangle" else 3):
        raise ValueError("too few points")
    return geometry.points_box(points), None
