"""parse: YOLO label files with a file of class names, as Label Studio, LabelImg and others leave them."""

from pathlib import Path

import pytest

from tasks.formats.yolo import LINE_UNKNOWN, NO_SUCH_CLASS
from tests.fixtures.cvat import BOX, document, image
from tests.fixtures.parse import export_of, run, write_image

DOG = "1 .5 .5 .2 .4\n"
BOXES = [("dog", "box", 40, 24, 60, 56)]


@pytest.mark.parametrize(
    ("files", "name", "subset"),
    [
        ({"classes.txt": "cat\ndog\n", "notes.json": "{}", "images/a.jpg": "", "labels/a.txt": DOG}, "a.jpg", ""),
        ({"classes.txt": "cat\ndog", "a.jpg": "", "a.txt": DOG}, "a.jpg", ""),
        ({"images/a.jpg": "", "labels/a.txt": DOG, "labels/classes.txt": "cat\ndog\n"}, "a.jpg", ""),
        ({"images/a.jpg": "", "images/a.txt": DOG, "images/Classes.TXT": "\ufeffcat\r\ndog\r\n"}, "a.jpg", ""),
        ({"img/a.jpg": "", "ann/a.txt": DOG, "classes.txt": "cat\ndog\n\n"}, "img/a.jpg", ""),
        ({"Images/train/a.jpg": "", "Labels/train/a.TXT": DOG, "classes.txt": "cat\ndog"}, "a.jpg", "train"),
        ({"train/a.jpg": "", "train/a.txt": DOG, "train/_darknet.labels": "cat\ndog"}, "a.jpg", ""),
        ({"obj/a.jpg": "", "obj/a.txt": DOG, "coco.names": "cat\ndog"}, "obj/a.jpg", ""),
        ({"images/a.jpg": "", "labels/a.txt": DOG, "names.yaml": "names: [cat, dog]\n"}, "a.jpg", ""),
        ({"images/a b.jpg": "", "labels/a%20B.txt": DOG, "classes.txt": "cat\ndog"}, "a b.jpg", ""),
        (
            {"images/a.jpg": "", "labels/a.txt": DOG, "notes.json": '{"categories": [{"id": 1, "name": "dog"}]}'},
            "a.jpg",
            "",
        ),
        ({"x/y/images/a.jpg": "", "x/y/labels/a.txt": DOG, "classes.txt": "cat\ndog"}, "a.jpg", ""),
    ],
    ids=[
        "Label Studio",
        "LabelImg",
        "LabelImg with a folder for labels",
        "LabelImg on Windows",
        "other folders",
        "subsets",
        "darknet of Roboflow",
        "names of darknet",
        "YAML without subsets",
        "nearly the name",
        "notes of Label Studio",
        "deeper",
    ],
)
def test_layout_is_read(tmp_path: Path, files: dict[str, str], name: str, subset: str) -> None:
    parsed = run(export_of(tmp_path, files))
    assert (parsed.boxes("name"), parsed.images["subset"].fillna("").tolist()) == ({(name,): BOXES}, [subset])
    assert (len(parsed.images), parsed.images["readable"].tolist()) == (1, [True])
    assert [export.formats for export in parsed.ledger.exports.values()] == [["yolo"]]


def test_labels_whose_images_are_in_another_export_find_them(tmp_path: Path) -> None:
    raw = export_of(tmp_path, {"labels/a.txt": DOG, "classes.txt": "cat\ndog"})
    write_image(raw / "pictures" / "a.jpg")
    assert run(raw).boxes("file") == {("raw/pictures/a.jpg",): BOXES}


def test_empty_label_file_is_a_negative_and_an_image_without_one_is_left_out(tmp_path: Path) -> None:
    files = {f"images/{name}.jpg": name for name in "abc"} | {"labels/a.txt": DOG, "labels/b.txt": ""}
    parsed = run(export_of(tmp_path, files | {"classes.txt": "cat\ndog"}))
    assert (parsed.images["name"].tolist(), parsed.ledger.images.empty) == (["a.jpg", "b.jpg"], 1)
    assert parsed.ledger.exports["export"].notes == [
        "1 images beside labelled ones have no label file and are left out: images/c.jpg"
    ]


def test_one_odd_row_does_not_hide_the_others(tmp_path: Path) -> None:
    parsed = run(export_of(tmp_path, {"a.jpg": "", "a.txt": DOG + "1 .5\n", "classes.txt": "cat\ndog"}))
    assert (parsed.boxes("name"), parsed.ledger.dropped) == ({("a.jpg",): BOXES}, {LINE_UNKNOWN: 1})


def test_class_without_a_name_is_in_the_ledger(tmp_path: Path) -> None:
    parsed = run(export_of(tmp_path, {"a.jpg": "", "a.txt": DOG + "2 .5 .5 .1 .1\n", "classes.txt": "cat\ndog"}))
    assert (parsed.boxes("name"), parsed.ledger.dropped) == ({("a.jpg",): BOXES}, {NO_SUCH_CLASS: 1})


def test_each_folder_has_its_own_class_names(tmp_path: Path) -> None:
    files: dict[str, str] = {}
    for camera, names in (("cam1", "cat\ndog"), ("cam2", "car\nbus")):
        files |= {f"{camera}/a.jpg": camera, f"{camera}/a.txt": DOG, f"{camera}/classes.txt": names}
    boxes = run(export_of(tmp_path, files)).boxes("file")
    assert {file: rows[0][0] for (file,), rows in boxes.items()} == {
        "raw/export/cam1/a.jpg": "dog",
        "raw/export/cam2/a.jpg": "bus",
    }


@pytest.mark.parametrize("label", ["a.txt", "labels/a.txt"])
def test_images_that_are_labelled_in_voc_too_are_read_once(tmp_path: Path, label: str) -> None:
    voc = "<annotation><filename>a.jpg</filename><object><name>dog</name><bndbox><xmin>1</xmin><ymin>2</ymin>"
    files = {"a.jpg": "", "a.xml": voc + "<xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>"}
    parsed = run(export_of(tmp_path, {label: DOG, "classes.txt": "cat\ndog"} | files))
    assert parsed.boxes("name") == {("a.jpg",): [("dog", "box", 1, 2, 3, 4)]}
    notes = ["export/classes.txt (yolo) labels images that are read as voc: it is not read"]
    assert parsed.ledger.exports["export"].notes == notes


def test_list_of_classes_beside_other_labels_is_nothing(tmp_path: Path) -> None:
    files = {"annotations.xml": document(image("a.jpg", BOX)), "images/a.jpg": "", "classes.txt": "car\n"}
    assert run(export_of(tmp_path, files)).ledger.exports["export"].formats == ["cvat_images"]


def test_rename_and_drop_that_no_label_has_met_are_told_with_the_nearest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    boxes = [BOX.replace("car", label) for label in ("WBC", "Platelets", "RBC")]
    export_of(tmp_path / "raw" / "cells", {"annotations.xml": document(image("a.jpg", *boxes))})
    ledger = run(tmp_path / "raw", rename={"wbc": "Leukocyte", "RBC": "red"}, drop=["Platelet", "red"]).ledger
    assert {"WBC", "Platelets", "red"} <= set(ledger.labels)
    assert [record.message for record in caplog.records if "no label is" in record.message] == [
        "parse.rename: no label is 'wbc', the nearest is 'WBC'; nothing came of it",
        "parse.drop: no label is 'Platelet', the nearest is 'Platelets'; nothing came of it",
    ]
