"""What image files say of themselves."""

import hashlib
import struct
import zlib
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


def png_of_size(path: Path, width: int, height: int) -> Path:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = (header, b"IDAT" + zlib.compress(b"\0" * 64), b"IEND")
    framed = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(framed))
    return path


def test_size_of_a_very_large_image_is_read(tmp_path: Path) -> None:
    assert image_facts(png_of_size(tmp_path / "x.png", 14_000, 14_000)).size_wh == (14_000, 14_000)


def test_image_beyond_what_can_be_decoded_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x\.png cannot be decoded: .*MAX_IMAGE_PIXELS"):
        read_image(png_of_size(tmp_path / "x.png", 40_000, 40_000), max_megapixels=None)


def test_truncated_image_keeps_its_size(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert image_facts(path).size_wh == (64, 64)
