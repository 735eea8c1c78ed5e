"""Where captions of boxes stand on a picture, so that no two overlap."""

import warnings
from collections.abc import Sequence
from functools import cache
from unicodedata import east_asian_width

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LINE = 1.2  # height of a caption in sizes of its font
BASELINE = 0.93  # of a caption below its upper border
OUTLINE = 0.24  # what the dark outline of its letters adds to its width
_ROOM_INSIDE = 2.0  # a box that is so many times as wide and high may hold its caption
_GAP = 2.0  # between a box and its caption


def text_width(text: str) -> float:
    """Width of a caption in sizes of its font, measured on a bold font that is wider than most readers' own."""
    return sum(map(_advance, text)) + OUTLINE


@cache
def _advance(character: str) -> float:
    if east_asian_width(character) in "WF":
        return 1.05  # as wide as it is high, and not in matplotlib's font
    font = FontProperties(family="DejaVu Sans", weight="bold", size=100)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        width, _, _ = text_to_path.get_text_width_height_descent(character, font, ismath=False)
    return float(width) / 100


def place_captions(
    sizes_wh: Sequence[tuple[float, float]],
    boxes_xyxy: Sequence[tuple[float, float, float, float]],
    below: Sequence[bool],
    picture_wh: tuple[int, int],
    *,
    inside: bool = False,
) -> list[tuple[float, float] | None]:
    """The upper left corner of each caption, the first ones first; None for one that finds no room.

    Around its box a caption takes the place where it covers least of other boxes; `below` says which side it tries
    first. With `inside`, a box that is large enough holds its caption.
    """
    taken = np.zeros((0, 4))
    boxes = np.array(boxes_xyxy, dtype=float).reshape(-1, 4)
    corners: list[tuple[float, float] | None] = []
    for number, size_wh in enumerate(sizes_wh):
        box, others = boxes[number], np.delete(boxes, number, axis=0)
        near = _near(box, size_wh, below=below[number], inside=inside)
        chosen = _free(near, taken, others, picture_wh)
        if chosen is None:
            chosen = _free(_farther(box, size_wh), taken, others, picture_wh)
        corners.append(None if chosen is None else (float(chosen[0]), float(chosen[1])))
        taken = taken if chosen is None else np.vstack([taken, chosen])
    return corners


def _free(candidates: Floats, taken: Floats, others: Floats, picture_wh: tuple[int, int]) -> Floats | None:
    """The candidate that covers least of the other boxes, of those that lie in the picture and on no other caption."""
    within = (candidates[:, :2] >= 0).all(axis=1) & (candidates[:, 2:] <= picture_wh).all(axis=1)
    free = candidates[within & (_covered(candidates, taken) == 0)]
    if not len(free):
        return None
    chosen: Floats = free[int(np.argmin(_covered(free, others).round(1)))]
    return chosen


def _near(box: Floats, size_wh: tuple[float, float], *, below: bool, inside: bool) -> Floats:
    """Rectangles that touch the box or lie in it, the best first; (c, 4)."""
    (x_min, y_min, x_max, y_max), (width, height) = box, size_wh
    rows = [y_min - height, y_max + _GAP]
    corners = [(x, y) for y in (rows[::-1] if below else rows) for x in _aligned(x_min, x_max, width)]
    corners += [(x, y) for y in _aligned(y_min, y_max, height) for x in (x_max + _GAP, x_min - width - _GAP)]
    corners += [(x, y) for x in (x_min + _GAP, x_max - width - _GAP) for y in (y_min + _GAP, y_max - height - _GAP)]
    if inside and x_max - x_min >= _ROOM_INSIDE * width and y_max - y_min >= _ROOM_INSIDE * height:
        corners.insert(0, (x_min + _GAP, y_min + _GAP))
    return _rectangles(corners, size_wh)


def _farther(box: Floats, size_wh: tuple[float, float]) -> Floats:
    """Rectangles a line above or below those that touch the box, and beside it at the height of those; (c, 4)."""
    (x_min, y_min, x_max, y_max), (width, height) = box, size_wh
    rows = [y_min - 2 * height, y_max + _GAP + height]
    corners = [(x, y) for y in rows for x in _aligned(x_min, x_max, width)]
    beside = (x_max + _GAP, x_min - width - _GAP)
    corners += [(x, y) for y in (y_min - height, y_max + _GAP, *rows) for x in beside]
    return _rectangles(corners, size_wh)


def _aligned(low: float, high: float, length: float) -> tuple[float, float, float]:
    """Where something of this length begins, to start with a box, to end with it, and in its middle."""
    return low, high - length, (low + high - length) / 2


def _rectangles(corners: list[tuple[float, float]], size_wh: tuple[float, float]) -> Floats:
    return np.array([(x, y, x + size_wh[0], y + size_wh[1]) for x, y in corners])


def _covered(rectangles: Floats, others: Floats) -> Floats:
    """What area of `others` each rectangle covers."""
    low = np.maximum(rectangles[:, None, :2], others[None, :, :2])
    high = np.minimum(rectangles[:, None, 2:], others[None, :, 2:])
    area: Floats = np.prod(np.clip(high - low, 0, None), axis=2).sum(axis=1)
    return area
