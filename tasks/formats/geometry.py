"""Tight boxes around shapes. Coordinates are pixels, y points down, so positive angles turn clockwise as CVAT's do.

A box is `(x_min, y_min, x_max, y_max)`.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
Point = tuple[float, float]


def points_box(points: Sequence[Point]) -> Box:
    """The tight box of a polygon, polyline, cuboid, skeleton or set of points; `points` is not empty."""
    xs = [x for x, _ in points]
    ys = [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def rotated_corners(box: Box, degrees: float) -> list[Point]:
    """The corners of a box turned about its centre, from the one that was top left, clockwise."""
    x_min, y_min, x_max, y_max = box
    centre_x, centre_y = (x_min + x_max) / 2, (y_min + y_max) / 2
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        (centre_x + dx * cosine - dy * sine, centre_y + dx * sine + dy * cosine)
        for dx, dy in (
            (x_min - centre_x, y_min - centre_y),
            (x_max - centre_x, y_min - centre_y),
            (x_max - centre_x, y_max - centre_y),
            (x_min - centre_x, y_max - centre_y),
        )
    ]


def ellipse_box(centre: Point, radii: Point, degrees: float) -> Box:
    """The exact extents of an ellipse turned about its centre: sqrt((rx cos)^2 + (ry sin)^2), and likewise for y."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    half_width = math.hypot(radii[0] * cosine, radii[1] * sine)
    half_height = math.hypot(radii[0] * sine, radii[1] * cosine)
    return centre[0] - half_width, centre[1] - half_height, centre[0] + half_width, centre[1] + half_height


def mask_box(runs: Sequence[int] | NDArray[np.int64], left: int, top: int, width: int, height: int) -> Box | None:
    """The tight box of the set pixels of a CVAT mask; None if no pixel is set.

    `runs` are lengths in row order over the `width` x `height` rectangle at (left, top), unset pixels first. A pixel
    covers [x, x + 1), so the box ends one after the last set pixel. Raises ValueError if the runs do not fill it.
    """
    lengths = np.asarray(runs, dtype=np.int64)
    # Each by itself too: the sum of huge ones would run over.
    if width <= 0 or height <= 0 or not 0 <= lengths.min(initial=0) <= lengths.max(initial=0) <= width * height:
        raise ValueError("runs do not fill the rectangle")
    if int(lengths.sum()) != width * height:
        raise ValueError("runs do not fill the rectangle")
    ends = np.cumsum(lengths)
    is_set = (np.arange(len(lengths)) % 2 == 1) & (lengths > 0)
    if not is_set.any():
        return None
    first, last = ends[is_set] - lengths[is_set], ends[is_set] - 1
    # A run over more than one row touches the right edge in its first row and the left edge in its last.
    wraps = first // width != last // width
    x_min = int(np.where(wraps, 0, first % width).min())
    x_max = int(np.where(wraps, width - 1, last % width).max())
    y_min, y_max = int(first.min()) // width, int(last.max()) // width
    return float(left + x_min), float(top + y_min), float(left + x_max + 1), float(top + y_max + 1)
