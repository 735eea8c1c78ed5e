"""Photographs inside the page: a part of an image as inline WebP, with boxes over it that stay sharp at any size."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import cv2
import numpy as np

from tasks.dataset.decoding import Image
from tasks.report_page.captions import BASELINE, LINE, OUTLINE, place_captions, text_width
from tasks.report_page.charts import shortened

Window = tuple[int, int, int, int]  # x_min, y_min, x_max, y_max in pixels of the image
_NARROWEST, _WIDEST = 0.6, 2.6  # width over height of a frame
_LONGEST = 26  # letters of a caption
_MOST_COVERED = 0.12  # of the picture by words: beyond it numbers, so that there is a picture left


@dataclass(frozen=True)
class Mark:
    """A box to draw: pixels of the image, the CSS class of its line, and the words beside it."""

    box_xyxy: tuple[float, float, float, float]
    style: str
    text: str = ""
    score: float | None = None

    @property
    def words(self) -> str:
        """The text with the score, short enough to stand beside a box."""
        short = shortened(self.text, _LONGEST)
        return short if self.score is None else f"{short} {_score(self.score)}"


@dataclass(frozen=True)
class Shown:
    """A mark in the picture's own pixels."""

    x: float
    y: float
    width: float
    height: float
    style: str


@dataclass(frozen=True)
class Caption:
    """Words or a number beside a mark; x and y are where its first letter stands on the line."""

    x: float
    y: float
    text: str
    style: str


@dataclass(frozen=True)
class Entry:
    """What the numbers on a picture mean: those that mean the same together."""

    numbers: str  # 4, or 5 to 9 with a dash
    text: str
    scores: str  # 0.87, or the first and the last with a dash; empty where there are none


@dataclass(frozen=True)
class Picture:
    """What the template needs to show it."""

    source: str  # data URI
    width: int
    height: int
    marks: list[Shown]
    captions: list[Caption]
    legend: list[Entry]  # of a crowded picture, on which numbers stand in place of words
    without_caption: int  # marks that there was no room for a caption of
    cropped: bool  # shows a part of the image only
    font_size: float

    @property
    def aspect(self) -> float:
        """Width over height of its frame: a strip gets one with room around it, that its words stay legible."""
        return round(min(max(self.width / self.height, _NARROWEST), _WIDEST), 3)


def picture(image: Image, marks: Sequence[Mark], window: Window, longest: int, quality: int) -> Picture:
    """Cut out `window`, shrink it to at most `longest` pixels a side and place the marks that reach into it.

    Captions are placed in the order of the marks; on a crowded picture neighbours of the same text share a legend.
    """
    x_min, y_min, x_max, y_max = window
    cut = image[y_min:y_max, x_min:x_max]
    scale = min(1.0, longest / max(cut.shape[:2]))
    width, height = max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale))
    small = cut if scale == 1 else cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA)
    # Legible where the page shows it smallest: as wide as a phone, or as high as a row (--row in page.css).
    font_size = max(width / 32, height / 24)
    inside = [mark for mark in marks if _touches(mark, window)]
    shown = [_shown(mark, window, scale, (width, height)) for mark in inside]
    captions, legend, without_caption = _captions(inside, shown, (width, height), font_size)
    return Picture(
        source=_data_uri(small, quality),
        width=width,
        height=height,
        marks=shown,
        captions=captions,
        legend=legend,
        without_caption=without_caption,
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


def _shown(mark: Mark, window: Window, scale: float, size_wh: tuple[int, int]) -> Shown:
    corners = (np.array(mark.box_xyxy) - np.array([window[0], window[1]] * 2)) * scale
    x_min, x_max = np.clip(corners[[0, 2]], 1, size_wh[0] - 1)
    y_min, y_max = np.clip(corners[[1, 3]], 1, size_wh[1] - 1)
    return Shown(
        x=round(float(x_min), 1),
        y=round(float(y_min), 1),
        width=round(float(x_max - x_min), 1),
        height=round(float(y_max - y_min), 1),
        style=mark.style,
    )


def _captions(
    marks: Sequence[Mark], shown: Sequence[Shown], size_wh: tuple[int, int], font_size: float
) -> tuple[list[Caption], list[Entry], int]:
    """Words beside the boxes where there is room for all, else numbers with a legend; and how many found none."""
    spoken = [(mark, place) for mark, place in zip(marks, shown, strict=True) if mark.text]
    words = [mark.words for mark, _ in spoken]
    crowded = sum(map(text_width, words)) * LINE * font_size**2 > _MOST_COVERED * size_wh[0] * size_wh[1]
    if not crowded:
        placed = _placed(words, spoken, size_wh, font_size)
        if len(placed) == len(words):
            return placed, [], 0
    placed = _placed([str(number) for number in range(1, len(words) + 1)], spoken, size_wh, font_size, inside=True)
    return placed, _legend([mark for mark, _ in spoken]), len(words) - len(placed)


def _placed(
    texts: Sequence[str],
    spoken: Sequence[tuple[Mark, Shown]],
    size_wh: tuple[int, int],
    font_size: float,
    *,
    inside: bool = False,
) -> list[Caption]:
    corners = place_captions(
        [(text_width(text) * font_size, LINE * font_size) for text in texts],
        [(at.x, at.y, at.x + at.width, at.y + at.height) for _, at in spoken],
        # Words of labels stand above their box and words of predictions below, for the two often cover each other.
        [mark.style.startswith("prediction") for mark, _ in spoken],
        size_wh,
        inside=inside,
    )
    return [
        Caption(
            x=round(corner[0] + OUTLINE / 2 * font_size, 1),
            y=round(corner[1] + BASELINE * font_size, 1),
            text=text,
            style=mark.style,
        )
        for text, corner, (mark, _) in zip(texts, corners, spoken, strict=True)
        if corner is not None
    ]


def _legend(marks: Sequence[Mark]) -> list[Entry]:
    entries, number = [], 1
    for text, group in groupby(marks, key=lambda mark: mark.text):
        scores = [mark.score for mark in group]
        last = number + len(scores) - 1
        known = [_score(score) for score in scores if score is not None]
        entries.append(Entry(_ends([str(number), str(last)]), text, _ends(known)))
        number = last + 1
    return entries


def _score(score: float) -> str:
    return f"{score:.2f}" if score >= 0.005 else "< 0.01"


def _ends(values: Sequence[str]) -> str:
    return "\N{EN DASH}".join(dict.fromkeys([*values[:1], *values[-1:]]))


def _data_uri(image: Image, quality: int) -> str:
    encoded, buffer = cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, quality])
    assert encoded, "OpenCV writes WebP"
    return f"data:image/webp;base64,{base64.b64encode(buffer.tobytes()).decode('ascii')}"
