"""Photographs with boxes over them."""

import base64
import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tasks.report_page.captions import BASELINE, LINE, OUTLINE, text_width
from tasks.report_page.pictures import Entry, Mark, picture, window_around

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
    ("box", "style", "above"),
    [
        pytest.param((100, 100, 200, 200), "truth wrong", True, id="label, room above"),
        pytest.param((100, 0, 200, 200), "truth wrong", False, id="label at the upper border"),
        pytest.param((700, 100, 790, 200), "truth wrong", True, id="label at the right border"),
        pytest.param((100, 100, 200, 200), "prediction wrong", False, id="prediction, room below"),
        pytest.param((100, 500, 200, 600), "prediction wrong", True, id="prediction at the lower border"),
    ],
)
def test_words_of_a_label_stand_above_it_and_of_a_prediction_below_where_there_is_room(
    box: tuple[float, float, float, float], style: str, *, above: bool
) -> None:
    drawn = picture(IMAGE, [Mark(box, style, "missed crack")], (0, 0, 800, 600), 800, 80)
    (caption,) = drawn.captions
    assert caption.text == "missed crack"
    assert (caption.y < box[1]) == above
    assert (caption.y > box[3]) == (not above)


@pytest.mark.parametrize(("score", "read"), [(0.874, "0.87"), (0.005, "0.01"), (0.0012, "< 0.01")])
def test_score_that_is_not_nothing_is_not_shown_as_zero(score: float, read: str) -> None:
    assert Mark((0, 0, 1, 1), "prediction", "false RBC", score).words == f"false RBC {read}"


def test_long_label_is_shortened_beside_its_box() -> None:
    (caption,) = picture(IMAGE, [mark(100, 100, 200, 200, f"missed {'x' * 90}")], (0, 0, 800, 600), 800, 80).captions
    assert caption.text == f"missed {'x' * 5}…{'x' * 11}"


def crowd(number: int, size_wh: tuple[int, int], side: float) -> list[Mark]:
    """Marks of every kind all over a picture, many of them on one another."""
    rng = np.random.default_rng(5)
    corners = rng.uniform(0, np.array(size_wh) - side, (number, 2))
    return [
        Mark((x, y, x + side, y + side), ("truth wrong", "prediction wrong")[place % 2], text, score)
        for place, (x, y) in enumerate(corners.tolist())
        for text, score in [(("missed platelet", None), ("false red blood cell", 0.5))[place % 2]]
    ]


@pytest.mark.parametrize("size_wh", [(800, 600), (600, 800), (1600, 400)], ids=["landscape", "portrait", "panorama"])
@pytest.mark.parametrize(("number", "side"), [(4, 40), (12, 60), (60, 30), (60, 200), (400, 20)])
def test_captions_overlap_neither_each_other_nor_the_border(number: int, side: float, size_wh: tuple[int, int]) -> None:
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    drawn = picture(image, crowd(number, size_wh, side), (0, 0, *size_wh), 560, 80)
    places = [
        (x, y, x + text_width(caption.text) * drawn.font_size, y + LINE * drawn.font_size)
        for caption in drawn.captions
        for x, y in [(caption.x - OUTLINE / 2 * drawn.font_size, caption.y - BASELINE * drawn.font_size)]
    ]
    rounding = 0.3
    for x_min, y_min, x_max, y_max in places:
        assert x_min >= -rounding and y_min >= -rounding  # noqa: PT018
        assert x_max <= drawn.width + rounding and y_max <= drawn.height + rounding  # noqa: PT018
    for one, other in itertools.combinations(places, 2):
        across = min(one[2], other[2]) - max(one[0], other[0])
        down = min(one[3], other[3]) - max(one[1], other[1])
        assert min(across, down) <= rounding
    assert len(drawn.captions) + drawn.without_caption == number


def test_sixty_errors_on_a_picture_are_all_numbered_with_a_legend() -> None:
    drawn = picture(IMAGE, sorted(crowd(60, (800, 600), 40), key=lambda mark: mark.text), (0, 0, 800, 600), 560, 80)
    assert drawn.without_caption == 0
    assert sorted(int(caption.text) for caption in drawn.captions) == list(range(1, 61))
    assert drawn.legend == [
        Entry("1\N{EN DASH}30", "false red blood cell", "0.50"),
        Entry("31\N{EN DASH}60", "missed platelet", ""),
    ]


@pytest.mark.parametrize(("number", "numbered"), [(3, False), (12, True)])
def test_words_that_would_cover_much_of_the_picture_give_way_to_numbers(number: int, *, numbered: bool) -> None:
    apart = [
        mark(20 + 200 * (n % 4), 60 + 180 * (n // 4), 40 + 200 * (n % 4), 90 + 180 * (n // 4)) for n in range(number)
    ]
    drawn = picture(IMAGE, [replace(each, text="missed bolt") for each in apart], (0, 0, 800, 600), 560, 80)
    assert len(drawn.captions) == number
    assert [caption.text.isdigit() for caption in drawn.captions] == [numbered] * number
    assert bool(drawn.legend) == numbered


def test_marks_without_room_for_a_number_are_counted() -> None:
    drawn = picture(IMAGE, [mark(300, 200, 310, 210, "missed bolt")] * 40, (0, 0, 800, 600), 560, 80)
    assert 0 < drawn.without_caption < 40
    assert len(drawn.captions) == 40 - drawn.without_caption


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
