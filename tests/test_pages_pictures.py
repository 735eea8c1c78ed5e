"""Photographs with boxes over them."""

import base64

import cv2
import numpy as np
import pytest

from tasks.pages.pictures import Mark, picture, window_around

IMAGE = np.zeros((600, 800, 3), dtype=np.uint8)
IMAGE[:, :, 0] = 200  # red


def mark(x_min: float, y_min: float, x_max: float, y_max: float, text: str = "") -> Mark:
    return Mark((x_min, y_min, x_max, y_max), "truth wrong", text)


def test_picture_is_shrunk_webp_in_the_image_s_colours() -> None:
    drawn = picture(IMAGE, [], (0, 0, 800, 600), longest=200, quality=80)
    kind, _, code = drawn.source.partition(",")
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(code), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert kind == "data:image/webp;base64"
    assert (drawn.width, drawn.height) == (200, 150)
    assert decoded is not None
    assert decoded.shape == (150, 200, 3)
    assert np.abs(decoded.astype(int).mean((0, 1)) - [200, 0, 0]).max() < 8


def test_small_image_is_not_blown_up() -> None:
    assert picture(IMAGE[:30, :40], [], (0, 0, 40, 30), longest=200, quality=80).width == 40


def test_marks_are_placed_in_the_part_that_is_shown() -> None:
    drawn = picture(IMAGE, [mark(500, 300, 600, 400), mark(0, 0, 10, 10)], (400, 200, 800, 600), 200, 80)
    (shown,) = drawn.marks
    assert (shown.x, shown.y, shown.width, shown.height) == (50, 50, 50, 50)
    assert drawn.cropped


@pytest.mark.parametrize(
    ("box", "anchor", "above"),
    [
        pytest.param((100, 100, 200, 200), "start", True, id="room above"),
        pytest.param((100, 0, 200, 200), "start", False, id="at the upper border"),
        pytest.param((700, 100, 790, 200), "end", True, id="at the right border"),
    ],
)
def test_words_of_a_label_stay_inside_the_picture(
    box: tuple[float, float, float, float], anchor: str, *, above: bool
) -> None:
    (shown,) = picture(IMAGE, [mark(*box, text="missed crack")], (0, 0, 800, 600), 800, 80).marks
    assert shown.anchor == anchor
    assert (shown.text_y < shown.y) == above


@pytest.mark.parametrize(
    ("box", "above"),
    [
        pytest.param((100, 100, 200, 200), False, id="room below"),
        pytest.param((100, 500, 200, 600), True, id="at the lower border"),
    ],
)
def test_words_of_a_prediction_stand_below_where_there_is_room(
    box: tuple[float, float, float, float], *, above: bool
) -> None:
    (shown,) = picture(IMAGE, [Mark(box, "prediction wrong", "wrong crack")], (0, 0, 800, 600), 800, 80).marks
    assert (shown.text_y < shown.y) == above
    assert shown.text_y < 600


@pytest.mark.parametrize(
    ("marks", "longest", "window"),
    [
        pytest.param([mark(10, 10, 20, 20)], 400, (0, 0, 800, 600), id="image shown at half its size is shown whole"),
        pytest.param([], 100, (0, 0, 800, 600), id="nothing to look at"),
        pytest.param([mark(400, 300, 420, 320)], 100, (360, 260, 460, 360), id="part around a small box"),
        pytest.param([mark(0, 0, 20, 20)], 100, (0, 0, 100, 100), id="part in the corner"),
        pytest.param([mark(0, 0, 20, 20), mark(780, 580, 800, 600)], 100, (0, 0, 800, 600), id="boxes far apart"),
    ],
)
def test_window(marks: list[Mark], longest: int, window: tuple[int, int, int, int]) -> None:
    assert window_around(marks, IMAGE, longest) == window
