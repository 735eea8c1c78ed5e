"""check's image measures against a bare decode of the same files on all cores."""

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from tasks.checks.image_measures import measure_images
from tests.bench.ratios import Ratio, at_least, interleaved

IMAGES = 300
SIZE_WH = (1920, 1080)


def measure() -> list[Ratio]:
    """Images per second of both; the bare decode gives grey pixels as the stage's own decode does."""
    with tempfile.TemporaryDirectory() as name:
        paths = [_draw(Path(name) / f"{number}.jpg", number) for number in range(IMAGES)]
        ours, bare = interleaved(5, lambda: measure_images(paths), lambda: _decode(paths))
    return [at_least("image checks, throughput over bare decode", IMAGES / ours, IMAGES / bare, 0.8, "images/s")]


def _draw(path: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (27, 48, 3), dtype=np.uint8)
    pixels = cv2.resize(coarse, SIZE_WH, interpolation=cv2.INTER_CUBIC)
    noise = rng.integers(0, 12, pixels.shape, dtype=np.uint8)
    cv2.imwrite(str(path), cv2.add(pixels, noise), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return path


def _decode(paths: list[Path]) -> None:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_decode_one, paths))
    cv2.setNumThreads(threads)


def _decode_one(path: Path) -> None:
    assert cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_GRAYSCALE) is not None
