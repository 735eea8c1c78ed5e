"""parse: names that differ in capitals, endings or encoding from what the labels say."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tasks.checks.image_measures import measure_image
from tasks.dataset.decoding import read_image
from tasks.sources.archives import Limits, unpack
from tests.fixtures.cvat import BOX, document, image, write
from tests.fixtures.parse import export_of, run, write_image

LINE = "0 .5 .5 .2 .4\n"
YAML = "train: images/train\nnames: [car]\n"
VOC = (
    "<annotation><filename>{}</filename><object><name>car</name>"
    "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
)


@pytest.mark.parametrize(
    "files",
    [
        {"data.yaml": YAML, "images/train/a.jpg": "", "labels/train/a.TXT": LINE},
        {"data.yaml": YAML, "Images/Train/a.jpg": "", "Labels/Train/a.txt": LINE},
        {"DATA.YAML": YAML, "IMAGES/train/a.jpg": "", "labels/train/A.txt": LINE},
        {"data.yaml": "train: Train/Images\nnames: [car]\n", "Train/Images/a.jpg": "", "Train/Labels/a.Txt": LINE},
        {"Data.yaml": "Train: images/train\nNames: [car]\n", "images/train/a.jpg": "", "labels/train/a.txt": LINE},
        {
            "OBJ.DATA": "train = TRAIN.TXT\nnames = OBJ.NAMES",
            "obj.names": "car",
            "train.txt": "obj/a.JPG",
            "obj/a.jpg": "",
            "obj/a.TXT": LINE,
        },
        {"annotations/a.XML": VOC.format("A.JPG"), "jpegimages/a.jpg": "", "imagesets/main/TRAIN.TXT": "A\n"},
        {"Annotations/a.xml": VOC.format("a.jpg"), "JPEGIMAGES/A.jpg": ""},
        {"a.Xml": VOC.format("a.jpg"), "Images/a.jpg": ""},
        {"Annotations.XML": document(image("a.jpg", BOX)), "Images/A.jpg": ""},
        {
            "Annotations/Instances_Train.JSON": '{"images": [{"id": 1, "file_name": "A.jpg"}], "categories": '
            '[{"id": 1, "name": "car"}], "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]}',
            "IMAGES/a.jpg": "",
        },
    ],
    ids=[
        "label files",
        "folders",
        "all of a YOLO export",
        "folders below the subset",
        "keys of data.yaml",
        "all of YOLO 1.1",
        "VOC folders in lower case",
        "VOC images",
        "loose VOC",
        "CVAT",
        "COCO",
    ],
)
def test_capitals_make_no_difference(tmp_path: Path, files: dict[str, str]) -> None:
    raw = export_of(tmp_path, files)
    for path in list(raw.rglob("*.JPG")):
        write_image(path)
    parsed = run(raw)
    assert (parsed.objects["label"].tolist(), parsed.images["readable"].tolist()) == (["car"], [True])
    assert parsed.ledger.images.empty == 0
    if any("imagesets" in name for name in files):
        assert parsed.images["subset"].tolist() == ["TRAIN"]
    if any("Instances" in name for name in files):
        assert parsed.images["subset"].tolist() == ["Train"]


def test_label_file_of_nearly_the_name_stays_with_the_image_of_its_very_name(tmp_path: Path) -> None:
    files = {"data.yaml": YAML, "images/train/a.jpg": "1", "images/train/A.jpg": "2", "labels/train/a.txt": LINE}
    parsed = run(export_of(tmp_path, files))
    assert [name for (name,) in parsed.boxes("name")] == ["a.jpg"]
    assert (len(parsed.images), parsed.ledger.images.empty) == (2, 1)


def test_label_file_of_nearly_the_name_is_noted(tmp_path: Path) -> None:
    files = {"data.yaml": YAML, "images/train/a b.jpg": "", "labels/train/a%20B.txt": LINE}
    parsed = run(export_of(tmp_path, files))
    assert (len(parsed.images), parsed.objects["label"].tolist()) == (1, ["car"])
    assert parsed.ledger.exports["export"].notes == [
        "1 label files have nearly the names of their images, as the only ones: a%20B.txt of a b.jpg"
    ]


@pytest.mark.parametrize("held", ["a b.JPG", "a%20b.jpg", "a b.jpeg", "a b.png", "A B.jpg"])
def test_file_of_nearly_the_name_is_taken_and_counted(tmp_path: Path, held: str) -> None:
    write(tmp_path / "raw" / "annotations.xml", document(image("a b.jpg", BOX)))
    write_image(tmp_path / "raw" / "images" / held)
    parsed = run(tmp_path / "raw")
    assert parsed.images[["file", "readable"]].to_numpy().tolist() == [[f"raw/images/{held}", True]]
    assert (parsed.ledger.images.nearly_named, parsed.ledger.nearly_named) == (1, [f".: a b.jpg is images/{held}"])


def test_file_of_an_image_that_has_its_very_name_goes_to_no_other(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "annotations.xml", document(image("a.jpg", BOX), image("a.png", BOX)))
    write_image(tmp_path / "raw" / "images" / "a.png")
    parsed = run(tmp_path / "raw")
    assert parsed.images.set_index("name")["file"].dropna().to_dict() == {"a.png": "raw/images/a.png"}
    assert parsed.ledger.ambiguous == [".: a.jpg (images/a.png)"]


def test_picture_of_another_ending_and_size_is_not_the_image(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "annotations.xml", document(image("a.jpg", BOX, width=100, height=80)))
    write_image(tmp_path / "raw" / "images" / "a.png", 20, 16)
    parsed = run(tmp_path / "raw")
    assert parsed.images["file"].isna().tolist() == [True]
    assert parsed.ledger.ambiguous == [".: a.jpg (images/a.png)"]


def test_image_that_a_phone_wrote_is_held_though_no_decoder_takes_it(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "annotations.xml", document(image("a.jpg", BOX)))
    write(tmp_path / "raw" / "images" / "a.HEIC", "no picture here")
    parsed = run(tmp_path / "raw")
    assert parsed.images[["file", "readable"]].to_numpy().tolist() == [["raw/images/a.HEIC", False]]


@pytest.mark.parametrize("ending", ["avif", "webp", "jp2"])
def test_image_of_a_rarer_kind_gives_its_size_to_fractions(tmp_path: Path, ending: str) -> None:
    raw = export_of(tmp_path, {"data.yaml": YAML, "labels/train/a.txt": LINE})
    write_image(raw / "export" / "images" / "train" / f"a.{ending}")
    parsed = run(raw)
    assert parsed.boxes("name") == {(f"a.{ending}",): [("car", "box", 40, 24, 60, 56)]}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32", "utf-16-le"])
@pytest.mark.parametrize("name", ["data.yaml", "labels/train/a.txt"])
def test_text_that_a_windows_tool_wrote_is_read(tmp_path: Path, encoding: str, name: str) -> None:
    raw = export_of(tmp_path, {"data.yaml": YAML, "images/train/a.jpg": "", "labels/train/a.txt": LINE})
    path = raw / "export" / name
    path.write_bytes(path.read_text().replace("\n", "\r\n").encode(encoding))
    assert run(raw).objects["label"].tolist() == ["car"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_avif_is_upright_everywhere(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32], pixels[24:, :32, 0] = 255, 255
    raw = export_of(tmp_path, {"data.yaml": YAML, "labels/train/a.txt": LINE})
    path = raw / "export" / "images" / "train" / "a.avif"
    path.parent.mkdir(parents=True)
    Image.fromarray(pixels).save(path, exif=exif, quality=100)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    found, measures = read_image(path), measure_image(path)
    assert run(raw).images[["width", "height"]].to_numpy().tolist() == [[measures.width, measures.height]]
    assert (measures.height, measures.width) == upright.shape[:2] == found.shape[:2]
    assert np.abs(found.astype(int) - upright).mean() < 3


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("表.jpg", "cp932"),
        ("予定/表示 表.jpg", "cp932"),
        ("功.jpg", "big5"),
        ("猫_01.jpg", "gbk"),
        ("写真/犬.jpg", "cp932"),
        ("카메라.jpg", "cp949"),
        ("кот.jpg", "cp866"),
    ],
)
def test_zip_that_names_files_in_another_alphabet_gives_labels_their_images(
    tmp_path: Path, name: str, encoding: str
) -> None:
    write_image(tmp_path / "picture.jpg")
    raw_name = b"images/" + name.encode(encoding)
    # No flag of UTF-8 is set for names of plain letters, whose bytes are then replaced.
    stand_in = "n" * len(raw_name)
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as archive:
        archive.writestr("annotations.xml", document(image(name, BOX)))
        archive.write(tmp_path / "picture.jpg", stand_in)
    content = (tmp_path / "labels.zip").read_bytes().replace(stand_in.encode(), raw_name)
    (tmp_path / "labels.zip").write_bytes(content)
    (tmp_path / "raw").mkdir()
    unpack(tmp_path / "labels.zip", tmp_path / "raw" / "labels", Limits(max_files=9, max_gigabytes=1, max_ratio=200))
    parsed = run(tmp_path / "raw")
    assert (parsed.images["name"].tolist(), parsed.images["readable"].tolist()) == ([name], [True])
    assert parsed.ledger.images.nearly_named == 1
