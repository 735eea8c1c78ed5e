"""parse: which picture an image gets, and what the ledger says where that is not certain."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tasks.contracts.tables import BOX as BOX_COLUMNS
from tests.fixtures.cvat import BOX, document, image, task_meta, write
from tests.fixtures.parse import export_of, run, write_image


@pytest.mark.parametrize("names", [["cam1/a.jpg", "cam2/a.jpg"], ["cam2/a.jpg", "cam1/a.jpg"]], ids=str)
def test_picture_of_another_image_of_the_export_is_not_taken(tmp_path: Path, names: list[str]) -> None:
    write(tmp_path / "raw" / "annotations.xml", document(*(image(name, BOX) for name in names)))
    write_image(tmp_path / "raw" / "images" / "cam1" / "a.jpg")
    parsed = run(tmp_path / "raw")
    files = parsed.images.set_index("name")["file"]
    assert files["cam1/a.jpg"] == "raw/images/cam1/a.jpg"
    assert pd.isna(files["cam2/a.jpg"])
    assert parsed.ledger.ambiguous == [".: cam2/a.jpg (images/cam1/a.jpg)"]


def test_one_flat_picture_goes_to_none_of_two_images(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "annotations.xml", document(image("cam1/a.jpg"), image("cam2/a.jpg"), image("cam2/b.jpg")))
    for name in ("a.jpg", "b.jpg"):
        write_image(tmp_path / "raw" / "images" / name)
    parsed = run(tmp_path / "raw")
    assert parsed.images.dropna(subset="file")["name"].tolist() == ["cam2/b.jpg"]
    assert parsed.ledger.images.ambiguous == 2


def test_picture_elsewhere_that_has_the_whole_name_comes_before_a_like_name(tmp_path: Path) -> None:
    text = document(image("cam1/a.jpg"), image("cam2/a.jpg"))
    write(tmp_path / "raw" / "export" / "annotations.xml", text)
    write_image(tmp_path / "raw" / "export" / "images" / "cam1" / "a.jpg")
    write_image(tmp_path / "raw" / "loose" / "cam2" / "a.jpg", colour=9)
    parsed = run(tmp_path / "raw")
    assert parsed.images["file"].tolist() == ["raw/export/images/cam1/a.jpg", "raw/loose/cam2/a.jpg"]


def test_picture_of_another_task_is_counted_as_shared(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "a" / "annotations.xml", document(image("1.jpg", BOX), meta=task_meta(5)))
    write(tmp_path / "raw" / "b" / "annotations.xml", document(image("1.jpg", BOX), meta=task_meta(6)))
    write_image(tmp_path / "raw" / "b" / "images" / "1.jpg")
    write_image(tmp_path / "raw" / "b" / "images" / "2.jpg")
    parsed = run(tmp_path / "raw")
    assert parsed.images["file"].tolist() == ["raw/b/images/1.jpg"] * 2
    assert (parsed.ledger.images.found, parsed.ledger.images.shared) == (2, 1)
    first, second = parsed.images["source"]
    assert parsed.ledger.shared == [f"{second}: 1.jpg has the file of an image of {first}"]


def test_fractions_of_a_turned_tiff_are_of_the_picture_as_it_is_shown(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored as 72 x 96, to be shown turned by 90 degrees
    files = {"data.yaml": "train: images\nnames: [cat]", "labels/a.txt": "0 0.41667 0.27778 0.41667 0.27778"}
    raw = export_of(tmp_path, files)
    write_image(raw / "export" / "images" / "a.tif", 72, 96, exif=exif)
    parsed = run(raw)
    assert parsed.images[["width", "height"]].to_numpy().tolist() == [[96, 72]]
    assert parsed.objects[BOX_COLUMNS].to_numpy()[0] == pytest.approx([20, 10, 60, 30], abs=0.02)
