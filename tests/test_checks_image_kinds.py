"""Images that no decoder takes as they are: what check says of them."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from tasks.checks.findings import Finding
from tasks.checks.image_measures import ImageMeasures, measure_images
from tasks.checks.image_rules import image_quality, undecodable_images
from tests.check_fixture import encoded, scene


def findings_of(path: Path, content: bytes) -> list[Finding]:
    path.write_bytes(content)
    images = pd.DataFrame(measure_images([path]), columns=list(ImageMeasures._fields))
    images = images.assign(image_id="a", name=path.name, file=f"raw/{path.name}", group="g")
    return [*undecodable_images(images, 1.0), *image_quality(images, 0.02, 20, 5)]


def test_image_of_12_bits_is_called_so_and_not_dark(tmp_path: Path) -> None:
    pixels = scene(0).astype(np.uint16) * 16
    pixels[0, 0] = 4080
    content = cv2.imencode(".png", pixels)[1].tobytes()
    (found,) = findings_of(tmp_path / "a.png", content)
    assert found.rule == "unused_bits"
    assert found.message == "16 bits with a maximum of 4,080: read at 1/16 of its brightness"


def test_dark_image_of_8_bits_is_called_dark(tmp_path: Path) -> None:
    assert [found.rule for found in findings_of(tmp_path / "a.png", encoded(scene(0) // 12))] == ["dark_image"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (cv2.imencode(".tif", scene(0).astype(np.float32))[1].tobytes(), "float TIFF is not read"),
        (cv2.imencode(".tif", scene(0).astype(np.int32))[1].tobytes(), "32 or more bits a channel"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "is HEIC, for which there is no decoder"),
        (encoded(scene(0))[:900], "ends before its image does"),
    ],
    ids=["float", "32 bits", "HEIC", "cut"],
)
def test_image_that_is_not_decoded_is_told_with_the_reason(tmp_path: Path, content: bytes, said: str) -> None:
    (found,) = findings_of(tmp_path / "a.tif", content)
    assert said in found.message
