"""YOLO label files, one text file per image with one object per line, in fractions of the image's size.

Detection is `class cx cy w h [track]`, segmentation and oriented boxes are `class x y x y x y ...`, pose is
`class cx cy w h x y [visibility] ...`.
"""

import math
from collections.abc import Iterator
from pathlib import Path

from tasks.formats import geometry
from tasks.formats.geometry import Box
from tasks.formats.labels import NOT_NUMBERS, Details, LabelledImage, LabelledObject, Origin, Points
from tasks.formats.text_files import read_text
from tasks.formats.yolo_layout import YoloLayout

NO_SUCH_CLASS = "class number without a name"
LINE_UNKNOWN = "line is neither a box, a polygon nor a pose"
_NOWHERE: Box = (math.nan, math.nan, math.nan, math.nan)


def yolo_to_labels(layout: YoloLayout, export: Origin, raw: Path) -> Iterator[LabelledImage]:
    """Read image by image, those without a label file too: they are negatives. raw: the ingest folder."""
    for entry in layout.entries:
        text = read_text(entry.label_file) if entry.label_file else ""
        yield LabelledImage(
            name=entry.name,
            origin=export,
            width=None,
            height=None,
            subset=entry.subset,
            file=f"raw/{entry.image.relative_to(raw).as_posix()}" if entry.image else None,
            relative=True,
            objects=[_object(line.split(), layout) for line in text.splitlines() if line.strip()],
        )


def _object(words: list[str], layout: YoloLayout) -> LabelledObject:
    shape, box, points, refused, track_id = "box", _NOWHERE, None, None, None
    label = f"class {words[0]}"
    # A fraction there is the score of a prediction.
    if layout.numbers_per_point is None and len(words) == 6 and words[5].isdecimal():
        *words, track_id = words
    try:
        label = layout.labels[_class_number(words[0])]
        shape, box, points = _shape([float(word) for word in words[1:]], layout.numbers_per_point)
    except KeyError:
        refused = NO_SUCH_CLASS
    except _LineUnknownError:
        refused = LINE_UNKNOWN
    except ValueError:
        refused = NOT_NUMBERS
    return LabelledObject(label, shape, *box, details=Details(track_id=track_id, points=points, refused=refused))


def _class_number(word: str) -> int:
    # Tools that write whole tables of floats write 0.0.
    number = float(word)
    if not number.is_integer():
        raise ValueError("not a whole number")
    return int(number)


class _LineUnknownError(Exception):
    """As many numbers as no kind of line has."""


def _shape(numbers: list[float], numbers_per_point: int | None) -> tuple[str, Box, Points | None]:
    if not all(map(math.isfinite, numbers)):
        raise ValueError("not finite")
    if numbers_per_point is not None and len(numbers) > 4:
        return "skeleton", _centred(numbers), _pose(numbers[4:], numbers_per_point)
    if len(numbers) == 4:
        return "box", _centred(numbers), None
    # Six numbers are a triangle, fewer are nothing.
    if len(numbers) < 6 or len(numbers) % 2:
        raise _LineUnknownError
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    return "polygon", geometry.points_box(points), points


def _centred(numbers: list[float]) -> Box:
    x, y, width, height = numbers[:4]
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _pose(numbers: list[float], each: int) -> Points:
    if len(numbers) % each:
        raise _LineUnknownError
    points = [numbers[start : start + each] for start in range(0, len(numbers), each)]
    return [(x, y) for x, y, *seen in points if not seen or seen[0]]
