"""One decode tells whether an image is whole, which way up it is, and what it looks like."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage

from tasks.checks.image_measures import measure_image, measure_images

Grey = NDArray[np.uint8]


def scene(seed: int) -> Grey:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(90, 110, (240, 320), dtype=np.uint8)
    for _ in range(15):
        centre = (int(rng.integers(0, 320)), int(rng.integers(0, 240)))
        cv2.circle(pixels, centre, int(rng.integers(8, 50)), int(rng.integers(0, 256)), -1)
    return pixels


def written(folder: Path, pixels: Grey, name: str = "image.png") -> Path:
    path = folder / name
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def decoded(path: Path) -> Grey:
    return np.asarray(cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.95])
def test_a_file_that_ends_early_is_truncated(tmp_path: Path, suffix: str, kept: float) -> None:
    path = written(tmp_path, scene(0), f"image{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    measures = measure_image(path)
    assert measures.fault in {"truncated", "unreadable"}
    assert suffix == ".webp" or measures.fault == "truncated"
    assert measures.thumbnail is None


def test_a_jpeg_without_its_end_marker_is_truncated(tmp_path: Path) -> None:
    path = written(tmp_path, scene(0), "image.jpg")
    path.write_bytes(path.read_bytes()[:-2])
    assert measure_image(path).fault == "truncated"


def overwritten(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(500) + data[middle + 500 :]


def shortened(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + data[middle + 500 :]


@pytest.mark.parametrize("damage", [overwritten, shortened])
@pytest.mark.parametrize("turned", [False, True], ids=["upright", "turned"])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_damaged_in_its_middle_is_told_from_a_whole_one(
    tmp_path: Path, damage: Callable[[bytes], bytes], turned: bool, mode: str
) -> None:
    path = tmp_path / "image.jpg"
    exif = PillowImage.Exif()
    exif[0x0112] = 6 if turned else 1
    PillowImage.fromarray(scene(0)).convert(mode).save(path, exif=exif)
    assert measure_image(path).damage is None
    path.write_bytes(damage(path.read_bytes()))
    measures = measure_image(path)
    assert measures.fault is None
    assert measures.damage is not None
    assert measures.damage.startswith("Corrupt JPEG data")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_pixels_are_those_that_other_stages_see(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, scene(0), f"image{suffix}")
    grey = np.asarray(cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    measures, of_pixels = measure_image(path), measure_image(written(tmp_path, grey, "pixels.png"))
    assert measures._replace(thumbnail=None) == of_pixels._replace(thumbnail=None)
    np.testing.assert_array_equal(measures.thumbnail, of_pixels.thumbnail)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 a zip", b"\xff\xd8\xff"], ids=["empty", "zip", "bare header"])
def test_a_file_without_an_image_is_unreadable(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    assert measure_image(path).fault == "unreadable"


def test_a_file_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    assert measure_image(tmp_path / "gone.jpg").fault == "unreadable"


@pytest.mark.parametrize("limit", [10**9, 20_000], ids=["usual", "more pixels than Pillow opens"])
def test_size_is_that_after_exif_orientation(tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    path = tmp_path / "image.jpg"
    PillowImage.fromarray(scene(0)).save(path, exif=exif)
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", limit)
    measures = measure_image(path)
    assert (measures.width, measures.height) == (240, 320)


def test_an_exif_block_that_is_damaged_turns_nothing(tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    path = tmp_path / "image.jpg"
    PillowImage.fromarray(scene(0)).save(path, exif=exif)
    path.write_bytes(path.read_bytes().replace(b"MM\0*", b"????"))
    measures = measure_image(path)
    assert (measures.fault, measures.width, measures.height) == (None, 320, 240)


def test_measures_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    sizes = [(20 + number, 30) for number in range(40)]
    paths = [written(tmp_path, np.zeros(size, dtype=np.uint8), f"{size[0]}.png") for size in sizes]
    assert [(measures.height, measures.width) for measures in measure_images(paths)] == sizes


def test_sharpness_hardly_depends_on_resolution(tmp_path: Path) -> None:
    small = measure_image(written(tmp_path, scene(0)))
    large = measure_image(written(tmp_path, cv2.resize(scene(0), None, fx=8, fy=8, interpolation=0)))
    assert small.sharpness is not None
    assert large.sharpness == pytest.approx(small.sharpness, rel=0.1)


@pytest.mark.parametrize("factor", [1, 5])
@pytest.mark.parametrize("upright", [True, False])
def test_large_jpeg_is_measured_as_its_pixels_are(tmp_path: Path, factor: int, upright: bool) -> None:
    pixels = scene(3) if upright else np.ascontiguousarray(scene(3).T)
    pixels = np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    path = written(tmp_path, pixels, "image.jpg")
    jpeg = measure_image(path)
    png = measure_image(written(tmp_path, decoded(path), "image.png"))
    assert (jpeg.width, jpeg.height) == (png.width, png.height) == pixels.shape[::-1]
    assert jpeg.brightness == pytest.approx(png.brightness, abs=0.5)
    assert jpeg.contrast == pytest.approx(png.contrast, abs=0.5)
    assert jpeg.thumbnail is not None
    assert png.thumbnail is not None
    assert jpeg.thumbnail.shape == png.thumbnail.shape
    assert cv2.absdiff(jpeg.thumbnail, png.thumbnail).mean() < 0.5


def test_damage_of_a_large_jpeg_is_told(tmp_path: Path) -> None:
    large = np.asarray(cv2.resize(scene(0), None, fx=5, fy=5), dtype=np.uint8)
    path = written(tmp_path, large, "image.jpg")
    path.write_bytes(overwritten(path.read_bytes()))
    measures = measure_image(path)
    assert (measures.fault, measures.width, measures.height) == (None, 1600, 1200)
    assert str(measures.damage).startswith("Corrupt JPEG data")


@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "uint32"])
def test_numbers_that_no_decoder_takes_are_called_so(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image.tif"
    path.write_bytes(cv2.imencode(".tif", scene(0).astype(kind))[1].tobytes())
    assert measure_image(path).fault == ("float" if kind.startswith("float") else "wide")


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "heic"),
        (b"\xff\x0a\x00\x00", "jxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
    ],
    ids=["HEIC", "HEIC of another brand", "JPEG XL", "JPEG XL in a box"],
)
def test_kind_without_a_decoder_is_told(tmp_path: Path, head: bytes, fault: str) -> None:
    (tmp_path / "image.jpg").write_bytes(head + bytes(100))
    assert measure_image(tmp_path / "image.jpg").fault == fault


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("bits", "expected"), [(10, True), (12, True), (14, True), (16, False)])
def test_image_that_uses_few_of_its_16_bits_is_told_with_its_maximum(
    tmp_path: Path, suffix: str, bits: int, *, expected: bool
) -> None:
    pixels = (scene(0).astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
    pixels[0, 0] = 2**bits - 1
    path = tmp_path / f"image{suffix}"
    path.write_bytes(cv2.imencode(suffix, pixels)[1].tobytes())
    assert measure_image(path).peak == (2**bits - 1 if expected else 0)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_dark_image_of_8_bits_uses_all_of_them(tmp_path: Path, suffix: str) -> None:
    assert measure_image(written(tmp_path, scene(0) // 10, f"image{suffix}")).peak == 0
