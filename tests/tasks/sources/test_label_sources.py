"""How a source is divided into exports."""

from pathlib import PurePosixPath

import pytest

from tasks.contracts.errors import PipelineError
from tasks.sources.label_sources import divide


@pytest.mark.parametrize(
    ("paths", "exports"),
    [
        pytest.param(["a.zip", "b.ZIP"], {"a": ["a.zip"], "b": ["b.ZIP"]}, id="zips"),
        pytest.param(
            ["annotations.xml", "images/1.jpg"],
            {"labels": ["annotations.xml", "images/1.jpg"]},
            id="one unpacked export",
        ),
        pytest.param(
            ["annotations/instances_default.json", "images/1.jpg"],
            {"labels": ["annotations/instances_default.json", "images/1.jpg"]},
            id="COCO without files at its top",
        ),
        pytest.param(
            ["a/annotations.xml", "a/images/1.jpg", "b/1.jpg", "c.zip"],
            {"a": ["a/annotations.xml", "a/images/1.jpg"], "b": ["b/1.jpg"], "c": ["c.zip"]},
            id="zips, unpacked exports and loose images together",
        ),
        pytest.param(
            ["2026/a.zip", "2026/more/a.zip"],
            {"2026/a": ["2026/a.zip"], "2026/more/a": ["2026/more/a.zip"]},
            id="zips in folders",
        ),
        pytest.param(["cam.zip", "cam1.mp4"], {"cam": ["cam.zip"], "labels": ["cam1.mp4"]}, id="a video beside a zip"),
        pytest.param(
            ["cam_1/seq_1/1.jpg", "cam_1/seq_2/1.jpg"],
            {"cam_1": ["cam_1/seq_1/1.jpg", "cam_1/seq_2/1.jpg"]},
            id="images in scenes",
        ),
        pytest.param([".git/x.json", "a.zip", "b/.DS_Store"], {"a": ["a.zip"]}, id="hidden files"),
        pytest.param(["README.md", "a.zip"], {"a": ["a.zip"]}, id="a file of no export"),
        pytest.param(
            ["Classes.txt", "Imgs/1.jpg", "Txt/1.txt"],
            {"labels": ["Classes.txt", "Imgs/1.jpg", "Txt/1.txt"]},
            id="YOLO with class names",
        ),
        pytest.param(["classes.txt", "a.zip"], {"a": ["a.zip"]}, id="class names beside a zip"),
        pytest.param(
            ["a.zip", "b.csv", "c/1.jpg"],
            {"a": ["a.zip"], "labels": ["b.csv"], "c": ["c/1.jpg"]},
            id="a table beside exports",
        ),
        pytest.param(
            ["a.zip", "b.jpg", "b.txt"], {"a": ["a.zip"], "labels": ["b.jpg", "b.txt"]}, id="texts beside images"
        ),
    ],
)
def test_source_is_divided_into_exports(paths: list[str], exports: dict[str, list[str]]) -> None:
    parts = divide([PurePosixPath(path) for path in paths], "labels")
    assert {part.name: [str(path) for path in part.paths] for part in parts} == exports


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param(["a/data.yaml", "a/images/1.jpg", "a/labels/1.txt", "a/task.zip"], id="Ultralytics YOLO"),
        pytest.param(["a/Task.zip", "a/obj.data", "a/obj.names", "a/obj_train_data/1.txt"], id="YOLO 1.1, zip first"),
        pytest.param(["a/annotations.xml", "a/images/Old.zip"], id="deeper"),
    ],
)
def test_zip_in_an_unpacked_export_belongs_to_it(paths: list[str], caplog: pytest.LogCaptureFixture) -> None:
    parts = divide([PurePosixPath(path) for path in paths], "labels")
    assert [(part.name, [str(path) for path in part.paths], part.is_zip) for part in parts] == [("a", paths, False)]
    assert ".zip. Move them out if they are exports themselves" in caplog.text


def test_zip_and_folder_of_one_name_are_refused() -> None:
    with pytest.raises(PipelineError, match=r"share a name: a\. Rename or remove one"):
        divide([PurePosixPath("a.zip"), PurePosixPath("a/annotations.xml")], "labels")
