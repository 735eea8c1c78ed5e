"""Heads of CVAT files."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.contracts.errors import PipelineError
from tasks.formats.cvat_meta import read_meta
from tests.fixtures.cvat import document, image, task_meta, track, track_box, video_meta, write

PROJECT = """<meta><project><id>7</id><name>cells</name><created>c</created><tasks>
<task><id>51</id><name>one</name><created>c1</created><mode>annotation</mode><subset>Train</subset></task>
<task><id>52</id><name>two</name><created>c2</created><mode>interpolation</mode><subset>Test</subset>
<start_frame>10</start_frame><stop_frame>19</stop_frame><frame_filter>step=3</frame_filter></task>
</tasks><subsets>Train
Test</subsets><labels><label><name>a</name></label><label><name>nose</name><parent>a</parent></label></labels>
</project><dumped>2026-03-05 16:40:51+00:00</dumped></meta>"""


def test_task_export_names_its_task_labels_and_time(tmp_path: Path) -> None:
    meta = read_meta(write(tmp_path / "a.xml", document(image("x.jpg"), meta=task_meta(5, "belt", labels=("a", "b")))))
    assert not meta.is_video
    assert meta.labels == ("a", "b")
    assert meta.written == datetime(2026, 3, 5, 16, 40, 51, 4321, UTC)
    assert meta.task.subset == "default"
    assert meta.task.origin is not None
    assert (meta.task.origin.title, meta.task.origin.task_id) == ("task 5 belt", "5")


def test_job_export_has_no_task_id(tmp_path: Path) -> None:
    text = document(image("x.jpg"), meta=task_meta(9, "").replace("task>", "job>"))
    meta = read_meta(write(tmp_path / "a.xml", text))
    assert meta.task.origin is not None
    assert (meta.task.origin.title, meta.task.origin.task_id) == ("job 9", None)


def test_project_export_tells_its_tasks_apart(tmp_path: Path) -> None:
    meta = read_meta(write(tmp_path / "a.xml", document(image("x.jpg"), meta=PROJECT)))
    assert meta.task.origin is None
    assert meta.labels == ("a",)
    assert list(meta.tasks) == ["51", "52"]
    assert meta.tasks["52"].frames == range(10, 20, 3)
    origins = [task.origin for task in meta.tasks.values()]
    assert [(origin.title, origin.is_video, origin.subsets) for origin in origins if origin] == [
        ("task 51 one", False, frozenset({"Train", "Test"})),
        ("task 52 two", True, frozenset({"Train", "Test"})),
    ]


def test_task_is_the_same_in_a_project_export(tmp_path: Path) -> None:
    alone = read_meta(
        write(tmp_path / "a.xml", document(meta=task_meta(51, "one").replace("2026-03-02 09:14:07+00:00", "c1")))
    )
    within = read_meta(write(tmp_path / "b.xml", document(meta=PROJECT)))
    assert alone.task.origin
    assert within.tasks["51"].origin
    assert alone.task.origin.identity == within.tasks["51"].origin.identity


def test_file_without_meta_is_read(tmp_path: Path) -> None:
    meta = read_meta(write(tmp_path / "a.xml", document(image("x.jpg"), meta="")))
    assert (meta.is_video, meta.labels, meta.written, meta.task.origin) == (False, (), None, None)


def test_video_export_has_size_frames_and_the_name_of_its_video(tmp_path: Path) -> None:
    meta = read_meta(
        write(tmp_path / "a.xml", document(track(0, "car", track_box(4, 1, 1, 2, 2)), meta=video_meta(9, start=4)))
    )
    assert meta.is_video
    assert (meta.task.frames, meta.task.size_wh, meta.task.video_name) == (range(4, 10), (100, 80), "clip.mp4")


def test_video_task_without_any_track_is_still_a_video(tmp_path: Path) -> None:
    assert read_meta(write(tmp_path / "a.xml", document(meta=video_meta(9)))).is_video


def test_frames_of_a_video_exported_as_images_belong_to_a_video(tmp_path: Path) -> None:
    meta = read_meta(write(tmp_path / "a.xml", document(image("frame_000000"), meta=video_meta(9))))
    assert not meta.is_video
    assert meta.task.origin
    assert meta.task.origin.is_video


def test_unknown_version_is_refused_with_the_one_to_choose(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xml", document(image("x.jpg"), version="2.0"))
    with pytest.raises(
        PipelineError, match=r'version 2\.0: .*a\.xml\. Only 1\.1 is read: export again as "CVAT for images'
    ):
        read_meta(path)
