"""What check makes of parse's ledger, from labels to findings."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.checks.findings import Finding
from tasks.checks.ledger_rules import empty_exports, ledger_findings
from tests.cvat_fixture import BOX, box, document, image, task_meta, write
from tests.parse_fixture import Parsed, export_of, run, write_image

LINE = "0 .5 .5 .2 .4\n"
YAML = "train: images\nnames: [car]\n"


def findings(parsed: Parsed, allowed: list[str] | None = None) -> Iterator[Finding]:
    yield from ledger_findings(parsed.ledger, 0.1)
    yield from empty_exports(parsed.ledger, allowed or [])


def errors(parsed: Parsed, allowed: list[str] | None = None) -> dict[str, str]:
    return {found.rule: found.message for found in findings(parsed, allowed) if found.severity == "error"}


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"data.yaml": YAML, "images/a.jpg": "", "images/b.jpg": "b"}, "2 images of export .*it has labels of none"),
        ({"annotations.xml": document(image("a.jpg"))}, "1 images of export .*it has labels of none"),
        (
            {"annotations.xml": document(image("a.jpg", box(xbr=10), box(xbr=10)))},
            "all 2 of its objects were dropped",
        ),
        ({"a.json": '{"images": [], "annotations": [], "categories": []}'}, "0 images of export"),
    ],
    ids=["no label files", "no objects", "all dropped", "no images"],
)
def test_export_without_objects_is_an_error_unless_it_is_meant(tmp_path: Path, files: dict[str, str], why: str) -> None:
    write(tmp_path / "raw" / "good" / "annotations.xml", document(image("c.jpg", *([BOX] * 90))))
    parsed = run(export_of(tmp_path, files))
    found = errors(parsed)
    assert list(found) == ["export_without_objects"]
    assert re.search(why, found["export_without_objects"])
    assert errors(parsed, ["ex*"]) == {}


def test_export_whose_objects_a_newer_one_has_is_not_empty(tmp_path: Path) -> None:
    for day, shapes in (("01", [BOX]), ("02", [BOX, BOX])):
        text = document(image("a.jpg", *shapes), meta=task_meta(dumped=f"2026-03-{day} 00:00:00+00:00"))
        write(tmp_path / "raw" / f"d{day}" / "annotations.xml", text)
    parsed = run(tmp_path / "raw")
    assert (parsed.ledger.exports["d01"].images.superseded, errors(parsed)) == (1, {})


@pytest.mark.parametrize(
    ("files", "file"),
    [
        ({"annotations.xml": document(image("a.jpg", box(xtl=0.1, ytl=0.2, xbr=1.0, ybr=0.9)))}, "annotations.xml"),
        ({"a.csv": "filename,class,xmin,ymin,xmax,ymax\na.jpg,car,.1,.2,.3,1.0000001\n"}, "a.csv"),
        (
            {"a.json": '[{"image": "a.jpg", "annotations": [{"label": "car", "coordinates": '
             '{"x": 0.5, "y": 0.5, "width": 0.2, "height": 0.2}}]}]'},
            "a.json",
        ),
        (
            {"a.json": '{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "car"}], '
             '"annotations": [{"image_id": 1, "category_id": 1, "bbox": [0.1, 0.2, 0.3, 0.4]}]}'},
            "a.json",
        ),
    ],
    ids=["CVAT", "CSV", "CreateML", "COCO"],
)  # fmt: skip
def test_boxes_in_fractions_are_an_error_even_beside_others_in_pixels(
    tmp_path: Path, files: dict[str, str], file: str
) -> None:
    other = {"b/annotations.xml": document(image("b.jpg", BOX)), "a.jpg": "", "b/b.jpg": ""}
    parsed = run(export_of(tmp_path, files | other))
    message = f"all boxes of export/{file} lie within [0, 1]: fractions of the image, not pixels"
    assert errors(parsed) == {"boxes_in_fractions": message}


def test_fractions_of_yolo_are_none(tmp_path: Path) -> None:
    parsed = run(export_of(tmp_path, {"data.yaml": YAML, "labels/a.txt": LINE, "images/a.jpg": ""}))
    assert errors(parsed) == {}


def test_reason_of_most_losses_stands_in_the_error(tmp_path: Path) -> None:
    parsed = run(export_of(tmp_path, {"data.yaml": YAML, "labels/a.txt": "0 48 36 40 20\n" + LINE, "images/a.jpg": ""}))
    assert errors(parsed) == {
        "dropped_objects": "50.0% of all objects were dropped, the limit is 10.0%; most: "
        "coordinates are not fractions of the image"
    }


def test_nearly_named_image_is_a_note_with_its_file(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "annotations.xml", document(image("a.jpg", BOX)))
    write_image(tmp_path / "raw" / "images" / "A.JPG")
    (found,) = findings(run(tmp_path / "raw"))
    assert (found.rule, found.severity, found.where) == ("nearly_named_images", "note", ".: a.jpg is images/A.JPG")
