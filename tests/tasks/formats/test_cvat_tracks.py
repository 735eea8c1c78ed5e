"""Shapes between keyframes."""

import pytest

from tasks.formats.cvat_tracks import TrackShape, between


@pytest.mark.parametrize(
    ("earlier", "later", "middle"),
    [
        ({"xtl": "0", "ybr": "10"}, {"xtl": "5", "ybr": "20"}, {"xtl": "2.50", "ybr": "15.00"}),
        ({"rotation": "350"}, {"rotation": "10"}, {"rotation": "360.00"}),
        ({"rotation": "10"}, {"rotation": "350"}, {"rotation": "0.00"}),
        ({}, {"rotation": "90"}, {"rotation": "45.00"}),
        ({"points": "0,0;2,2"}, {"points": "4,0;2,4"}, {"points": "2.00,0.00;2.00,3.00"}),
        ({"points": "0,0;2,2"}, {"points": "4,0;2,4;1,1"}, {"points": "0,0;2,2"}),
        ({"rle": "0, 4", "left": "1"}, {"rle": "0, 9", "left": "7"}, {"rle": "0, 4", "left": "1"}),
        ({"xtl": "zero"}, {"xtl": "5"}, {"xtl": "zero"}),
        ({"occluded": "1", "cx": "0"}, {"occluded": "0", "cx": "1"}, {"occluded": "1", "cx": "0.50"}),
    ],
    ids=[
        "box",
        "up over north",
        "down over north",
        "rotation begins",
        "points",
        "points added",
        "mask",
        "no number",
        "flags",
    ],
)
def test_shape_halfway_between_keyframes(
    earlier: dict[str, str], later: dict[str, str], middle: dict[str, str]
) -> None:
    assert between(TrackShape("any", 10, earlier), TrackShape("any", 20, later), 15).given == middle


def test_points_of_a_skeleton_move_with_their_label() -> None:
    earlier = TrackShape("skeleton", 0, {}, None, [{"label": "a", "points": "0,0"}, {"label": "b", "points": "4,4"}])
    later = TrackShape("skeleton", 4, {}, None, [{"label": "b", "points": "8,4"}, {"label": "a", "points": "0,4"}])
    moved = between(earlier, later, 1).elements or []
    assert [element["points"] for element in moved] == ["0.00,1.00", "5.00,4.00"]
