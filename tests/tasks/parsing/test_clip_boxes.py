"""Boxes at and over the border of their image."""

import numpy as np
import pytest

from tasks.formats.labelled_image import INVERTED, NO_AREA, NOT_NUMBERS, OUTSIDE_IMAGE
from tasks.parsing.clip_boxes import clip_boxes

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("box", "size", "clipped", "is_over", "reason"),
    [
        ((1, 2, 3, 4), (10, 8), (1, 2, 3, 4), False, None),
        ((0, 0, 10, 8), (10, 8), (0, 0, 10, 8), False, None),
        ((-1, 2, 13, 9), (10, 8), (0, 2, 10, 8), True, None),
        ((0, 0, 10.01, 8), (10, 8), (0, 0, 10, 8), False, None),
        ((-50, 2, 500, 9), (INF, INF), (0, 2, 500, 9), True, None),
        ((12, 2, 15, 4), (10, 8), None, True, OUTSIDE_IMAGE),
        ((10, 2, 15, 4), (10, 8), None, True, OUTSIDE_IMAGE),
        ((3, 2, 3, 4), (10, 8), None, False, NO_AREA),
        ((13, 2, 13, 4), (10, 8), None, True, NO_AREA),
        ((5, 2, 3, 4), (10, 8), None, False, INVERTED),
        ((3, 4, 5, 2), (10, 8), None, False, INVERTED),
        ((NAN, 4, 5, 2), (10, 8), None, False, NOT_NUMBERS),
        ((1, 2, INF, 4), (10, 8), None, False, NOT_NUMBERS),
    ],
    ids=[
        "inside", "all of it", "over two sides", "rounding", "size unknown", "outside", "touching from outside", "flat",
        "flat and outside", "mirrored", "upside down", "nan", "infinite",
    ],
)  # fmt: skip
def test_box_is_clipped_or_refused(
    box: tuple[float, ...],
    size: tuple[float, float],
    clipped: tuple[float, ...] | None,
    is_over: bool,
    reason: str | None,
) -> None:
    boxes, over, reasons = clip_boxes(np.array([box]), np.array([size]))
    assert (reasons.get(0), bool(over[0])) == (reason, is_over)
    if clipped is not None:
        assert tuple(boxes[0]) == clipped
