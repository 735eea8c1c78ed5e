"""parse: Pascal VOC as CVAT, LabelImg and people write it."""

from pathlib import Path

import pytest

from tasks.contracts.errors import PipelineError
from tests.fixtures.cvat import BOX, document, image
from tests.fixtures.parse import export_of, run

COCO = '{"images": [{"id": 1, "file_name": "c.jpg"}], "annotations": [], "categories": []}'


def annotation(name: str, label: str = "car", rotation: str = "0", width: str = "100") -> str:
    return (
        f"<annotation><filename>{name}</filename><size><width>{width}</width><height>80</height></size>"
        f"<object><name>{label}</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
        f"<attributes><attribute><name>rotation</name><value>{rotation}</value></attribute></attributes>"
        "</object></annotation>"
    )


def test_images_of_one_name_in_several_folders_keep_apart(tmp_path: Path) -> None:
    files = {}
    for camera in ("cam1", "cam2"):
        files[f"Annotations/{camera}/0001.xml"] = annotation("0001.jpg", camera)
        files[f"JPEGImages/{camera}/0001.jpg"] = camera
    boxes = run(export_of(tmp_path, files)).boxes("name", "file")
    assert {key: [label for label, *_ in rows] for key, rows in boxes.items()} == {
        ("cam1/0001.jpg", "raw/export/JPEGImages/cam1/0001.jpg"): ["cam1"],
        ("cam2/0001.jpg", "raw/export/JPEGImages/cam2/0001.jpg"): ["cam2"],
    }


def test_copied_files_that_name_one_image_keep_apart(tmp_path: Path) -> None:
    files = {f"Annotations/{stem}.xml": annotation("a.jpg", stem) for stem in ("a", "b")}
    parsed = run(export_of(tmp_path, files | {"JPEGImages/a.jpg": "a", "JPEGImages/b.jpg": "b"}))
    assert sorted(parsed.boxes("name", "file")) == [
        ("a.jpg", "raw/export/JPEGImages/a.jpg"),
        ("b.jpg", "raw/export/JPEGImages/b.jpg"),
    ]


def test_image_is_found_by_the_name_in_the_file_where_its_own_leads_nowhere(tmp_path: Path) -> None:
    files = {"Annotations/000001.xml": annotation("IMG_7.jpg"), "JPEGImages/IMG_7.jpg": ""}
    parsed = run(export_of(tmp_path, files))
    assert parsed.images[["name", "file"]].to_numpy().tolist() == [["000001.jpg", "raw/export/JPEGImages/IMG_7.jpg"]]


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"Annotations/x.json": COCO}, ["c.jpg"]),
        (
            {
                "Annotations/notes.txt": "-",
                "annotations.xml": document(image("a.jpg", BOX)),
                "sub/annotations.xml": document(image("b.jpg", BOX)),
            },
            ["a.jpg", "b.jpg"],
        ),
        ({"ANNOTATIONS.XML": document(image("a.jpg", BOX)), "images/a.jpg": ""}, ["a.jpg"]),
        ({"Annotations/a.XML": annotation("a.jpg"), "Annotations/b.xml": annotation("b.jpg")}, ["a.jpg", "b.jpg"]),
    ],
    ids=["COCO", "CVAT beside it", "upper case", "upper case in VOC"],
)
def test_folder_is_voc_only_by_what_it_holds(tmp_path: Path, files: dict[str, str], names: list[str]) -> None:
    assert sorted(run(export_of(tmp_path, files)).images["name"]) == names


@pytest.mark.parametrize(
    ("rotation", "attributes", "dropped"),
    [("left", '{"rotation": "left"}', 0), ("inf", None, 1), ("90", "{}", 0)],
)
def test_odd_rotation_costs_no_more_than_its_object(
    tmp_path: Path, rotation: str, attributes: str | None, dropped: int
) -> None:
    parsed = run(export_of(tmp_path, {"Annotations/a.xml": annotation("a.jpg", rotation=rotation)}))
    assert parsed.objects["attributes"].tolist() == ([attributes] if attributes else [])
    assert parsed.ledger.objects.dropped == dropped


@pytest.mark.parametrize("width", ["inf", "1e30", "-5", "wide"])
def test_size_that_is_none_is_unknown(tmp_path: Path, width: str) -> None:
    parsed = run(export_of(tmp_path, {"Annotations/a.xml": annotation("a.jpg", width=width)}))
    assert (parsed.images["width"].tolist(), len(parsed.objects)) == ([0], 1)


def test_list_is_one_per_class_only_if_every_line_has_a_flag(tmp_path: Path) -> None:
    files = {f"Annotations/{stem}.xml": annotation(f"{stem}.jpg") for stem in ("photo 1", "b")}
    lists = {"ImageSets/Main/train.txt": "photo 1\nb\n", "ImageSets/Main/car_val.txt": "b 1\nc -1\n"}
    parsed = run(export_of(tmp_path, files | lists))
    assert dict(zip(parsed.images["name"], parsed.images["subset"], strict=True)) == {
        "b.jpg": "train",
        "photo 1.jpg": "train",
    }


def test_label_map_is_read_as_utf_8(tmp_path: Path) -> None:
    raw = export_of(tmp_path, {"Annotations/a.xml": annotation("a.jpg"), "labelmap.txt": "\ufeffcar:1,2,3::\n"})
    assert run(raw).ledger.labels.keys() == {"car"}
    (raw / "export" / "labelmap.txt").write_bytes(b"caf\xe9:1,2,3::\n")
    with pytest.raises(PipelineError, match=r"text is not UTF-8: .*labelmap\.txt"):
        run(raw)
