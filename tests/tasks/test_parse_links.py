"""parse: what is no file or folder of an export itself is told, and neither opened nor followed in silence."""

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from tasks.contracts.errors import PipelineError
from tests.fixtures.cvat import write
from tests.fixtures.parse import export_of, run
from tests.tasks.test_parse_unread import YOLO, beside_sound_labels


def test_pipe_and_link_to_nothing_are_told_and_never_opened(tmp_path: Path) -> None:
    raw = beside_sound_labels(tmp_path, YOLO)
    os.mkfifo(raw / "export" / "labels" / "c.txt")
    (raw / "good" / "images" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(PipelineError) as caught:
        run(raw)
    assert f"neither a file nor a folder: {raw}/export/labels/c.txt. Remove it" in str(caught.value)
    assert f"a link to what is not there: {raw}/good/images/gone.jpg. Remove it" in str(caught.value)


@pytest.mark.parametrize(("held", "stops"), [("b.xml", True), ("c.jpg", False)])
def test_link_to_a_folder_is_told_where_labels_could_be_behind_it(tmp_path: Path, held: str, *, stops: bool) -> None:
    raw = beside_sound_labels(tmp_path, YOLO)
    write(tmp_path / "elsewhere" / held, "")
    (raw / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PipelineError, match=r"not looked into for labels: .*linked") if stops else nullcontext():
        run(raw)


def test_links_and_sockets_of_programs_are_left_alone(tmp_path: Path) -> None:
    raw = beside_sound_labels(tmp_path, YOLO)
    write(tmp_path / "elsewhere" / "b.xml", "")
    for place in (raw / "export" / ".venv", raw / "export" / ".git"):
        place.mkdir()
    (raw / "export" / ".venv" / "lib64").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(raw / "export" / ".git" / "fsmonitor--daemon.ipc")
    (raw / "export" / ".#b.txt").symlink_to("editor@machine.1")
    assert len(run(raw).images) == 2


def test_linked_folder_can_be_passed_over(tmp_path: Path) -> None:
    raw = beside_sound_labels(tmp_path, YOLO)
    write(tmp_path / "elsewhere" / "b.xml", "")
    (raw / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PipelineError, match=r'parse\.ignore: \["linked/b\.xml"\]'):
        run(raw)
    assert len(run(raw, ignore=["linked/b.xml"]).images) == 2


def test_linked_folder_that_labels_are_read_from_is_fine(tmp_path: Path) -> None:
    raw = export_of(tmp_path, YOLO)
    (raw / "export" / "labels").rename(tmp_path / "labels")
    (raw / "export" / "labels").symlink_to(tmp_path / "labels")
    assert len(run(raw).objects) == 1
