"""What image files say of themselves."""

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tasks.checks.image_measures import measure_image
from tasks.dataset.decoding import read_image
from tasks.parsing.image_facts import image_facts

Pixels = NDArray[np.uint8]


# By EXIF orientation, what is to be seen of pixels as they are stored.
SHOWN: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("orientation", SHOWN)
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".jpg", {"quality": 95, "subsampling": 0}),
        (".png", {}),
        (".webp", {"lossless": True}),
        (".tif", {}),
        (".tif", {"compression": "tiff_lzw"}),
        (".tiff", {"compression": "jpeg", "quality": 95}),
    ],
    ids=["jpeg", "png", "webp", "tiff", "tiff lzw", "tiff jpeg"],
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_header_decoder_and_measures_agree_on_every_orientation(
    tmp_path: Path, orientation: int, suffix: str, options: dict[str, Any], mode: str
) -> None:
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :16] = 250  # no turn or mirroring leaves it where it is
    stored[:16, 32:] = 120
    shown = SHOWN[orientation](stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x{suffix}"
    Image.fromarray(stored).convert(mode).save(path, exif=exif, **options)
    height, width = shown.shape[:2]
    assert image_facts(path).size_wh == (width, height)
    assert np.abs(read_image(path).astype(int) - shown).max() < 20
    measures = measure_image(path)
    assert (measures.width, measures.height) == (width, height)


TURN_IN_XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
TURN_IN_EXIF = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"


def png_with(chunk: bytes) -> bytes:
    """chunk: its type and content; it stands behind the pixels."""
    content = io.BytesIO()
    Image.new("RGB", (30, 20)).save(content, "PNG")
    data = content.getvalue()
    end = data.index(b"IEND") - 4
    return data[:end] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[end:]


def image_with(image_format: str, **options: Any) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (30, 20)).save(content, image_format, **options)
    return content.getvalue()


@pytest.mark.parametrize(
    ("data", "size_wh"),
    [
        (image_with("JPEG", xmp=TURN_IN_XMP), (30, 20)),
        (image_with("WEBP", xmp=TURN_IN_XMP), (30, 20)),
        (image_with("TIFF", tiffinfo={700: TURN_IN_XMP}), (30, 20)),
        (image_with("TIFF", tiffinfo={274: 9}), (30, 20)),
        (image_with("JPEG", exif=b"Exif\0\0" + TURN_IN_EXIF), (20, 30)),
        (image_with("JPEG", exif=b"Exif\0\0????"), (30, 20)),
        (png_with(b"eXIf" + TURN_IN_EXIF), (20, 30)),
        (png_with(b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + TURN_IN_XMP), (30, 20)),
        (
            png_with(b"tEXtRaw profile type exif\0\nexif\n 32\n" + (b"Exif\0\0" + TURN_IN_EXIF).hex().encode()),
            (30, 20),
        ),
    ],
    ids=[
        "JPEG with XMP",
        "WebP with XMP",
        "TIFF with XMP",
        "TIFF of no known orientation",
        "JPEG with EXIF",
        "JPEG with damaged EXIF",
        "PNG with EXIF behind its pixels",
        "PNG with XMP",
        "PNG with a raw profile",
    ],
)
def test_what_the_decoder_does_not_heed_turns_no_size(tmp_path: Path, data: bytes, size_wh: tuple[int, int]) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    assert read_image(path).shape[1::-1] == size_wh
    assert image_facts(path).size_wh == size_wh


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
