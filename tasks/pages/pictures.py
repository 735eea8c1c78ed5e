"""Photographs inside the page: a part of an image as inline WebP, with boxes over it that stay sharp at any size."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tasks.contracts.images import Image

Window = tuple[int, int, int, int]  # x_min, y_min, x_max, y_max in pixels of the image
_WEBP_METHOD = "image/webp"


@dataclass(frozen=True)
class Mark:
    """A box to draw: pixels of the image, the CSS class of its line, and the words beside it."""

    box_xyxy: tuple[float, float, float, float]
    style: str
    text: str = ""


@dataclass(frozen=True)
class Shown:
    """A mark in the picture's own pixels."""

    x: float
    y: float
    width: float
    height: float
    style: str
    text: str
    text_x: float
    text_y: float
    anchor: str  # start, or end where the text would leave the picture


@dataclass(frozen=True)
class Picture:
    """What the template needs to show it."""

    source: str  # data URI
    width: int
    height: int
    marks: list[Shown]
    cropped: bool  # shows a part of the image only
    font_size: float


def picture(image: Image, marks: Sequence[Mark], window: Window, longest: int, quality: int) -> Picture:
    """Cut out `window`, shrink it to at most `longest` pixels a side and place the marks that reach into it."""
    x_min, y_min, x_max, y_max = window
    cut = image[y_min:y_max, x_min:x_max]
    scale = min(1.0, longest / max(cut.shape[:2]))
    width, height = max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale))
    small = cut if scale == 1 else cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA)
    font_size = max(width, height) / 32
    inside = [mark for mark in marks if _touches(mark, window)]
    return Picture(
        source=_data_uri(small, quality),
        width=width,
        height=height,
        marks=[_shown(mark, window, scale, (width, height), font_size) for mark in inside],
        cropped=(x_max - x_min, y_max - y_min) != (image.shape[1], image.shape[0]),
        font_size=round(font_size, 1),
    )


def window_around(marks: Sequence[Mark], image: Image, longest: int) -> Window:
    """The whole image if it is shown at half its size or more; else the part that holds the marks, with room around.

    A part is at least `longest` pixels a side, so that its pixels are not blown up.
    """
    height, width = image.shape[:2]
    if max(width, height) <= 2 * longest or not marks:
        return 0, 0, width, height
    corners = np.array([mark.box_xyxy for mark in marks])
    x = _stretched(corners[:, 0].min(), corners[:, 2].max(), longest, width)
    y = _stretched(corners[:, 1].min(), corners[:, 3].max(), longest, height)
    return x[0], y[0], x[1], y[1]


def _stretched(low: float, high: float, least: int, limit: int) -> tuple[int, int]:
    length = min(limit, max(least, round((high - low) * 1.3)))
    start = min(max(0, round((low + high - length) / 2)), limit - length)
    return start, start + length


def _touches(mark: Mark, window: Window) -> bool:
    x_min, y_min, x_max, y_max = mark.box_xyxy
    return x_min < window[2] and x_max > window[0] and y_min < window[3] and y_max > window[1]


def _shown(mark: Mark, window: Window, scale: float, size_wh: tuple[int, int], font_size: float) -> Shown:
    corners = (np.array(mark.box_xyxy) - np.array([window[0], window[1]] * 2)) * scale
    x_min, x_max = np.clip(corners[[0, 2]], 1, size_wh[0] - 1)
    y_min, y_max = np.clip(corners[[1, 3]], 1, size_wh[1] - 1)
    # Words of labels stand above their box and words of predictions below, for the two often cover each other.
    fits_above, fits_below = y_min > 1.3 * font_size, y_max + 1.3 * font_size < size_wh[1]
    above = fits_above and (mark.style.startswith("truth") or not fits_below)
    # A bold character is at most about 0.65 of the font's size wide.
    leaves = x_min + 0.65 * font_size * len(mark.text) > size_wh[0]
    return Shown(
        x=round(float(x_min), 1),
        y=round(float(y_min), 1),
        width=round(float(x_max - x_min), 1),
        height=round(float(y_max - y_min), 1),
        style=mark.style,
        text=mark.text,
        text_x=round(float(x_max if leaves else x_min), 1),
        text_y=round(float(y_min - 0.35 * font_size if above else min(y_max + font_size, size_wh[1] - 2)), 1),
        anchor="end" if leaves else "start",
    )


def _data_uri(image: Image, quality: int) -> str:
    encoded, buffer = cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, quality])
    assert encoded, "OpenCV writes WebP"
    return f"data:image/webp;base64,{base64.b64encode(buffer.tobytes()).decode('ascii')}"
