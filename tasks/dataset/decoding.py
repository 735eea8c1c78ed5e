"""Where an image of the tables lies, and how it is decoded: one way for every stage.

A small file may hold a picture of any size. Its header says so: pictures of more pixels than are allowed are refused
before a decoder asks for the memory.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from tasks.contracts.errors import PipelineError

Image = NDArray[np.uint8]
_DECODER_BYTES = 8  # per pixel, at most: of the pixels and of what decoders keep beside them
MAX_MEGAPIXELS = 200.0  # 600 MB decoded; of images that are in no table, whose limit is parse.max_megapixels


def image_path(file: str, raw: Path, annotations: Path) -> Path:
    """Where `images.file` lies: `raw/...` below the ingest folder, `frames/...` below the parse folder."""
    root, _, rest = file.partition("/")
    return raw / rest if root == "raw" else annotations / root / rest


def megapixels(size_wh: tuple[int, int]) -> float:
    """Millions of pixels."""
    return size_wh[0] * size_wh[1] / 1e6


def header_size(path: Path) -> tuple[int, int] | None:
    """Width and height as the header has them, before any EXIF orientation; None if there is no such header."""
    # Pillow would refuse large ones, for fear of decoding them.
    PillowImage.MAX_IMAGE_PIXELS = None
    try:
        with PillowImage.open(path) as image:
            return image.size
    except MemoryError:
        raise
    except Exception:  # Pillow's readers raise whatever a broken header makes them stumble over
        return None


def read_image(path: Path, max_megapixels: float | None = MAX_MEGAPIXELS) -> Image:
    """Decode an image to RGB, uint8, (height, width, 3), with its EXIF orientation applied.

    max_megapixels: None for images that parse has let into the tables. Raises ValueError if the bytes are no image that
    can be decoded, or one of more pixels, and MemoryError if there is no memory for it.
    """
    size_wh = None if max_megapixels is None else header_size(path)
    if size_wh and max_megapixels is not None and megapixels(size_wh) > max_megapixels:
        raise ValueError(
            f"{path} cannot be decoded: it is {size_wh[0]} x {size_wh[1]}, {megapixels(size_wh):,.0f} megapixels, "
            f"and {max_megapixels:,.0f} are allowed"
        )
    # imdecode instead of imread: paths with non-ASCII names work on every platform.
    content = np.fromfile(path, dtype=np.uint8)
    try:
        decoded = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    except cv2.error as error:
        if error.code == cv2.Error.STS_NO_MEM:
            raise MemoryError(f"{path}: {error.err}") from error
        # Larger than OpenCV's limits, which are 2^30 pixels and 2^20 a side.
        raise ValueError(f"{path} cannot be decoded: {error.err}") from error
    if decoded is None:
        refuse_for_memory(path)
        raise ValueError(f"{path} cannot be decoded")
    upright = turned_avif(decoded, content.tobytes()) if is_avif(content[:12].tobytes()) else decoded
    return np.asarray(cv2.cvtColor(upright, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def is_avif(head: bytes) -> bool:
    """Whether a file that begins so is AVIF."""
    return head[4:12] in (b"ftypavif", b"ftypavis")


def turned_avif(decoded: NDArray[Any], content: bytes) -> NDArray[Any]:
    """Upright pixels of an AVIF: its boxes `irot` and `imir` say how it is to be turned and mirrored.

    OpenCV leaves that undone, unlike the EXIF orientation of other kinds. (ISO/IEC 23008-12, 6.5.10 and 6.5.12)
    """
    head = content[: content.find(b"mdat")]
    turn, mirror = head.find(b"irot"), head.find(b"imir")
    if turn >= 0:
        decoded = np.rot90(decoded, head[turn + 4] & 3)
    if mirror >= 0:
        decoded = decoded[:, ::-1] if head[mirror + 4] & 1 else decoded[::-1]
    return np.ascontiguousarray(decoded)


def refuse_for_memory(path: Path) -> None:
    """Raises MemoryError if that may be why a decoder gave an image up without a word."""
    width, height = header_size(path) or (0, 0)
    try:
        np.empty((height, width, _DECODER_BYTES), dtype=np.uint8)
    except MemoryError as error:
        raise MemoryError(f"{path}, {width} x {height}") from error


def read_listed_image(path: Path) -> Image:
    """Decode an image that the tables say is there and readable.

    Raises PipelineError if it is so no longer.
    """
    try:
        return read_image(path, max_megapixels=None)
    except (ValueError, FileNotFoundError) as error:
        what = "cannot be decoded" if path.is_file() else "is not there"
        raise PipelineError(
            f"image {what} any more", str(path), "Bring it back, or run ingest and parse again: they leave it out"
        ) from error
