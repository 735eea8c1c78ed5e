"""parse: LabelMe's JSON."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks.contracts.errors import PipelineError
from tasks.dataset.decoding import image_path, read_image
from tasks.formats.labelled_image import NOT_NUMBERS, POINTS_ALONE
from tasks.formats.labelme import LINE_ALONE
from tests.fixtures.parse import export_of, run, write_image


def shape(kind: str | None, *points: Any, **more: Any) -> dict[str, Any]:
    kinds = {} if kind is None else {"shape_type": kind}
    return {"label": "dog", "points": list(points), "group_id": None, "flags": {}} | kinds | more


def content(*shapes: dict[str, Any], **more: Any) -> str:
    size = {"imageWidth": 100, "imageHeight": 80, "imagePath": "a.jpg", "imageData": None}
    return json.dumps({"version": "5.4.1", "flags": {}, "shapes": list(shapes)} | size | more)


@pytest.mark.parametrize(
    ("given", "kind", "box"),
    [
        (shape("rectangle", [60, 30], [20, 10]), "box", (20, 10, 60, 30)),
        (shape("rectangle", [20, 10], [60, 10], [60, 30], [20, 30]), "box", (20, 10, 60, 30)),
        (shape("polygon", [1, 2], [9, 3], [4, 7]), "polygon", (1, 2, 9, 7)),
        (shape(None, [1, 2], [9, 3], [4, 7]), "polygon", (1, 2, 9, 7)),
        (shape("circle", [50, 40], [53, 44]), "ellipse", (45, 35, 55, 45)),
        (shape("mask", [3, 4], [8, 9], mask="iVBORw0KGgo="), "mask", (3, 4, 9, 10)),
        (shape("rotation", [10, 5], [20, 15], [15, 20], [5, 10]), "rotated_box", (5, 5, 20, 20)),
    ],
    ids=["corners", "four corners", "polygon", "no kind", "circle", "mask", "rotation"],
)
def test_shape_becomes_its_box(tmp_path: Path, given: dict[str, Any], kind: str, box: tuple[float, ...]) -> None:
    parsed = run(export_of(tmp_path, {"a.jpg": "", "a.json": content(given)}))
    assert parsed.boxes("name") == {("a.jpg",): [("dog", kind, *box)]}
    assert parsed.ledger.exports["export"].formats == ["labelme"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (shape("line", [1, 2], [9, 3]), LINE_ALONE),
        (shape("linestrip", [1, 2], [9, 3], [9, 9]), LINE_ALONE),
        (shape("point", [1, 2]), POINTS_ALONE),
        (shape("star", [1, 2]), "shape star is not known"),
        (shape("rectangle", [1, 2]), NOT_NUMBERS),
        (shape("rectangle", [1, "x"], [3, 4]), NOT_NUMBERS),
        (shape("rectangle", [1, float("nan")], [3, 4]), NOT_NUMBERS),
        (shape("polygon"), NOT_NUMBERS),
        (shape("rectangle") | {"points": None}, NOT_NUMBERS),
    ],
    ids=["line", "lines", "point", "unknown", "one corner", "text", "NaN", "no points", "null"],
)
def test_shape_without_a_box_is_in_the_ledger(tmp_path: Path, given: dict[str, Any], reason: str) -> None:
    assert run(export_of(tmp_path, {"a.jpg": "", "a.json": content(given)})).ledger.dropped == {reason: 1}


def test_flags_group_and_description_are_attributes(tmp_path: Path) -> None:
    given = shape("rectangle", [1, 2], [3, 4], group_id=7, flags={"far": True, "wet": False}, description="left")
    found = run(export_of(tmp_path, {"a.jpg": "", "a.json": content(given)})).objects.iloc[0]
    assert json.loads(found["attributes"]) == {"far": True, "group_id": 7, "description": "left"}


@pytest.mark.parametrize(
    ("files", "path", "name"),
    [
        ({"images/a.jpg": "", "labels/a.json": ""}, "..\\images\\a.jpg", "a.jpg"),
        ({"images/a.PNG": "", "labels/a.json": ""}, "a.jpg", "a.jpg"),
        ({"b.jpg": "", "b.json": ""}, "a.jpg", "b.jpg"),
        ({"a.jpg": "", "a.JSON": ""}, None, "a"),
    ],
    ids=["path of Windows", "other ending", "renamed", "no path"],
)
def test_image_is_found(tmp_path: Path, files: dict[str, str], path: str | None, name: str) -> None:
    text = content(shape("rectangle", [1, 2], [3, 4]), imagePath=path)
    raw = export_of(tmp_path, {file: text for file in files if not file.endswith("PNG")})
    for file in files:
        if file.endswith("PNG"):
            write_image(raw / "export" / file)
    found = run(raw).images
    assert (found["name"].tolist(), found["readable"].tolist()) == ([name], [True])


def test_picture_within_the_file_becomes_a_file_where_there_is_no_other(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (100, 80), (200, 10, 10)).save(picture, "PNG")
    data = base64.b64encode(picture.getvalue()).decode()
    rectangle = shape("rectangle", [1, 2], [3, 4])
    files = {
        "a.json": content(rectangle, imagePath="a.png", imageData=data),
        "b.jpg": "",
        "b.json": content(rectangle, imagePath="b.jpg", imageData=data),
        "c.json": content(rectangle, imagePath="c.png", imageData="?"),
    }
    parsed = run(export_of(tmp_path, files))
    held = parsed.images.set_index("name")["file"].fillna("")
    assert (held["b.jpg"], held["c.png"]) == ("raw/export/b.jpg", "")
    assert held["a.png"].startswith("frames/labelme/")
    assert read_image(image_path(held["a.png"], tmp_path / "raw", parsed.folder))[0, 0].tolist() == [200, 10, 10]


def test_folder_holds_one_body_of_labels_and_negatives(tmp_path: Path) -> None:
    files = {f"{name}.json": content(imagePath=f"{name}.jpg") for name in "ab"}
    files |= {"c.json": content(shape("rectangle", [1, 2], [3, 4]), imagePath="c.jpg"), "settings.json": "{}"}
    parsed = run(export_of(tmp_path, files | {f"{name}.jpg": name for name in "abc"}))
    assert (len(parsed.images), parsed.ledger.images.empty) == (3, 2)


@pytest.mark.parametrize(
    "text", ['{"shapes": [], "imagePath": 3}', '{"shapes": [{}], "imageData": null}', '{"shapes": ']
)
def test_broken_file_is_named(tmp_path: Path, text: str) -> None:
    sound = content(shape("rectangle", [1, 2], [3, 4]))
    with pytest.raises(PipelineError, match=r"b\.json"):
        run(export_of(tmp_path, {"a.jpg": "", "a.json": sound, "b.json": text}))
