"""Image files as pixels, whatever their name, their rotation and their faults."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.dataset.decoding import image_path, read_image


def test_image_is_rgb_and_upright_whatever_its_name(tmp_path: Path) -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = (250, 0, 0)
    path = tmp_path / "görüntü 1.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held at 90 degrees
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    image = read_image(path)
    assert image.shape == (40, 20, 3)
    assert image[5, 10, 0] > 200
    assert image[35, 10, 0] < 50


@pytest.mark.parametrize(
    "content", [b"no image", b"", b"P6 40000 40000 255 "], ids=["text", "empty", "beyond what OpenCV decodes"]
)
def test_bytes_that_are_no_image_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.jpg cannot be decoded"):
        read_image(path)


def test_files_of_the_tables_lie_below_raw_or_annotations() -> None:
    assert image_path("raw/a/b.jpg", Path("r"), Path("n")) == Path("r/a/b.jpg")
    assert image_path("frames/v/1.png", Path("r"), Path("n")) == Path("n/frames/v/1.png")
