"""One decode per image, two if it is turned: whether it is whole, sharp, bright, and what it looks like."""

import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags
from PIL import Image as PillowImage
from tqdm import tqdm

from tasks.checks.descriptors import thumbnail
from tasks.checks.sharpness import LEAST_SIDE, halved, sharpness
from tasks.dataset.decoding import is_avif, refuse_for_memory, turned_avif

Grey = NDArray[np.uint8]

_JPEG, _EXIF = b"\xff\xd8\xff", b"Exif\0\0"
_HEADER_BYTES = 65_536
_PNG, _PNG_DEPTH = b"\x89PNG", 24  # where the bits of a channel stand
_TIFF, _JPEG_XL = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), (b"\xff\x0a", b"\0\0\0\x0cJXL ")
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_DARK = 64  # of 256: the upper eight of 16 bits, where the upper two are not used
_MEASURED_SIDE = 320  # pixels of the longer side, about, that grey values and the thumbnail are taken at


class ImageMeasures(NamedTuple):
    """What one decode tells. Grey values are 0 to 255; nulls where the file could not be decoded to its end."""

    fault: str | None  # unreadable, truncated, too_large
    damage: str | None = None  # what the decoder complained of in a file that it could decode
    width: int | None = None  # after EXIF orientation
    height: int | None = None
    brightness: float | None = None  # mean grey value
    contrast: float | None = None  # standard deviation of grey values
    sharpness: float | None = None  # this and the next two as in Sharpness; null where there are too few edges
    softest_direction: float | None = None
    detail: float | None = None
    thumbnail: Grey | None = None  # as in descriptors, of which near-duplicates are found
    peak: int = 0  # greatest value of an image of 16 bits that uses 14 or fewer; 0 for all others


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
    grey, (width, height), damage = _decode(path)
    if grey is None:
        refuse_for_memory(path)
        return ImageMeasures(fault=_fault(path))
    fine = halved(grey)
    small = _shrink(fine)
    mean, deviation = cv2.meanStdDev(small)
    sharp = sharpness(fine, small)
    return ImageMeasures(
        fault=None,
        damage=damage,
        width=width,
        height=height,
        brightness=float(mean[0, 0]),
        contrast=float(deviation[0, 0]),
        sharpness=sharp.edges,
        softest_direction=sharp.softest_direction,
        detail=sharp.detail,
        thumbnail=thumbnail(small),
        peak=_peak(path) if grey.max() < _DARK else 0,
    )


def _decode(path: Path) -> tuple[Grey | None, tuple[int, int], str | None]:
    """Upright grey pixels, None where there are none to be had; the image's size, and what the decoder complained of.

    Damage in the middle of a JPEG lets decoders go on with wrong pixels. OpenCV keeps libjpeg's warnings to itself;
    simplejpeg tells them while it decodes to the same pixels, but knows nothing of orientation. Of a large JPEG there
    are as many pixels as are measured, which saves the time that measuring takes.
    """
    try:
        data = path.read_bytes()
        grey, size_wh, complaint = _decode_jpeg(data) if data.startswith(_JPEG) else (None, (0, 0), None)
        if grey is None or _is_turned(data):
            grey = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
            if grey is not None and is_avif(data[:12]):
                grey = np.asarray(turned_avif(grey, data), dtype=np.uint8)
            size_wh = (0, 0) if grey is None else (grey.shape[1], grey.shape[0])
    except FileNotFoundError:
        return None, (0, 0), None
    except cv2.error as error:
        if error.code == cv2.Error.STS_NO_MEM:
            raise MemoryError(f"{path}: {error.err}") from error
        return None, (0, 0), None
    return grey, size_wh, complaint


def _decode_jpeg(data: bytes) -> tuple[Grey | None, tuple[int, int], str | None]:
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        least = {"min_height" if height > width else "min_width": LEAST_SIDE}
        # The library shrinks by eighths; by less than half it would take longer than without.
        scaled = least if max(width, height) >= 2 * LEAST_SIDE else {}
        return np.asarray(simplejpeg.decode_jpeg(data, "GRAY", strict=True, **scaled)[..., 0]), (width, height), None
    except ValueError as error:
        # Words of its own are about rare kinds of JPEG that it does not know; the others are libjpeg's.
        return None, (0, 0), None if str(error).startswith("tj") else str(error)


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
    # OpenCV shrinks by a whole factor several times as fast as by nearly that.
    whole = grey[: size_wh[1] * factor, : size_wh[0] * factor]
    return np.asarray(cv2.resize(whole, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _peak(path: Path) -> int:
    """The greatest value of an image of 16 bits, of which decoders keep the upper eight; 0 for other images."""
    data = path.read_bytes()
    if data.startswith(_PNG) and data[_PNG_DEPTH] != 16:
        return 0
    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    return int(pixels.max()) if pixels is not None and pixels.dtype == np.uint16 else 0


def _fault(path: Path) -> str:
    """Why a file cannot be decoded: a header that can be read means that the rest is cut off or damaged."""
    try:
        data = path.read_bytes()
        if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
            return "heic"
        if data.startswith(_JPEG_XL):
            return "jxl"
        if data.startswith(_TIFF):
            pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
            if pixels is not None and pixels.dtype not in (np.uint8, np.uint16):
                return "float" if np.issubdtype(pixels.dtype, np.floating) else "wide"
    except (OSError, cv2.error):
        pass
    try:
        with PillowImage.open(path):
            return "truncated"
    except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError):
        return "unreadable"
