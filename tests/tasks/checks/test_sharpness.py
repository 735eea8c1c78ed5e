"""Blur is told from sharp pictures of dark and flat things, and nothing is said where there are no edges."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tasks.checks.image_measures import ImageMeasures, measure_image
from tasks.checks.sharpness import sharpness
from tests.fixtures.check import row_findings
from tests.fixtures.tables import toy_images

pytestmark = pytest.mark.slow

Grey = NDArray[np.uint8]
Change = Callable[[Grey], Grey]


def things(seed: int) -> Grey:
    """Things with clear outlines on a ground with some grain."""
    rng = np.random.default_rng(seed)
    pixels = np.full((480, 640), 150, dtype=np.uint8)
    for _ in range(25):
        centre, axes = rng.integers(0, 640, 2).tolist(), rng.integers(10, 90, 2).tolist()
        cv2.ellipse(pixels, centre, axes, int(rng.integers(180)), 0, 360, int(rng.integers(30, 256)), -1, cv2.LINE_AA)
    grain = rng.normal(0, 1.5, pixels.shape)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def few_things(seed: int) -> Grey:
    pixels = np.full((480, 640), 120, dtype=np.uint8)
    cv2.circle(pixels, (200 + 10 * seed, 240), 60, 150, -1, cv2.LINE_AA)
    return pixels


def darkened(pixels: Grey) -> Grey:
    return (pixels * 0.3).astype(np.uint8)


def flattened(pixels: Grey) -> Grey:
    return (120 + (pixels.astype(float) - 120) * 0.2).astype(np.uint8)


def shadowed(pixels: Grey) -> Grey:
    shade = np.tile(np.linspace(0.3, 1, pixels.shape[1]), (pixels.shape[0], 1))
    return np.asarray(pixels * shade).astype(np.uint8)


def blurred(sigma: float) -> Change:
    return lambda pixels: np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), dtype=np.uint8)


def moved(pixels_far: int, degrees: float) -> Change:
    middle = (pixels_far - 1) / 2
    along = np.zeros((pixels_far, pixels_far), dtype=np.float32)
    along[int(middle)] = 1
    kernel = cv2.warpAffine(along, cv2.getRotationMatrix2D((middle, middle), degrees, 1), along.shape)
    return lambda pixels: np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum()), dtype=np.uint8)


def jpeg(quality: int) -> Change:
    def encoded(pixels: Grey) -> Grey:
        data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)

    return encoded


def enlarged(pixels: Grey) -> Grey:
    return np.asarray(cv2.resize(pixels, None, fx=4, fy=4, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def count_blurred(folder: Path, pictures: Sequence[Grey]) -> int:
    """How many are called blurred."""
    files = [folder / f"{number}.png" for number in range(len(pictures))]
    for file, pixels in zip(files, pictures, strict=True):
        cv2.imwrite(str(file), pixels)
    sizes = [{"width": pixels.shape[1], "height": pixels.shape[0]} for pixels in pictures]
    images = toy_images([{"image_id": file.name, "frame": at, **sizes[at]} for at, file in enumerate(files)])
    found = row_findings(images, pd.DataFrame(map(measure_image, files)), min_sharpness=0.3)
    assert {finding.rule for finding in found} <= {"blurred_image"}
    return len(found)


def same(pixels: Grey) -> Grey:
    return pixels


LIGHTS: dict[str, Change] = {"same": same, "dark": darkened, "flat": flattened, "shadow": shadowed, "jpeg": jpeg(75)}


@pytest.mark.parametrize("draw", [things, few_things])
@pytest.mark.parametrize("light", [*LIGHTS.values(), enlarged], ids=[*LIGHTS, "large"])
def test_sharp_pictures_are_not_called_blurred(tmp_path: Path, draw: Callable[[int], Grey], light: Change) -> None:
    assert count_blurred(tmp_path, [light(draw(seed)) for seed in range(4)]) == 0


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (blurred(1.5), 1.0),
        (blurred(2), 1.0),
        (blurred(3), 1.0),
        (blurred(4), 1.0),
        (moved(9, 30), 0.7),
        (moved(15, 0), 0.9),
        (moved(15, 90), 0.9),
    ],
    ids=["sigma 1.5", "sigma 2", "sigma 3", "sigma 4", "moved 9 px", "moved 15 px", "moved down"],
)
def test_blurred_pictures_are_found_in_whatever_light(tmp_path: Path, change: Change, least: float) -> None:
    pictures = [light(change(things(seed))) for light in LIGHTS.values() for seed in range(4)]
    assert count_blurred(tmp_path, pictures) >= least * len(pictures)


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((480, 640), 90, dtype=np.uint8),
        np.tile(np.linspace(20, 230, 640), (480, 1)).astype(np.uint8),
        np.random.default_rng(0).integers(100, 106, (480, 640), dtype=np.uint8),
        np.zeros((1, 1), dtype=np.uint8),
        np.zeros((3, 2000), dtype=np.uint8),
    ],
    ids=["one grey", "a gradient", "grain", "one pixel", "a line"],
)
def test_nothing_is_said_of_a_picture_without_edges(tmp_path: Path, pixels: Grey) -> None:
    assert sharpness(pixels, pixels) == (None, None, None)
    assert count_blurred(tmp_path, [pixels]) == 0


def test_zero_turns_the_judgement_off() -> None:
    images = toy_images([{"image_id": "a"}])
    measures = pd.DataFrame([ImageMeasures(None, None, 160, 120, 100.0, 50.0, 0.05, 0.05, 0.0)])
    assert [finding.rule for finding in row_findings(images, measures, min_sharpness=0.3)] == ["blurred_image"]
    assert not row_findings(images, measures, min_sharpness=0)
