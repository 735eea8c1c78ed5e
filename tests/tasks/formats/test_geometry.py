"""Tight boxes around shapes."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from tasks.formats.geometry import ellipse_box, mask_box, points_box, rotated_corners

pixels = st.floats(-5_000, 5_000)
lengths = st.floats(0.5, 4_000)
degrees = st.floats(-720, 720)


def to_runs(mask: NDArray[np.bool_]) -> list[int]:
    """Run lengths in row order, unset pixels first, as CVAT writes them."""
    runs = [(value, len(list(group))) for value, group in itertools.groupby(mask.ravel().tolist())]
    return [length for _, length in runs] if not runs[0][0] else [0, *(length for _, length in runs)]


def test_box_of_points_spans_all_of_them() -> None:
    assert points_box([(3, 9), (-1, 4), (2, 11)]) == (-1, 4, 3, 11)


@pytest.mark.parametrize(
    ("angle", "first_corner"),
    [(0, (0, 0)), (90, (30, -10)), (180, (40, 20)), (270, (10, 30)), (-90, (10, 30)), (360, (0, 0))],
)
def test_box_turns_clockwise_about_its_centre(angle: float, first_corner: tuple[float, float]) -> None:
    corners = rotated_corners((0, 0, 40, 20), angle)
    assert corners[0] == pytest.approx(first_corner, abs=1e-9)


def test_box_turned_by_45_degrees_is_as_wide_as_the_diagonal_of_its_sides() -> None:
    hull = points_box(rotated_corners((10, 10, 30, 30), 45))
    half = 20 / math.sqrt(2)
    assert hull == pytest.approx((20 - half, 20 - half, 20 + half, 20 + half))


@given(x=pixels, y=pixels, width=lengths, height=lengths, angle=degrees)
def test_hull_of_a_turned_box_has_its_centre_and_the_extents_of_its_sides(
    x: float, y: float, width: float, height: float, angle: float
) -> None:
    x_min, y_min, x_max, y_max = points_box(rotated_corners((x, y, x + width, y + height), angle))
    cosine, sine = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    assert (x_min + x_max) / 2 == pytest.approx(x + width / 2, abs=1e-6)
    assert (y_min + y_max) / 2 == pytest.approx(y + height / 2, abs=1e-6)
    assert x_max - x_min == pytest.approx(width * cosine + height * sine, abs=1e-6)
    assert y_max - y_min == pytest.approx(width * sine + height * cosine, abs=1e-6)


@given(x=pixels, y=pixels, rx=lengths, ry=lengths, angle=degrees)
def test_box_of_a_turned_ellipse_touches_its_curve_on_all_sides(
    x: float, y: float, rx: float, ry: float, angle: float
) -> None:
    turn, along = math.radians(angle), np.linspace(0, 2 * math.pi, 20_001)
    curve_x = x + rx * np.cos(along) * math.cos(turn) - ry * np.sin(along) * math.sin(turn)
    curve_y = y + rx * np.cos(along) * math.sin(turn) + ry * np.sin(along) * math.cos(turn)
    extents = (curve_x.min(), curve_y.min(), curve_x.max(), curve_y.max())
    assert ellipse_box((x, y), (rx, ry), angle) == pytest.approx(extents, abs=1e-3 + 1e-7 * (rx + ry))


@given(
    mask=hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    left=st.integers(0, 50),
    top=st.integers(0, 50),
)
def test_box_of_a_mask_is_that_of_its_set_pixels(mask: NDArray[np.bool_], left: int, top: int) -> None:
    height, width = mask.shape
    box = mask_box(to_runs(mask), left, top, width, height)
    rows, columns = np.nonzero(mask)
    if not rows.size:
        assert box is None
    else:
        assert box == (left + columns.min(), top + rows.min(), left + columns.max() + 1, top + rows.max() + 1)


@pytest.mark.parametrize("runs", [[5, 3], [5, 5], [12, -3], []], ids=["short", "long", "negative", "empty"])
def test_mask_that_does_not_fill_its_rectangle_is_refused(runs: list[int]) -> None:
    with pytest.raises(ValueError, match="fill"):
        mask_box(runs, 0, 0, 3, 3)
