"""Signs in JSON, YAML and tables of where an object is, of whatever tool."""

import random
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice

from tasks.parsing.image_names import ImageNames

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
_OF_ONE_NUMBER = frozenset({"xmin", "x_min", "topx"})
_SIDES = (
    frozenset({"x", "y", "width", "height"}),
    frozenset({"x", "y", "w", "h"}),
    frozenset({"left", "top", "width", "height"}),
    frozenset({"x1", "y1", "x2", "y2"}),
)
# Numbers about an image that are no place in it.
_OF_IMAGE = re.compile(
    r"(^|[_. ])(id|ids|size|bytes|time|timestamp|date|lat|latitude|lon|lng|longitude|alt|altitude|license|version|fps"
    r"|iso|exposure|focal|channels|depth|area|year|month|day|hour|frame|index|number|count|epoch|step)($|[_. ])"
    r"|(latitude|longitude)span"
)
# Columns and keys of where a camera was, how it was set, and of the weather; said of no place in an image.
_ELSEWHERE = re.compile(
    r"(^|[_. ])(temperature|temp|humidity|pressure|precipitation|wind|cloud|clouds|visibility|speed|heading|altitude"
    r"|brightness|contrast|sharpness|entropy|blur|saturation|mean|std|aperture|shutter|gain|accuracy|age)($|[_. ])"
    r"|^(f_?number|exposure_?(time|bias)?|focal_?length|shutter_?speed|white_?balance|[xy]_?resolution"
    r"|bits_?per_?sample|gps\w*|megapixels)$"
)
_TURNS = (frozenset({"qw", "qx", "qy", "qz"}), frozenset({"roll", "pitch", "yaw"}))
_POSE = re.compile(r"q[wxyz]|[tpv]?_?[xyz]|roll|pitch|yaw")
_FOCAL = (frozenset({"fx", "fy"}), frozenset({"fl_x", "fl_y"}))
_INTRINSICS = re.compile(r"f_?l?_?[xy]|c[xy]|k\d|p[12]|skew")
_SIDE = re.compile(r"width|height|(^|[_. ])[wh]$")
_EXTENT = re.compile(_SIDE.pattern + r"|length|(^|[_. ])(l|d[xyz]|size)($|[_. ])")  # of a box in space
_CORNER = re.compile(r"(^|[_. ])([xy]|[xy][_.]?c|c[_.]?[xy]|left|top)($|[_. ])|cent(er|re)")
_POINTS = (frozenset({"x", "y"}), frozenset({"cx", "cy"}), frozenset({"center_x", "center_y"}))
_OF_POINT = re.compile(r"label|class(_?(name|id))?|categor(y|ies)(_?(name|id))?|r|radius")
_MOST_NUMBERS = 12  # of one object's place; settings have more
_MOST_VALUES = 20_000  # of each depth of a JSON that are looked at for places
_MOST_TEXTS = 1_000_000  # that are looked at for names of images, where there are places
_LARGE = 100_000  # characters of JSON, below which fewer than `_MOST_VALUES` stand side by side
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)  # in digits: no nan, no inf
_NUMBERS_ALONE = re.compile(r"([a-z]++\s*+)?+[\[\](){}\s,;.+\-\de]++", re.IGNORECASE)
_TOKENS = re.compile(r"(<loc_?\d+>\s*){4}")  # of models that write boxes as text
_PLACE_MEMBER = re.compile(rf'"(?:{"|".join(sorted(_PLACES))})"\s*:(?!\s*(?:null|""|\[\s*\]))')  # not empty
_KEY = re.compile(r"([A-Za-z]\w*)[\"']?\s*:")


def has_places(content: object) -> bool:
    """Whether JSON tells somewhere where an object is, under a key that tools use for that.

    Of large contents a sample is looked at; `has_place_members` is for the others.
    """
    return any(isinstance(one, dict) and _has_place_key(one) for one in _values(content))


def has_place_members(text: str) -> bool:
    """The same of the whole text of a JSON, at a fraction of the time that it takes to read it."""
    return len(text) >= _LARGE and _PLACE_MEMBER.search(text.lower()) is not None


def could_be_labels(content: object, names: ImageNames, *, is_named_like_image: bool) -> bool:
    """Whether JSON is about an image that is there, and holds numbers that could be a place in it.

    Places are alike in all objects of a file, so a sample tells of them; the images that are there may be few of many.
    """
    if not any(map(_could_be_place, _values(content))):
        return False
    return is_named_like_image or any(map(names.has, islice(_texts(content), _MOST_TEXTS)))


