"""One decode per image, two if it is turned: whether it is whole, sharp, bright, and what it looks like."""

import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import imagehash
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags
from PIL import Image as PillowImage
from tqdm import tqdm

from tasks.contracts.images import refuse_for_memory
from tasks.contracts.near_duplicates import HASH_SIDE

Grey = NDArray[np.uint8]

_JPEG, _EXIF = b"\xff\xd8\xff", b"Exif\0\0"
_HEADER_BYTES = 65_536
# Sharpness depends on resolution: it is measured on images shrunk to about this many pixels on their longer side.
_MEASURED_SIDE = 320
# imagehash takes the DCT of an image four times the hash's side; shrunk to it by us, it need not resize again.
_HASHED_SIDE = 4 * HASH_SIDE


class ImageMeasures(NamedTuple):
    """What one decode tells. Grey values are 0 to 255; nulls where the file could not be decoded to its end."""

    fault: str | None  # unreadable, truncated, too_large
    damage: str | None = None  # what the decoder complained of in a file that it could decode
    width: int | None = None  # after EXIF orientation
    height: int | None = None
    brightness: float | None = None  # mean grey value
    contrast: float | None = None  # standard deviation of grey values
    sharpness: float | None = None  # variance of the Laplacian over the variance of grey values
    hash: str | None = None  # perceptual hash, 64 hexadecimal digits


def measure_images(paths: Sequence[Path]) -> list[ImageMeasures]:
    """Decode and measure every file on all cores; decoding and measuring release the GIL."""
    threads_before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            progress = tqdm(pool.map(measure_image, paths), total=len(paths), desc="images", disable=None, delay=5)
            return list(progress)
    finally:
        cv2.setNumThreads(threads_before)


def measure_image(path: Path) -> ImageMeasures:
    """Decode one file to grey, with its EXIF orientation applied, and measure it."""
    grey, damage = _decode(path)
    if grey is None:
        refuse_for_memory(path)
        return ImageMeasures(fault=_fault(path))
    height, width = grey.shape
    small = _shrink(grey)
    mean, deviation = cv2.meanStdDev(small)
    _, edges = cv2.meanStdDev(cv2.Laplacian(small, cv2.CV_16S))
    return ImageMeasures(
        fault=None,
        damage=damage,
        width=width,
        height=height,
        brightness=float(mean[0, 0]),
        contrast=float(deviation[0, 0]),
        sharpness=float((edges[0, 0] / max(deviation[0, 0], 1.0)) ** 2),
        hash=_perceptual_hash(small),
    )


def _decode(path: Path) -> tuple[Grey | None, str | None]:
    """Upright grey pixels, None where there are none to be had, and what the decoder complained of.

    Damage in the middle of a JPEG lets decoders go on with wrong pixels. OpenCV keeps libjpeg's warnings to itself;
    simplejpeg tells them while it decodes to the same pixels, but knows nothing of orientation.
    """
    try:
        data = path.read_bytes()
        grey, complaint = _decode_jpeg(data) if data.startswith(_JPEG) else (None, None)
        if grey is None or _is_turned(data):
            grey = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    except FileNotFoundError:
        return None, None
    except cv2.error as error:
        if error.code == cv2.Error.STS_NO_MEM:
            raise MemoryError(f"{path}: {error.err}") from error
        return None, None
    return grey, complaint


def _decode_jpeg(data: bytes) -> tuple[Grey | None, str | None]:
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "GRAY", strict=True)[..., 0]), None
    except ValueError as error:
        # Words of its own are about rare kinds of JPEG that it does not know; the others are libjpeg's.
        return None, None if str(error).startswith("tj") else str(error)


def _is_turned(data: bytes) -> bool:
    """Whether EXIF says that the image is to be shown turned or mirrored."""
    start = data.find(_EXIF, 0, _HEADER_BYTES)
    if start < 0:
        return False
    # Not by opening the image with Pillow: that takes as long as the decode of a small one, and refuses a large one.
    exif = PillowImage.Exif()
    try:
        exif.load(data[start : start + _HEADER_BYTES])
        return bool(exif.get(ExifTags.Base.Orientation, 1) != 1)
    except (SyntaxError, ValueError, struct.error):
        return False


def _shrink(grey: Grey) -> Grey:
    factor = round(max(grey.shape) / _MEASURED_SIDE)
    if factor < 2:
        return grey
    size_wh = (max(1, grey.shape[1] // factor), max(1, grey.shape[0] // factor))
    return np.asarray(cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _perceptual_hash(grey: Grey) -> str:
    square = cv2.resize(grey, (_HASHED_SIDE, _HASHED_SIDE), interpolation=cv2.INTER_AREA)
    bits = imagehash.phash(PillowImage.fromarray(square), hash_size=HASH_SIDE).hash
    return np.packbits(bits).tobytes().hex()


def _fault(path: Path) -> str:
    """Why a file cannot be decoded: a header that can be read means that the rest is cut off or damaged."""
    try:
        with PillowImage.open(path):
            return "truncated"
    except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError):
        return "unreadable"
