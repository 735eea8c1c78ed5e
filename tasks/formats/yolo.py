"""YOLO label files, one text file per image with one object per line, in fractions of the image's size.

Detection is `class cx cy w h [track]`, segmentation and oriented boxes are `class x y x y x y ...`, pose is
`class cx cy w h x y [visibility] ...`. A score at the end, as trackers and predictors write it, is told from a track by
all rows of a file together.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tasks.formats import geometry
from tasks.formats.geometry import Box
from tasks.formats.labelled_image import NOT_NUMBERS, Details, LabelledImage, LabelledObject, Origin, Points, TextBox
from tasks.formats.text_files import read_text
from tasks.formats.yolo_entries import YoloEntry
from tasks.formats.yolo_layout import YoloLayout

NO_SUCH_CLASS = "class number without a name"
SCORE_AT_END = "one column too many, which looks like a prediction's score: these are no labels"
NOT_FRACTIONS = "coordinates are not fractions of the image"
LINE_UNKNOWN = "line is neither a box, a polygon nor a pose"
_NOWHERE: Box = (math.nan, math.nan, math.nan, math.nan)
# Augmented and rounded labels reach a little over the border; twice the image is no such slip.
_FURTHEST = 2.0


def yolo_to_labels(layout: YoloLayout, export: Origin, raw: Path) -> Iterator[LabelledImage]:
    """Read image by image, those without a label file too: they are negatives. raw: the ingest folder."""
    # Asked only where a file by itself does not tell.
    others_have_scores = cache(lambda: any(_has_scores(_rows(entry), layout) for entry in layout.entries))
    for entry in layout.entries:
        yield LabelledImage(
            name=entry.name,
            origin=export,
            width=None,
            height=None,
            subset=entry.subset,
            file=f"raw/{entry.image.relative_to(raw).as_posix()}" if entry.image else None,
            relative=True,
            objects=_objects(_rows(entry), layout, others_have_scores),
        )


@dataclass(frozen=True, slots=True)
class _Habits:
    """What all rows of a file together say of each."""

    has_scores: bool  # what more columns than a shape needs hold
    in_pixels: bool


def _rows(entry: YoloEntry) -> list[list[str]]:
    text = read_text(entry.label_file) if entry.label_file else ""
    return [line.split() for line in text.splitlines() if line.strip()]


def _objects(
    rows: list[list[str]], layout: YoloLayout, others_have_scores: Callable[[], bool]
) -> list[LabelledObject | TextBox]:
    longer = {row[-1] for row in rows if _is_longer(row, layout.numbers_per_point)}
    # A score of 1 looks like a track.
    has_scores = _has_scores(rows, layout) or (bool(longer) and longer <= {"0", "1"} and others_have_scores())
    habits = _Habits(has_scores, any(map(_is_in_pixels, rows)))
    return [_object(row, layout, habits) for row in rows]


def _has_scores(rows: list[list[str]], layout: YoloLayout) -> bool:
    return any(_is_longer(row, layout.numbers_per_point) and _is_score(row[-1]) for row in rows)


def _object(words: list[str], layout: YoloLayout, habits: _Habits) -> LabelledObject:
    shape, box, points, refused, track_id = "box", _NOWHERE, None, None, None
    label, each = f"class {words[0]}", layout.numbers_per_point
    if habits.has_scores and _is_longer(words, each):
        refused = SCORE_AT_END
    elif each is None and len(words) == 6 and words[5].isdecimal():
        *words, track_id = words
    if habits.in_pixels and (_is_in_pixels(words) or all(word.isdecimal() for word in words[1:5])):
        refused = NOT_FRACTIONS
    try:
        label = layout.labels[_class_number(words[0])]
        if refused is None:
            shape, box, points = _shape([float(word) for word in words[1:]], each)
    except KeyError:
        refused = NO_SUCH_CLASS
    except _LineUnknownError:
        refused = LINE_UNKNOWN
    except ValueError:
        refused = NOT_NUMBERS
    return LabelledObject(label, shape, *box, details=Details(track_id=track_id, points=points, refused=refused))


def _is_longer(words: list[str], numbers_per_point: int | None) -> bool:
    """Whether a row has one column more than a shape: a track or a score."""
    numbers = len(words) - 1
    if numbers_per_point is None:
        return numbers >= 5 and numbers % 2 == 1
    return numbers >= 5 and (numbers - 5) % numbers_per_point == 0


def _is_score(word: str) -> bool:
    # 0 and 1 may be tracks: whether they are, the other rows say.
    return not word.isdecimal() and 0 <= _number(word) <= 1


def _is_in_pixels(words: list[str]) -> bool:
    # What stands behind a box is a track, a score or the points of a pose, whose visibility is up to 2.
    return any(_FURTHEST < abs(_number(word)) < math.inf for word in words[1:5])


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


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
