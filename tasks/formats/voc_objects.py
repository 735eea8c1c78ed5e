"""The objects of a Pascal VOC file, and where each is, in the several ways that tools and people write it.

Capitals, namespaces and wrappers such as `objects` are passed over.

`bndbox` is the challenge's own. `robndbox` is roLabelImg's: `cx cy w h angle`, the angle in radians and clockwise, or
the corners. `polygon` is LabelMe's (`pt` with `x` and `y`) or Roboflow's (`x1 y1 x2 y2 ...`), `segm` holds the box of a
LabelMe mask.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lxml import etree

from tasks.contracts.errors import PipelineError
from tasks.formats import geometry, xml_stream
from tasks.formats.geometry import Box
from tasks.formats.labelled_image import NOT_NUMBERS, Points

OBJECT = "object"
GEOMETRIES = ("bndbox", "robndbox", "polygon", "segm")
# Read in any case. Whatever else an object has is an attribute of somebody's own, and keeps its name.
_KNOWN = frozenset(
    {
        *("annotation", "filename", "size", "width", "height", "imagesize", "nrows", "ncols", OBJECT, *GEOMETRIES),
        *("name", "xmin", "ymin", "xmax", "ymax", "cx", "cy", "w", "h", "angle", "type", "pt", "x", "y", "box"),
        *("truncated", "occluded", "difficult", "deleted", "attributes", "attribute", "value", "part", "parts"),
    }
)
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_CENTRED = ("cx", "cy", "w", "h")
_SINGLE = ("name", *(f"bndbox/{side}" for side in _SIDES), *(f"robndbox/{part}" for part in _CENTRED))
_NOWHERE: Box = (math.nan, math.nan, math.nan, math.nan)


def read_annotation(path: Path) -> etree._Element:
    """Read a file. Raises PipelineError naming it if it is no Pascal VOC, or tells of several images."""
    root = xml_stream.read_tree(path)
    if root.tag != "annotation":
        raise PipelineError(f"<{root.tag}> is not Pascal VOC", str(path), "Put other files into an export of their own")
    for element in root.iter():
        name = str(element.tag).rpartition("}")[2].lower()
        if name in _KNOWN:
            element.tag = name
    names = {text for one in root.iterfind("filename") if (text := (one.text or "").strip())}
    # Within `source` the challenge writes who annotated.
    if len(names) > 1 or any(map(len, root.iterfind(".//annotation"))):
        told = f": {', '.join(sorted(names))}" if len(names) > 1 else ""
        raise PipelineError(
            f"Pascal VOC of several images in one file{told}", str(path), "Divide it into one file per image"
        )
    return root


def object_elements(root: etree._Element) -> Iterator[etree._Element]:
    """Every `object` at any depth, and every other element that has a box of its own and is no part of an object."""
    for element in root.iter():
        is_placed = any(element.find(name) is not None for name in GEOMETRIES)
        if element.tag == OBJECT:
            # Around others it is a wrapper.
            if is_placed or element.find(f".//{OBJECT}") is None:
                yield element
        elif is_placed and next(element.iterancestors(OBJECT), None) is None:
            yield element


class Extent(NamedTuple):
    """The tight box of an object, or why there is none."""

    shape: str
    box: Box
    points: Points | None = None
    rotation: float = 0.0  # degrees, clockwise
    refused: str | None = None  # the reason why there is no box


def object_extent(element: etree._Element, rotation: float) -> Extent:
    """The tight box of an `object`. rotation: degrees by which its `bndbox` is turned, as CVAT writes it."""
    if element.tag != OBJECT:
        return Extent("box", _NOWHERE, refused=f"it stands in <{element.tag}>, not in <{OBJECT}>")
    several = _several(element)
    if several:
        return Extent("box", _NOWHERE, refused=f"several {several} in one {OBJECT}")
    # The first one that is sound counts.
    places = [child for name in GEOMETRIES if (child := element.find(name)) is not None]
    if not places:
        others = [str(one.tag) for one in element if len(one) and one.tag not in ("part", "parts", "attributes")]
        also = f", only {', '.join(others)}" if others else ""
        return Extent("box", _NOWHERE, refused=f"no bndbox, robndbox or polygon{also}")
    for place in places:
        try:
            found = _EXTENTS[str(place.tag)](place, rotation)
        except ValueError:
            continue
        is_rectangle = place.tag == "polygon" and element.findtext("type") == "bounding_box"
        return found._replace(shape="box", points=None) if is_rectangle else found
    return Extent("box", _NOWHERE, refused=NOT_NUMBERS)


def _several(element: etree._Element) -> str | None:
    """What stands there more than once, and differs: it cannot be told which one is meant."""
    for path in _SINGLE:
        if len({text for one in element.iterfind(path) if (text := (one.text or "").strip())}) > 1:
            return path.partition("/")[0]
    # Several polygons may be parts of one object, whose box says how far they go.
    is_polygon_alone = element.find("bndbox") is None and element.find("robndbox") is None
    return "polygon" if is_polygon_alone and len(element.findall("polygon")) > 1 else None


def _bounded(place: etree._Element, rotation: float) -> Extent:
    x_min, y_min, x_max, y_max = (float(place.findtext(side) or "") for side in _SIDES)
    box = (x_min, y_min, x_max, y_max)
    if not math.isfinite(rotation):
        raise ValueError("rotation")
    # CVAT writes the box as it was before it was turned.
    return _turned(box, rotation) if rotation else Extent("box", box)


def _turned(box: Box, rotation: float) -> Extent:
    corners = geometry.rotated_corners(box, rotation)
    return Extent("rotated_box", geometry.points_box(corners), corners, rotation)


def _rotated(place: etree._Element, _rotation: float) -> Extent:
    if place.find("cx") is None:
        corners = _pairs(place)
        return Extent("rotated_box", geometry.points_box(corners), corners)
    x, y, width, height = (_finite(place.findtext(name)) for name in _CENTRED)
    angle = _finite(place.findtext("angle") or "0")
    # No angle of a box in radians is more than a whole turn.
    degrees = math.degrees(angle) if abs(angle) <= 2 * math.pi else angle
    return _turned((x - width / 2, y - height / 2, x + width / 2, y + height / 2), degrees)


def _polygon(place: etree._Element, _rotation: float) -> Extent:
    points = _pairs(place)
    return Extent("polygon", geometry.points_box(points), points)


def _mask(place: etree._Element, _rotation: float) -> Extent:
    box = place.find("box")
    return Extent("mask", geometry.points_box(_pairs(place if box is None else box)))


def _pairs(place: etree._Element) -> Points:
    """All x below with the y beside each: `x` and `y`, `x1` and `y1`, `x_left_top` and `y_left_top`, ..."""
    leaves = [(str(leaf.tag).lower(), _finite(leaf.text)) for leaf in place.iter() if _is_coordinate(leaf)]
    pairs = list(
        zip(
            [number for tag, number in leaves if tag[0] == "x"],
            [number for tag, number in leaves if tag[0] == "y"],
            strict=True,
        )
    )
    if len(pairs) < 2:
        raise ValueError("fewer than two points")
    return pairs


def _is_coordinate(leaf: etree._Element) -> bool:
    return not len(leaf) and str(leaf.tag).lower().startswith(("x", "y"))


def _finite(text: str | None) -> float:
    number = float(text or "")
    if not math.isfinite(number):
        raise ValueError(text)
    return number


_EXTENTS = {"bndbox": _bounded, "robndbox": _rotated, "polygon": _polygon, "segm": _mask}
