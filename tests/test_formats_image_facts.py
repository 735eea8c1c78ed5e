"""What image files say of themselves."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.contracts.images import read_image
from tasks.formats.image_facts import image_facts


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_size_is_that_of_the_decoded_image_whatever_its_orientation(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    path = tmp_path / f"x{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (30, 20)).save(path, exif=exif)
    height, width = read_image(path).shape[:2]
    assert image_facts(path).size_wh == (width, height)


def test_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"no image")
    assert image_facts(tmp_path / "x.jpg").sha256 == hashlib.sha256(b"no image").hexdigest()


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0broken", b"\x89PNG\r\n\x1a\n\0\0"])
def test_file_that_is_no_image_has_no_size(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    assert image_facts(tmp_path / "x.jpg").size_wh is None


def test_truncated_image_keeps_its_size(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert image_facts(path).size_wh == (64, 64)
