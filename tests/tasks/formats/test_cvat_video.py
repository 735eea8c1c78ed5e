"""CVAT for video."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tasks.contracts.errors import PipelineError
from tasks.formats.cvat_meta import read_meta
from tasks.formats.cvat_video import cvat_video_to_labels
from tasks.formats.labelled_image import FRAME_DELETED, FRAME_SKIPPED, LabelledImage, Origin
from tests.fixtures.cvat import document, track, track_box, video_meta, write
from tests.fixtures.parse import objects_of

EXPORT = Origin(identity="export", title="export")


def read(path: Path, frame_step: int = 1) -> list[LabelledImage]:
    return list(cvat_video_to_labels(path, read_meta(path), EXPORT, "ledger", frame_step))


def boxes(images: list[LabelledImage]) -> dict[int, list[tuple[float, ...]]]:
    return {found.frame or 0: [labelled[2:6] for labelled in objects_of(found)] for found in images if found.objects}


def test_track_is_not_visible_from_outside_on(tmp_path: Path) -> None:
    one = track(0, "car", track_box(0, 0, 0, 10, 10), track_box(1, 1, 0, 11, 10, keyframe=False),
                track_box(2, 1, 0, 11, 10, outside=True), track_box(5, 9, 0, 19, 10))  # fmt: skip
    images = read(write(tmp_path / "a.xml", document(one, meta=video_meta(6))))
    assert boxes(images) == {0: [(0, 0, 10, 10)], 1: [(1, 0, 11, 10)], 5: [(9, 0, 19, 10)]}
    assert sum(found.outside for found in images) == 1


def test_frames_without_objects_are_images_too(tmp_path: Path) -> None:
    meta = video_meta(19, start=10, frame_filter="step=3")
    images = read(write(tmp_path / "a.xml", document(track(0, "car", track_box(13, 0, 0, 1, 1)), meta=meta)))
    assert [(found.name, found.frame, len(found.objects)) for found in images] == [
        ("frame_000010", 10, 0),
        ("frame_000013", 13, 1),
        ("frame_000016", 16, 0),
        ("frame_000019", 19, 0),
    ]
    assert {(found.width, found.height, found.subset, found.video_name) for found in images} == {
        (100, 80, "default", "clip.mp4")
    }


def test_keyframes_alone_are_filled_in_linearly(tmp_path: Path) -> None:
    one = track(3, "car", track_box(10, 0, 0, 10, 10), track_box(19, 9, 3, 19, 16),
                track_box(22, 9, 3, 19, 16, outside=True))  # fmt: skip
    meta = video_meta(30, start=10, frame_filter="step=3")
    assert boxes(read(write(tmp_path / "a.xml", document(one, meta=meta)))) == {
        10: [(0, 0, 10, 10)],
        13: [(3, 1, 13, 12)],
        16: [(6, 2, 16, 14)],
        19: [(9, 3, 19, 16)],
    }


def test_last_keyframe_is_not_held_for_frames_that_nobody_wrote(tmp_path: Path) -> None:
    one = track(0, "car", track_box(8, 0, 0, 10, 10))
    assert list(boxes(read(write(tmp_path / "a.xml", document(one, meta=video_meta(9)))))) == [8]


def test_gap_in_a_complete_track_is_left_alone(tmp_path: Path) -> None:
    one = track(0, "car", track_box(0, 0, 0, 4, 4), track_box(1, 0, 0, 4, 4, keyframe=False), track_box(5, 0, 0, 4, 4))
    assert list(boxes(read(write(tmp_path / "a.xml", document(one, meta=video_meta(9)))))) == [0, 1, 5]


def shapes_on(frames: Iterable[int], keyframes: Iterable[int] = (), outside: int | None = None) -> list[str]:
    """A still box on each frame, interpolated by CVAT but for keyframes."""
    kept = set(keyframes)
    last = [] if outside is None else [track_box(outside, 0, 0, 4, 4, outside=True)]
    return [track_box(frame, 0, 0, 4, 4, keyframe=frame in kept) for frame in frames] + last


COMPLETE = track(0, "car", *shapes_on([0, 1, 2, 5, 6, 7], [0, 7], outside=8))


@pytest.mark.parametrize(
    ("tracks", "meta", "deleted"),
    [
        ([COMPLETE], video_meta(9), [3, 4]),
        ([COMPLETE, track(1, "car", *shapes_on([2, 5], [2, 5]))], video_meta(9), [3, 4]),
        ([COMPLETE, track(1, "car", *shapes_on([4, 5], [4]))], video_meta(9), [3]),
        ([COMPLETE, track(1, "car", *shapes_on([], outside=3))], video_meta(9), [4]),
        ([track(0, "car", *shapes_on(range(8), [0])), track(1, "car", *shapes_on([0, 6], [0, 6]))], video_meta(9), []),
        ([track(0, "car", *shapes_on(range(4), [0])), track(1, "car", *shapes_on([0, 6], [0, 6]))], video_meta(9), []),
        ([track(0, "car", *shapes_on([0, 4], [0, 4]))], video_meta(9), []),
        ([track(0, "car", *shapes_on([0, 1], [0], outside=2), *shapes_on([6, 7], [6]))], video_meta(9), []),
        ([track(0, "car", *shapes_on([4, 5], [4]))], video_meta(9), []),
        ([track(0, "car", *shapes_on([10, 13, 19], [10]))], video_meta(22, start=10, frame_filter="step=3"), [16]),
        ([], video_meta(3), []),
    ],
    ids=[
        "two frames in a row",
        "keyframes of another track beside them",
        "one of them shows another track",
        "one of them ends another track",
        "keyframes alone, and others fill the gap",
        "keyframes alone, and others fill a part of the gap",
        "keyframes alone",
        "not visible in between",
        "begins late and ends early",
        "every third frame",
        "no track",
    ],
)
def test_frames_on_which_a_visible_track_has_no_shape_were_deleted(
    tmp_path: Path, tracks: list[str], meta: str, deleted: list[int]
) -> None:
    images = read(write(tmp_path / "a.xml", document(*tracks, meta=meta)))
    assert [found.frame for found in images if found.left_out == FRAME_DELETED] == deleted
    assert not any(found.objects for found in images if found.left_out)


def test_deleted_frames_of_a_project_are_those_of_their_task(tmp_path: Path) -> None:
    tasks = "".join(
        f"<task><id>{number}</id><name>t{number}</name><size>6</size><mode>interpolation</mode>"
        f"<start_frame>0</start_frame><stop_frame>5</stop_frame><frame_filter></frame_filter></task>"
        for number in (1, 2)
    )
    meta = f"<meta><project><id>9</id><name>p</name><tasks>{tasks}</tasks></project></meta>"
    # CVAT numbers the frames of a project through: those of the second task begin at 6.
    one = track(0, "car", *shapes_on([6, 7, 9, 10], [6]), more='task_id="2"')
    images = read(write(tmp_path / "a.xml", document(one, meta=meta)))
    assert [(found.origin.task_id, found.frame) for found in images if found.left_out] == [("2", 2)]


def test_every_nth_frame_is_wanted_and_the_others_are_marked(tmp_path: Path) -> None:
    one = track(0, "car", *(track_box(frame, 0, 0, 4, 4) for frame in range(6)))
    images = read(write(tmp_path / "a.xml", document(one, meta=video_meta(5))), frame_step=3)
    assert [found.left_out for found in images] == [None, FRAME_SKIPPED, FRAME_SKIPPED] * 2


def test_tracks_of_a_project_go_to_the_frames_of_their_task(tmp_path: Path) -> None:
    tracks = [
        track(number, "car", track_box(0, number, 0, 9, 9), more=f'task_id="{task}" subset="{subset}"')
        for number, (task, subset) in enumerate([("51", "Train"), ("52", "Test")])
    ]
    images = read(write(tmp_path / "a.xml", document(*tracks, meta="")))
    assert [(found.origin.task_id, found.subset, objects_of(found)[0].x_min) for found in images] == [
        ("51", "Train", 0),
        ("52", "Test", 1),
    ]


@pytest.mark.parametrize("form", ["points inside", "tracks inside"])
def test_hidden_points_of_a_skeleton_do_not_count(tmp_path: Path, form: str) -> None:
    point = '<points {more} keyframe="1" outside="{outside}" occluded="0" points="{points}"/>'
    if form == "points inside":
        shapes = (
            '<skeleton frame="0" keyframe="1">{}{}</skeleton><skeleton frame="1" keyframe="1">{}{}</skeleton>'.format(
                point.format(more='label="a"', outside=0, points="1,1"),
                point.format(more='label="b"', outside=0, points="9,9"),
                point.format(more='label="a"', outside=1, points="1,1"),
                point.format(more='label="b"', outside=1, points="9,9"),
            )
        )
    else:
        shapes = (
            '<skeleton frame="0" keyframe="1" outside="0" points="1,1;9,9;50,50"/>'
            '<skeleton frame="1" keyframe="1" outside="1" points="1,1;9,9;50,50"/>'
        ) + "".join(
            track(number, name, point.format(more='frame="0"', outside=outside, points=points))
            for number, (name, outside, points) in enumerate([("a", 0, "1,1"), ("b", 0, "9,9"), ("c", 1, "50,50")])
        )
    images = read(write(tmp_path / "a.xml", document(track(0, "person", shapes), meta=video_meta(2))))
    assert boxes(images) == {0: [(1, 1, 9, 9)]}
    assert sum(found.outside for found in images) == 1


def test_labels_and_attributes_are_those_of_the_track_and_the_shape(tmp_path: Path) -> None:
    shape = track_box(0, 0, 0, 4, 4).replace("/>", '><attribute name="lane">2</attribute></box>')
    found = objects_of(read(write(tmp_path / "a.xml", document(track(17, "car", shape), meta=video_meta(0))))[0])[0]
    assert (found.label, found.source, found.details.track_id) == ("car", "manual", "17")
    assert found.details.attributes == {"lane": "2"}


def test_shape_without_frame_number_is_named(tmp_path: Path) -> None:
    text = document(
        track(4, "car", re.sub(r'frame="0"', 'frame="x"', track_box(0, 0, 0, 4, 4), count=1)), meta=video_meta(0)
    )
    with pytest.raises(PipelineError, match=r"no frame number: .*a\.xml, track 4"):
        read(write(tmp_path / "a.xml", text))


@pytest.mark.parametrize(
    "text",
    [
        document(meta=video_meta(10**12)),
        document(meta=video_meta(10**30)),
        document(track(4, "car", track_box(0, 0, 0, 1, 1), track_box(1, 0, 0, 1, 1), track_box(10**12, 0, 0, 1, 1)),
                 meta=""),
    ],
    ids=["task", "task beyond any integer", "track without a task"],
)  # fmt: skip
def test_span_of_frames_that_no_memory_holds_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "a.xml", text)
    with pytest.raises(PipelineError, match=r"frames over a span of 1,000.*a\.xml.*split a longer video"):
        read(path)
