"""Signs in JSON, YAML and tables of where an object is, of whatever tool."""

import re
from collections.abc import Collection, Iterator
from itertools import chain

from tasks.formats.image_names import ImageNames

# Keys under which tools put where an object is.
_PLACES = frozenset(
    {
        *(
            "bbox",
            "bboxes",
            "box",
            "boxes",
            "box2d",
            "bounding_box",
            "boundingbox",
            "bounding_boxes",
            "rectanglelabels",
        ),
        *("polygon", "polygons", "polygonlabels", "segmentation", "keypoints", "shape_attributes", "exterior"),
        *("xmin", "x_min", "topx", "bndbox", "rle", "cuboid", "shape_type"),
    }
)
_SIDES = (
    frozenset({"x", "y", "width", "height"}),
    frozenset({"left", "top", "width", "height"}),
    frozenset({"x1", "y1", "x2", "y2"}),
)
# Numbers about an image that are no place in it.
_OF_IMAGE = re.compile(
    r"(^|[_. ])(id|ids|size|bytes|time|timestamp|date|lat|latitude|lon|lng|longitude|alt|altitude|license|version|fps"
    r"|iso|exposure|focal|channels|depth|area|year|month|day|hour|frame|index|number|count|epoch|step)($|[_. ])"
    r"|(latitude|longitude)span"
)
_SIDE = re.compile(r"width|height|(^|[_. ])[wh]$")
_CORNER = re.compile(r"(^|[_. ])([xy]|[xy][_.]?c|c[_.]?[xy]|left|top)($|[_. ])|cent(er|re)")
_MOST_NUMBERS = 12  # of one object's place; settings have more
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)  # in digits: no nan, no inf
_NUMBERS_ALONE = re.compile(r"([a-z]+\s*)?[\[\](){}\s,;.+\-\de]+", re.IGNORECASE)
_TOKENS = re.compile(r"(<loc_?\d+>\s*){4}")  # of models that write boxes as text
_KEY = re.compile(r"([A-Za-z]\w*)[\"']?\s*:")


def has_places(content: object) -> bool:
    """Whether JSON tells somewhere where an object is, under a key that tools use for that."""
    return any(map(_has_place_key, _dicts(content)))


def could_be_labels(content: object, names: ImageNames, *, is_named_like_image: bool) -> bool:
    """Whether JSON is about an image that is there, and holds numbers that could be a place in it."""
    is_named, is_placed = is_named_like_image, False
    for one in _values(content):
        if isinstance(one, str):
            is_named = is_named or names.has(one)
            is_placed = is_placed or is_place_text(one)
        elif isinstance(one, list):
            is_placed = is_placed or _are_points(one)
        elif isinstance(one, dict):
            is_named = is_named or any(map(names.has, one))
            numeric = [str(key).lower() for key, value in one.items() if _is_number(value)]
            is_placed = is_placed or "bitmap" in one or (len(numeric) <= _MOST_NUMBERS and are_place_names(numeric))
        if is_named and is_placed:
            return True
    return False


def has_place_keys(text: str) -> bool:
    """Whether a text such as YAML, which may be cut short, has a key under which tools put where an object is."""
    return _are_place_keys({key.lower() for key in _KEY.findall(text)})


def is_place_text(text: str) -> bool:
    """Whether a text is four numbers or more, as lists, runs of masks and polygons are written, or tokens of places."""
    if _NUMBERS_ALONE.fullmatch(text):
        return len(text.replace(",", " ").split()) >= 4 and len(NUMBER.findall(text)) >= 4
    return _TOKENS.search(text) is not None


def are_place_names(names: Collection[str]) -> bool:
    """Whether numbers that are called so, in small letters, could be a place in an image."""
    sides = [name for name in names if _SIDE.search(name)]
    others = [name for name in names if not _SIDE.search(name) and not _OF_IMAGE.search(name)]
    if any(map(_CORNER.search, others)):
        return len(others) >= 2 and len(others) + len(sides) >= 4
    return len(others) >= 4


def _has_place_key(one: dict[str, object]) -> bool:
    if one.get("type") in ("Polygon", "MultiPolygon") and "coordinates" in one:  # of GeoJSON
        return True
    return _are_place_keys({str(key).lower() for key, value in one.items() if value not in (None, "", [])})


def _are_place_keys(keys: Collection[str]) -> bool:
    return not _PLACES.isdisjoint(keys) or any(sides <= set(keys) for sides in _SIDES)


def _dicts(content: object) -> Iterator[dict[str, object]]:
    return (one for one in _values(content) if isinstance(one, dict))


def _values(content: object) -> Iterator[object]:
    """All values, however deep; of rows of numbers only the rows."""
    left = [content]
    while left:
        one = left.pop()
        yield one
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list) and not (one and _is_number(one[0])):
            left += one


def _are_points(row: list[object]) -> bool:
    """Whether four numbers or more, or points, which are no marks of classes."""
    if row and all(isinstance(point, list) for point in row):
        row = list(chain.from_iterable(point for point in row if isinstance(point, list)))
    return len(row) >= 4 and all(map(_is_number, row)) and any(number not in (0, 1) for number in row)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
