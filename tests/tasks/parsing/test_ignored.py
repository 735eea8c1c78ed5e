"""parse.ignore: what a person wants to be passed over, and patterns to copy that pass over nothing else."""

import logging
import re
from pathlib import Path

import pytest
import yaml

from tasks.contracts.errors import PipelineError
from tests.fixtures.cvat import BOX, document, image, write
from tests.fixtures.parse import run, write_image
from tests.tasks.test_parse_unread import ROW, YOLO, beside_sound_labels, without


@pytest.mark.parametrize("pattern", ["export/labels/*", "export/*", "*.txt", "b.txt"])
def test_file_is_passed_over_on_purpose(tmp_path: Path, pattern: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    raw = beside_sound_labels(tmp_path, {"images/b.jpg": "", "labels/b.txt": ROW})
    assert run(raw, ignore=[pattern]).images["name"].tolist() == ["a.jpg"]
    assert f"parse.ignore {pattern}: {1 + (pattern == 'export/*')} files are passed over" in caplog.text


@pytest.mark.parametrize(
    ("files", "pattern"),
    [
        ({"b.jpg": "", "b [1].csv": "b.jpg;1;2;3;4\n"}, "export/b [[]1].csv"),
        ({"b.jpg": "", "x.json": without("categories")}, "export/x.json"),
        ({"images/b.jpg": "", "labels/b.txt": ROW}, "export/labels/b.txt"),
        ({"images/b.jpg": "", "images/c.jpg": "c", "labels/b.txt": ROW, "labels/c.txt": ROW}, "export/labels/*.txt"),
        ({"images/b.jpg": "", "SegmentationClass/b.png": ""}, "export/SegmentationClass/b.png"),
        ({"b.jpg": "", "b \x85\x7f\"'.csv": "b.jpg;1;2;3;4\n"}, "export/b \x85\x7f\"'.csv"),
    ],
)
def test_pattern_to_copy_passes_over_what_stopped_the_run(tmp_path: Path, files: dict[str, str], pattern: str) -> None:
    raw = beside_sound_labels(tmp_path, files)
    with pytest.raises(PipelineError) as caught:
        run(raw)
    (found,) = re.findall(r"parse\.ignore: (\[.*\])", str(caught.value))
    assert yaml.safe_load(found) == [pattern]
    assert run(raw, ignore=yaml.safe_load(found)).images["name"].tolist() == ["a.jpg"]


def test_pattern_to_copy_passes_over_nothing_else(tmp_path: Path) -> None:
    files = {"images/b.jpg": "", "images/c.jpg": "c", "labels/b.txt": ROW, "labels/c.txt": ROW, "labels/d/e.txt": "e\n"}
    with pytest.raises(PipelineError, match=r'ignore: \["export/labels/b\.txt", "export/labels/c\.txt"\]'):
        run(beside_sound_labels(tmp_path, files))


def test_pattern_of_a_file_at_the_top_passes_over_none_of_its_name_below(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write(raw / "odd.xml", "<a><object><name>dog</name><bndbox><xmin>2</xmin></bndbox></object></a>")
    write(raw / "good" / "odd.xml", document(image("a.jpg", BOX)))
    write_image(raw / "good" / "images" / "a.jpg")
    with pytest.raises(PipelineError) as caught:
        run(raw)
    (found,) = re.findall(r"parse\.ignore: (\[.*\])", str(caught.value))
    assert run(raw, ignore=yaml.safe_load(found)).images["name"].tolist() == ["a.jpg"]


def test_of_many_files_the_first_are_named_and_the_others_counted(tmp_path: Path) -> None:
    labels = {f"labels/b{number:02}.txt": ROW for number in range(25)}
    images = {f"images/b{number:02}.jpg": str(number) for number in range(25)}
    with pytest.raises(PipelineError, match=r'"export/labels/b19\.txt"\] and 5 more'):
        run(beside_sound_labels(tmp_path, {**images, **labels, "labels/d/notes.txt": "e\n"}))


def test_pattern_that_passes_nothing_over_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(beside_sound_labels(tmp_path, {}), ignore=["nowhere/*"])
    assert "parse.ignore nowhere/*: 0 files are passed over" in caplog.text


def test_labels_that_are_ignored_are_not_read_either(tmp_path: Path) -> None:
    raw = beside_sound_labels(tmp_path, YOLO | {"old.xml": document(image("c.jpg", BOX))})
    parsed = run(raw, ignore=["*/old.xml", "*.yaml", "*.txt"])
    assert parsed.images["name"].tolist() == ["a.jpg"]
