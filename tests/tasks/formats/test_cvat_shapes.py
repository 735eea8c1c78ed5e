"""CVAT shape elements to objects."""

import math

import pytest

from tasks.formats import labelled_image
from tasks.formats.cvat_shapes import shape_to_object

CUBOID = {
    "xtl1": "10", "ytl1": "10", "xbl1": "10", "ybl1": "40", "xtr1": "30", "ytr1": "12", "xbr1": "30", "ybr1": "38",
    "xtl2": "50", "ytl2": "5", "xbl2": "50", "ybl2": "35", "xtr2": "20", "ytr2": "8", "xbr2": "20", "ybr2": "44",
}  # fmt: skip


@pytest.mark.parametrize(
    ("tag", "given", "shape", "box"),
    [
        ("box", {"xtl": "1.5", "ytl": "2", "xbr": "3", "ybr": "4"}, "box", (1.5, 2, 3, 4)),
        ("box", {"xtl": "1", "ytl": "2", "xbr": "3", "ybr": "4", "rotation": "0.00"}, "box", (1, 2, 3, 4)),
        ("box", {"xtl": "0", "ytl": "0", "xbr": "40", "ybr": "20", "rotation": "90"}, "rotated_box", (10, -10, 30, 30)),
        ("ellipse", {"cx": "50", "cy": "40", "rx": "20", "ry": "10"}, "ellipse", (30, 30, 70, 50)),
        ("ellipse", {"cx": "50", "cy": "40", "rx": "20", "ry": "10", "rotation": "90"}, "ellipse", (40, 20, 60, 60)),
        ("polygon", {"points": "1,2;5,1;4,9"}, "polygon", (1, 1, 5, 9)),
        ("polyline", {"points": "1,2;5.25,1"}, "polyline", (1, 1, 5.25, 2)),
        ("cuboid", CUBOID, "cuboid", (10, 5, 50, 44)),
        (
            # CVAT's own width is inclusive: columns 7 and 8, rows 3 to 5.
            "mask",
            {"rle": "0, 6", "left": "7", "top": "3", "width": "2", "height": "3"},
            "mask",
            (7, 3, 9, 6),
        ),
        ("mask", {"rle": "4, 1, 4", "left": "7", "top": "3", "width": "3", "height": "3"}, "mask", (8, 4, 9, 5)),
    ],
    ids=[
        "box", "box rotated by nothing", "rotated box", "ellipse", "rotated ellipse", "polygon", "polyline", "cuboid",
        "full mask", "one pixel of a mask",
    ],
)  # fmt: skip
def test_shape_becomes_its_tight_box(
    tag: str, given: dict[str, str], shape: str, box: tuple[float, float, float, float]
) -> None:
    found = shape_to_object(tag, {"label": "x"} | given, None, None)
    assert (found.label, found.shape, found.details.refused) == ("x", shape, None)
    assert found[2:6] == pytest.approx(box)


@pytest.mark.parametrize(
    ("tag", "given", "reason"),
    [
        ("tag", {}, labelled_image.NO_PLACE),
        ("points", {"points": "1,2;5,9"}, labelled_image.POINTS_ALONE),
        ("box", {"xtl": "a", "ytl": "2", "xbr": "3", "ybr": "4"}, labelled_image.NOT_NUMBERS),
        ("box", {"xtl": "1"}, labelled_image.NOT_NUMBERS),
        ("box", {"xtl": "1", "ytl": "2", "xbr": "3", "ybr": "4", "rotation": "x"}, labelled_image.NOT_NUMBERS),
        ("box", {"xtl": "9", "ytl": "2", "xbr": "3", "ybr": "4", "rotation": "30"}, labelled_image.INVERTED),
        ("box", {"xtl": "3", "ytl": "2", "xbr": "3", "ybr": "4", "rotation": "30"}, labelled_image.NO_AREA),
        ("ellipse", {"cx": "5", "cy": "4", "rx": "-2", "ry": "1"}, labelled_image.INVERTED),
        ("ellipse", {"cx": "5", "cy": "4", "rx": "0", "ry": "1"}, labelled_image.NO_AREA),
        ("polygon", {"points": "1,2;nan,4;5,5"}, labelled_image.NOT_NUMBERS),
        ("polygon", {"points": "1,2;3"}, labelled_image.NOT_NUMBERS),
        ("polygon", {"points": ""}, labelled_image.NOT_NUMBERS),
        ("mask", {"rle": "3, 2", "left": "0", "top": "0", "width": "2", "height": "2"}, labelled_image.MASK_MALFORMED),
        ("mask", {"rle": "4", "left": "0", "top": "0", "width": "2", "height": "2"}, labelled_image.NO_AREA),
        ("skeleton", {"points": ""}, labelled_image.NOTHING_VISIBLE),
        ("hexagon", {"points": "1,2;3,4"}, "shape hexagon is not known"),
    ],
)
def test_shape_without_a_box_says_why(tag: str, given: dict[str, str], reason: str) -> None:
    assert shape_to_object(tag, {"label": "x"} | given, None, None).details.refused == reason


def test_box_with_nan_is_left_to_the_check_of_all_boxes() -> None:
    found = shape_to_object("box", {"xtl": "nan", "ytl": "2", "xbr": "3", "ybr": "4"}, None, None)
    assert math.isnan(found.x_min)


def test_set_of_points_is_boxed_when_params_say_so() -> None:
    found = shape_to_object("points", {"points": "1,2;5,9"}, None, None, points="hull")
    assert (found.details.refused, found[2:6]) == (None, (1, 2, 5, 9))


def test_skeleton_is_the_hull_of_its_visible_points() -> None:
    elements = [
        {"label": "nose", "outside": "1", "points": "0,0"},
        {"label": "left", "outside": "0", "points": "20,30"},
        {"label": "right", "outside": "0", "occluded": "1", "points": "40,35"},
    ]
    found = shape_to_object("skeleton", {"label": "person"}, None, elements)
    assert found[2:6] == (20, 30, 40, 35)
    assert found.details.points == [(20, 30), (40, 35)]


def test_fields_of_a_shape_are_kept() -> None:
    given = {"label": "car", "source": "auto", "occluded": "1", "z_order": "3", "points": "1,2;3,4;5,1"}
    found = shape_to_object("polygon", given, {"colour": "red"}, None, track_id="7")
    assert (found.source, found.occluded, found.z_order) == ("auto", True, 3)
    assert found.details.attributes == {"colour": "red"}
    assert found.details.track_id == "7"
    assert found.details.points == [(1, 2), (3, 4), (5, 1)]
