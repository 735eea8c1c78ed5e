"""What check makes of parse's ledger, from labels to findings."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from tasks.checks.findings import Finding
from tasks.checks.ledger_rules import empty_exports, ledger_findings
from tests.fixtures.cvat import BOX, box, document, image, task_meta, write
from tests.fixtures.parse import Parsed, export_of, run, write_image

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


def coco_of(*sizes: tuple[int, int]) -> dict[str, str]:
    """Labels of images `0.jpg`, ... that are said to be of these sizes, one box each."""
    listed = [{"id": n, "file_name": f"{n}.jpg", "width": w, "height": h} for n, (w, h) in enumerate(sizes)]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [40, 20, 30, 40]} for n in range(len(sizes))]
    return {
        "a.json": json.dumps({"images": listed, "annotations": boxes, "categories": [{"id": 1, "name": "car"}]}),
        **{f"{n}.jpg": str(n) for n in range(len(sizes))},
    }


OTHER = "have another size than their labels say"
RESIZED = "so boxes may not fit: most likely they were resized or cropped after labelling"
TURNED = (
    "with width and height swapped, so boxes may not fit: most likely EXIF turns the files, and they were labelled "
    "unturned"
)


@pytest.mark.parametrize(
    ("sizes", "severity", "said"),
    [
        (
            [(400, 320)] * 3,
            "error",
            f"3 of 3 images of export {OTHER} (0.jpg is 100x80, labelled as 400x320), {RESIZED}",
        ),
        (
            [(640, 640)],
            "error",
            f"1 of 1 images of export {OTHER} (0.jpg is 100x80, labelled as 640x640), {RESIZED}",
        ),
        (
            [(100, 80), (50, 40), (50, 40)],
            "error",
            f"2 of 3 images of export {OTHER} (1.jpg is 100x80, labelled as 50x40), {RESIZED}",
        ),
        (
            [(80, 100)] * 3,
            "error",
            f"3 of 3 images of export {OTHER} (0.jpg is 100x80, labelled as 80x100), {TURNED}",
        ),
        (
            [(100, 80), (100, 80), (400, 320)],
            "warning",
            f"1 of 3 images of export {OTHER} (2.jpg is 100x80, labelled as 400x320), {RESIZED}",
        ),
    ],
    ids=["all resized", "the only one", "most", "all turned", "one of three"],
)
def test_images_of_another_size_than_labelled_are_told_with_both_sizes(
    tmp_path: Path, sizes: list[tuple[int, int]], severity: str, said: str
) -> None:
    write(tmp_path / "raw" / "good" / "annotations.xml", document(*(image(f"g{n}.jpg", BOX) for n in range(9))))
    for n in range(9):
        write_image(tmp_path / "raw" / "good" / f"g{n}.jpg", colour=n)
    (found,) = [one for one in findings(run(export_of(tmp_path, coco_of(*sizes)))) if one.rule == "label_size_differs"]
    assert (found.severity, found.where) == (severity, "export")
    assert found.message == said


def test_jpegs_that_exif_turns_and_labels_do_not_are_an_error(tmp_path: Path) -> None:
    raw, exif = export_of(tmp_path, coco_of((100, 80), (100, 80))), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for n in range(2):
        write_image(raw / "export" / f"{n}.jpg", colour=n, exif=exif)
    assert errors(run(raw)) == {
        "label_size_differs": "2 of 2 images of export have another size than their labels say "
        f"(0.jpg is 80x100, labelled as 100x80), {TURNED}"
    }


def test_size_that_is_rounded_is_a_note(tmp_path: Path) -> None:
    (found,) = findings(run(export_of(tmp_path, coco_of((101, 80), (100, 81), (100, 80)))))
    assert (found.severity, found.where) == (
        "note",
        "export: 0.jpg is 100x80, labelled as 101x80; export: 1.jpg is 100x80, labelled as 100x81",
    )


def test_size_that_labels_do_not_say_is_none(tmp_path: Path) -> None:
    assert list(findings(run(export_of(tmp_path, coco_of((0, 0)))))) == []
