"""A CVAT shape element, as in XML, to an object with its tight box."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.formats import geometry
from tasks.formats.geometry import Box
from tasks.formats.labelled_image import (
    INVERTED,
    MASK_MALFORMED,
    NO_AREA,
    NO_PLACE,
    NOT_NUMBERS,
    NOTHING_VISIBLE,
    PLAIN,
    POINTS_ALONE,
    Details,
    LabelledObject,
    Points,
    PointShapes,
)

Attributes = Mapping[str, str]
_NOWHERE: Box = (math.nan, math.nan, math.nan, math.nan)
_CUBOID = [(f"x{corner}", f"y{corner}") for corner in ("tl1", "bl1", "tr1", "br1", "tl2", "bl2", "tr2", "br2")]


class UnboxableError(Exception):
    """This shape has no box; the message is the reason."""


def shape_to_object(
    tag: str,
    given: Attributes,
    attributes: dict[str, object] | None,
    elements: Sequence[Attributes] | None,
    *,
    label: str | None = None,
    track_id: str | None = None,
    points: PointShapes = "ledger",
) -> LabelledObject:
    """Read one shape.

    tag: name of the XML element. given: its XML attributes. attributes: what the labeller filled in. elements: XML
    attributes of a skeleton's points. label: of its track, where the element itself names none.
    """
    get = given.get
    name = get("label", "") if label is None else label
    details = PLAIN if attributes is None and track_id is None else Details(0.0, False, track_id, attributes)
    shape, box = tag, _NOWHERE
    try:
        if tag == "box" and not float(get("rotation") or 0):
            box = (float(given["xtl"]), float(given["ytl"]), float(given["xbr"]), float(given["ybr"]))
        else:
            shape = "rotated_box" if tag == "box" else tag
            box, details = _boxed(shape, given, elements or (), points, details)
    except UnboxableError as reason:
        details = details._replace(refused=str(reason))
    except (KeyError, ValueError):
        details = details._replace(refused=NOT_NUMBERS)
    x_min, y_min, x_max, y_max = box
    fields = (
        name,
        shape,
        x_min,
        y_min,
        x_max,
        y_max,
        get("occluded") == "1",
        _whole(get("z_order", "0")),
        get("source", "manual"),
        details,
    )
    # Half the time of calling the class, and this runs for every object.
    return tuple.__new__(LabelledObject, fields)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0


def _boxed(
    shape: str, given: Attributes, elements: Sequence[Attributes], points: PointShapes, details: Details
) -> tuple[Box, Details]:
    if shape == "tag":
        raise UnboxableError(NO_PLACE)
    if shape == "points" and points == "ledger":
        raise UnboxableError(POINTS_ALONE)
    if shape == "skeleton":
        box, kept = _skeleton(given, elements)
        return box, details._replace(points=kept)
    if shape not in _SHAPES:
        raise UnboxableError(f"shape {shape} is not known")
    rotation = float(given.get("rotation") or 0)
    box, kept_points = _SHAPES[shape](given, rotation)
    return box, details._replace(rotation=rotation, points=kept_points)


def _rotated_box(given: Attributes, rotation: float) -> tuple[Box, Points]:
    box = (float(given["xtl"]), float(given["ytl"]), float(given["xbr"]), float(given["ybr"]))
    # Judged before it is turned: the hull of an inverted box would look sound.
    if box[2] < box[0] or box[3] < box[1]:
        raise UnboxableError(INVERTED)
    if box[2] == box[0] or box[3] == box[1]:
        raise UnboxableError(NO_AREA)
    corners = geometry.rotated_corners(box, rotation)
    return geometry.points_box(corners), corners


def _ellipse(given: Attributes, rotation: float) -> tuple[Box, Points]:
    centre, radii = (float(given["cx"]), float(given["cy"])), (float(given["rx"]), float(given["ry"]))
    if radii[0] < 0 or radii[1] < 0:
        raise UnboxableError(INVERTED)
    if radii[0] == 0 or radii[1] == 0:
        raise UnboxableError(NO_AREA)
    # CVAT's own two points of an ellipse: centre, and right and top extents before it is turned.
    return geometry.ellipse_box(centre, radii, rotation), [centre, (centre[0] + radii[0], centre[1] - radii[1])]


def _polygon(given: Attributes, _rotation: float) -> tuple[Box, Points]:
    points = read_points(given["points"])
    return geometry.points_box(points), points


def _cuboid(given: Attributes, _rotation: float) -> tuple[Box, Points]:
    points = [(float(given[x]), float(given[y])) for x, y in _CUBOID]
    return geometry.points_box(points), points


def _mask(given: Attributes, _rotation: float) -> tuple[Box, None]:
    left, top, width, height = (int(float(given[name])) for name in ("left", "top", "width", "height"))
    try:
        box = geometry.mask_box(_runs(given["rle"], width * height), left, top, width, height)
    except ValueError as error:
        raise UnboxableError(MASK_MALFORMED) from error
    if box is None:
        raise UnboxableError(NO_AREA)
    return box, None


def _runs(text: str, pixels: int) -> NDArray[np.int64]:
    # As lists they would take thirty times the room of their text, which may be tens of megabytes.
    count = text.count(",") + 1
    if count > max(2, pixels + 1):
        raise UnboxableError(MASK_MALFORMED)
    runs = np.fromstring(text, dtype=np.int64, sep=",")
    if len(runs) != count:
        raise ValueError("runs are not numbers")
    return runs


def _skeleton(given: Attributes, elements: Sequence[Attributes]) -> tuple[Box, Points]:
    # Elements tell which points are visible; the flat list of older video exports does not.
    visible = [element["points"] for element in elements if element.get("outside") != "1"]
    points = [point for text in visible for point in read_points(text)]
    if not elements and given.get("points"):
        points = read_points(given["points"])
    if not points:
        raise UnboxableError(NOTHING_VISIBLE)
    return geometry.points_box(points), points


def read_points(text: str) -> Points:
    """Read `x,y;x,y;...`. Raises ValueError if that is not what it is."""
    points = []
    for pair in text.split(";"):
        x, y = map(float, pair.split(","))
        # Not left to later checks: min and max pass over NaN.
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError(pair)
        points.append((x, y))
    return points


_SHAPES: dict[str, Callable[[Attributes, float], tuple[Box, Points | None]]] = {
    "rotated_box": _rotated_box,
    "ellipse": _ellipse,
    "polygon": _polygon,
    "polyline": _polygon,
    "points": _polygon,
    "cuboid": _cuboid,
    "mask": _mask,
}
