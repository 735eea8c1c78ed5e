"""parse: labels and exports that it refuses, and what a site can say about them."""

from pathlib import Path

import pytest

from tasks.contracts.errors import PipelineError
from tasks.contracts.manifest import Export, Manifest
from tasks.contracts.record import write_record
from tests.fixtures.cvat import BOX, box, document, image, write
from tests.fixtures.parse import run, write_image


def test_labels_are_renamed_and_dropped(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "annotations.xml", document(image("a.jpg", box("Cats"), box("Cat"), box("Dog"))))
    parsed = run(tmp_path / "raw", rename={"Cats": "Cat"}, drop=["Dog"], classes=["Cat"])
    assert parsed.objects["label"].tolist() == ["Cat", "Cat"]
    assert parsed.ledger.labels["Cat"].kept == 2
    assert parsed.ledger.labels["Dog"].dropped == 1


def test_unknown_labels_are_refused_all_at_once_with_places_and_choices(tmp_path: Path) -> None:
    write(
        tmp_path / "raw" / "job_17" / "annotations.xml",
        document(image("a.jpg", box("car")), image("b.jpg", box("carr"))),
    )
    write(tmp_path / "raw" / "job_18" / "annotations.xml", document(image("c.jpg", box("bus"), box("bus")), meta=""))
    with pytest.raises(PipelineError) as caught:
        run(tmp_path / "raw", classes=["car", "van"])
    message = str(caught.value)
    assert "label 'bus': 2 objects, first in" in message
    assert "job_17/annotations.xml, image b.jpg" in message
    assert "Known are car, van. Fix them in CVAT, or add them to params.yaml: parse.classes" in message


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no labels found"),
        ({"a/notes.xml": "<notes/>"}, "no labels found"),
        ({"a/annotations.xml": document(version="2.0")}, "version 2.0"),
        ({"a/annotations/default.json": '{"items": [], "categories": {}, "info": {}}'}, "Datumaro format"),
        ({"a/task.json": "{}", "a/annotations.json": "[]"}, "backup of a CVAT task"),
        ({"a/annotations/instances_default.json": "{"}, "JSON cannot be read"),
    ],
    ids=["nothing", "other XML", "CVAT of another version", "Datumaro", "CVAT backup", "broken JSON"],
)
def test_folder_that_cannot_be_read_is_refused_with_the_formats_that_are(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    (tmp_path / "raw").mkdir()
    for name, text in files.items():
        write(tmp_path / "raw" / name, text)
    with pytest.raises(PipelineError, match=rf"(?s){message}.*CVAT for images 1\.1, CVAT for video 1\.1, COCO 1\.0"):
        run(tmp_path / "raw")


def test_every_export_that_cannot_be_read_is_named_at_once(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "a" / "annotations.xml", document(version="2.0"))
    write(tmp_path / "raw" / "b" / "annotations.xml", "<annotations>")
    write(tmp_path / "raw" / "c" / "annotations.xml", document(image("a.jpg")))
    with pytest.raises(PipelineError, match=r"(?s)a/annotations\.xml.*b/annotations\.xml"):
        run(tmp_path / "raw")


def test_every_export_that_is_cut_short_behind_its_head_is_named_at_once(tmp_path: Path) -> None:
    for folder in "abc":
        text = document(image(f"{folder}.jpg", BOX))
        write(tmp_path / "raw" / folder / "annotations.xml", text if folder == "b" else text[:-20])
    with pytest.raises(PipelineError, match=r"(?s)XML cannot be read: .*Correct or remove them") as caught:
        run(tmp_path / "raw")
    assert [folder for folder in "abc" if f"{folder}/annotations.xml" in str(caught.value)] == ["a", "c"]


def test_export_of_the_manifest_without_a_known_format_is_named(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "good" / "annotations.xml", document(image("a.jpg")))
    write(tmp_path / "raw" / "odd" / "readme.txt", "nothing to see")
    write_image(tmp_path / "raw" / "loose" / "a.jpg")
    exports = [
        Export(name=name, folder=name, source=f"/in/{name}.zip", sha256="", bytes=1, files=1)
        for name in ("good", "odd", "loose")
    ]
    write_record(Manifest(exports=exports), tmp_path / "raw" / "manifest.json")
    with pytest.raises(PipelineError, match=r"no known format: .*odd, from /in/odd\.zip"):
        run(tmp_path / "raw")


@pytest.mark.parametrize(
    "faulty",
    [
        pytest.param("readme", id="no known format"),
        pytest.param("<annotations>", id="cut short at once"),
        pytest.param(document(image("a.jpg", box("bus")), image("b.jpg", BOX))[:-20], id="cut short at its end"),
    ],
)
def test_export_that_was_mended_no_longer_stops_the_run(
    faulty: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "raw" / "e" / "annotations.xml", faulty)
    write(tmp_path / "raw" / "e-1a2b3c4d" / "annotations.xml", document(image("a.jpg", BOX)))
    versions = [
        Export(name="e", folder=folder, source="e.zip", sha256="", bytes=1, files=1)
        for day, folder in enumerate(("e", "e-1a2b3c4d"), start=1)
    ]
    write_record(Manifest(exports=versions), tmp_path / "raw" / "manifest.json")
    parsed = run(tmp_path / "raw")
    assert parsed.boxes("name").keys() == {("a.jpg",)}
    assert parsed.objects["label"].tolist() == ["car"]
    assert "there is a later version, this one is left out" in caplog.text
    write_record(Manifest(exports=versions[::-1]), tmp_path / "raw" / "manifest.json")
    with pytest.raises(PipelineError, match=r"raw/e(/annotations\.xml|, from)"):
        run(tmp_path / "raw")
