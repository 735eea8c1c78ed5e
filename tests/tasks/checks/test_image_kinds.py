"""Images that no decoder takes as they are: what check says of them."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from tasks.checks.findings import Finding
from tasks.checks.image_measures import ImageMeasures, measure_images
from tasks.checks.image_rules import undecodable_images
from tests.fixtures.check import encoded, row_findings, scene
from tests.fixtures.tables import toy_images


def findings_of(path: Path, content: bytes) -> list[Finding]:
    path.write_bytes(content)
    measures = pd.DataFrame(measure_images([path]), columns=list(ImageMeasures._fields))
    images = toy_images([{"image_id": "a", "name": path.name}])
    left_out = undecodable_images(images.join(measures.drop(columns=["width", "height"])), 1.0)
    return [*left_out, *row_findings(images, measures, min_sharpness=0.02, min_brightness=20, min_contrast=5)]


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


TOO_LARGE = "have more megapixels than parse.max_megapixels, 0.5"
SHARE = "and check.max_unreadable_share is 5.0%"


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        (
            ["too_large"] * 6 + [None] * 2,
            {"image_too_large": f"6 of 8 image files {TOO_LARGE}: 75.0%, {SHARE}"},
        ),
        (
            ["truncated", "unreadable", None, None],
            {"unreadable_image": f"2 of 4 image files cannot be decoded: 50.0%, {SHARE}"},
        ),
        (
            ["too_large", "too_large", "unreadable", None],
            {
                "image_too_large": f"2 of 4 image files {TOO_LARGE}: 3 are left out, 75.0%, {SHARE}",
                "unreadable_image": f"1 of 4 image files cannot be decoded: 3 are left out, 75.0%, {SHARE}",
            },
        ),
        (["too_large"] + [None] * 30, {}),
    ],
    ids=["too large", "broken", "both", "few"],
)
def test_error_of_many_images_left_out_gives_the_reason_and_its_count(
    faults: list[str | None], said: dict[str, str]
) -> None:
    images = pd.DataFrame({"fault": faults, "file": "a.png", "image_id": "a", "name": "a.png", "width": 9, "height": 9})
    found = list(undecodable_images(images, 0.05, 0.5))
    assert {one.rule: one.message for one in found if one.severity == "error"} == said
    assert len(found) == len(said) + sum(fault is not None for fault in faults)