def _could_be_place(value: object) -> bool:
    if isinstance(value, str):
        return is_place_text(value)
    if isinstance(value, list):
        return _are_points(value) or _is_row(value) or _are_corners(value)
    if not isinstance(value, dict):
        return False
    keys = [str(key).lower() for key in value]
    numeric = [
        key for key, number in zip(keys, value.values(), strict=True) if _is_number(number) or _is_digits(number)
    ]
    if "bitmap" in value or is_labelled_point(numeric, keys):
        return True
    return len(numeric) <= _MOST_NUMBERS and are_place_names(numeric)


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
    others = [name for name in _without_camera(names) if not _SIDE.search(name) and not _OF_IMAGE.search(name)]
    if any(map(_CORNER.search, others)):
        return len(others) >= 2 and len(others) + len(sides) >= 4
    return len(others) >= 4


def is_labelled_point(numeric: Collection[str], names: Collection[str]) -> bool:
    """Whether numbers are the two of a point, beside what it is, or those of a circle. names: all, in small letters."""
    is_point = any(point <= set(numeric) for point in _POINTS)
    return is_point and any(map(_OF_POINT.fullmatch, names))


def _without_camera(names: Collection[str]) -> list[str]:
    """Names without those of a camera's pose, lens and weather. A pose with sides may be a box in space."""
    left = [name for name in names if not _ELSEWHERE.search(name)]
    if any(turn <= set(left) for turn in _TURNS) and not any(map(_EXTENT.search, left)):
        left = [name for name in left if not _POSE.fullmatch(name)]
    if any(focal <= set(left) for focal in _FOCAL):
        left = [name for name in left if not _INTRINSICS.fullmatch(name)]
    return left


def _has_place_key(one: dict[str, object]) -> bool:
    if one.get("type") in ("Polygon", "MultiPolygon") and "coordinates" in one:  # of GeoJSON
        return True
    keys = {str(key).lower(): value for key, value in one.items() if value not in (None, "", [])}
    # The weight of a loss is called box, too.
    settings = {key for key, value in keys.items() if _is_number(value) and key in _PLACES - _OF_ONE_NUMBER}
    return _are_place_keys(keys.keys() - settings)


def _are_place_keys(keys: Collection[str]) -> bool:
    return not _PLACES.isdisjoint(keys) or any(sides <= set(keys) for sides in _SIDES)


def _values(content: object) -> Iterator[object]:
    """At most 20,000 values of each depth, however deep; of rows of numbers only the rows."""
    level: Sequence[object] = [content]
    while level:
        yield from level
        level = _fair_sample([inner for one in level if (inner := _inner(one))])


def _inner(value: object) -> Sequence[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) and value and not _is_number(value[0]) else ()


def _fair_sample(groups: Sequence[Sequence[object]]) -> Sequence[object]:
    """Of each group as much as of any other, so that few values beside many are not missed; the same each time."""
    if sum(map(len, groups)) > _MOST_VALUES:
        share = max(1, _MOST_VALUES // len(groups))
        draw = random.Random(0)  # noqa: S311
        groups = [group if len(group) <= share else draw.sample(group, share) for group in groups]
    return list(chain.from_iterable(groups))


def _texts(content: object) -> Iterator[str]:
    """All texts and keys; what comes last in the file comes first."""
    left = [content]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            yield from one
            left += one.values()
        else:
            left += _inner(one)


def _are_points(row: list[object]) -> bool:
    """Whether four numbers or more, or points, which are no marks of classes."""
    if row and all(isinstance(point, list) for point in row):
        row = list(chain.from_iterable(point for point in row if isinstance(point, list)))
    return len(row) >= 4 and all(map(_is_number, row)) and any(number not in (0, 1) for number in row)


def _are_corners(row: list[object]) -> bool:
    """Whether several points, each of which names its coordinates."""
    return len(row) >= 2 and all(isinstance(one, dict) and {"x", "y"} <= one.keys() for one in row)


def _is_row(row: list[object]) -> bool:
    """Whether four numbers or more beside what it is, such as ["crack", 1, 2, 30, 40]."""
    numbers = [value for value in row if _is_number(value) or _is_digits(value)]
    texts = [value for value in row if isinstance(value, str) and not _is_digits(value)]
    is_mixed = len(numbers) + len(texts) == len(row) and 0 < len(texts) <= len(numbers)
    return is_mixed and len(numbers) >= 4 and any(value not in (0, 1) for value in numbers)


def _is_digits(value: object) -> bool:
    return isinstance(value, str) and NUMBER.fullmatch(value) is not None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
