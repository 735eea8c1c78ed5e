"""parse: CreateML's JSON and boxes as CSV."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.formats.labelled_image import NO_LABEL, NO_PLACE, NOT_NUMBERS
from tests.fixtures.parse import export_of, run

TENSORFLOW = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
DOG = [("dog", "box", 20, 10, 60, 30)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("_annotations.csv", TENSORFLOW + "a.jpg,100,80,dog,20,10,60,30\n"),
        ("labels.CSV", "\ufeffFilename;Width;Height;Class;XMin;YMin;XMax;YMax\r\na.jpg;100;80;dog;20;10;60;30\r\n"),
        ("b.tsv", "image_name\tlabel\tx1\ty1\tx2\ty2\na.jpg\tdog\t20\t10\t60\t30\n"),
        ("annotations.csv", "images/a.jpg,20,10,60,30,dog\n"),
        ("annotations.csv", "/home/me/data/a.jpg,20,10,60,30,dog\n"),
        ("train.csv", "a.jpg,100,80,dog,20,10,60,30\n"),
        (
            "makesense.csv",
            "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height\n"
            "dog,20,10,40,20,a.jpg,100,80\n",
        ),
        ("b.csv", 'filename,class,xmin,ymin,xmax,ymax\n"a.jpg","dog", 20.0, 10.0, 60.0, 30.0\n\n'),
    ],
    ids=["TensorFlow", "spreadsheet", "tabs", "RetinaNet", "other machine", "no header", "makesense", "quotes"],
)
def test_table_of_boxes_is_read(tmp_path: Path, name: str, text: str) -> None:
    parsed = run(export_of(tmp_path, {name: text, "images/a.jpg": ""}))
    assert list(parsed.boxes("file").items()) == [(("raw/export/images/a.jpg",), DOG)]
    assert parsed.ledger.exports["export"].formats == ["csv"]


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nfilename;class;xmin;ymin;xmax;ymax\nb.jpg;dog;20;10;60;30\n",
        '"sep=;"\n\n# by hand\nfilename;class;xmin;ymin;xmax;ymax\nb.jpg;dog;20;10;60;30\n',
        "# exported, by hand, with, commas\nfilename,class,xmin,ymin,xmax,ymax\nb.jpg,dog,20,10,60,30\n",
        "filename|class|xmin|ymin|xmax|ymax\nb.jpg|dog|20|10|60|30\n",
        "image,label,bbox_left,bbox_top,bbox_right,bbox_bottom\nb.jpg,dog,20,10,60,30\n",
        "image,label,minX,minY,maxX,maxY\nb.jpg,dog,20,10,60,30\n",
    ],
    ids=["sep", "sep and comment", "comment", "bars", "bbox_left", "minX"],
)
def test_table_of_a_spreadsheet_or_with_comments_is_read(tmp_path: Path, text: str) -> None:
    parsed = run(export_of(tmp_path, {"b.csv": "\ufeff" + text, "b.jpg": ""}))
    assert parsed.boxes("name") == {("b.jpg",): DOG}


def test_rows_of_an_image_come_together_and_empty_ones_are_negatives(tmp_path: Path) -> None:
    text = "a.jpg,20,10,60,30,dog\nb.jpg,,,,,\na.jpg,1,2,3,4,cat\nc.jpg,x,1,2,3,dog\nc.jpg,1\n"
    parsed = run(export_of(tmp_path, {"annotations.csv": text} | {f"{name}.jpg": name for name in "abc"}))
    assert parsed.images["name"].tolist() == ["a.jpg", "b.jpg", "c.jpg"]
    assert (parsed.objects["label"].tolist(), parsed.ledger.dropped) == (["dog", "cat"], {NOT_NUMBERS: 1, NO_LABEL: 1})
    assert parsed.ledger.images.empty == 2


def createml(*annotations: dict[str, Any], image: str = "image", objects: str = "annotations") -> str:
    return json.dumps([{image: "a.jpg", objects: list(annotations)}, {image: "b.jpg", objects: []}])


PLACE = {"coordinates": {"x": 40, "y": 20, "width": 40, "height": 20}}


@pytest.mark.parametrize(
    "text",
    [
        createml({"label": "dog"} | PLACE),
        createml({"label": "dog"} | PLACE, image="imagefilename", objects="annotation"),
        createml({"class": "dog"} | PLACE),
    ],
    ids=["CreateML", "earlier keys", "class"],
)
def test_createml_is_read_by_the_centre_of_boxes(tmp_path: Path, text: str) -> None:
    parsed = run(export_of(tmp_path, {"_annotations.createml.json": text, "a.jpg": "", "b.jpg": "b"}))
    assert parsed.boxes("name") == {("a.jpg",): DOG}
    assert (len(parsed.images), parsed.ledger.exports["export"].formats) == (2, ["createml"])


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"label": "dog"}, NO_PLACE),
        ({"label": "dog", "coordinates": {"x": 1}}, NOT_NUMBERS),
        ({"label": "dog", "coordinates": {"x": "?", "y": 2, "width": 3, "height": 4}}, NOT_NUMBERS),
        (PLACE, NO_LABEL),
    ],
    ids=["no place", "half a place", "text", "no label"],
)
def test_object_of_createml_without_a_box_is_in_the_ledger(
    tmp_path: Path, annotation: dict[str, Any], reason: str
) -> None:
    files = {"a.json": createml({"label": "dog"} | PLACE, annotation), "a.jpg": "", "b.jpg": "b"}
    assert run(export_of(tmp_path, files)).ledger.dropped == {reason: 1}
