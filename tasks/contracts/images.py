"""Where an image of the tables lies, and how it is decoded: one way for every stage."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import PipelineError

Image = NDArray[np.uint8]


def image_path(file: str, raw: Path, annotations: Path) -> Path:
    """Where `images.file` lies: `raw/...` below the ingest folder, `frames/...` below the parse folder."""
    root, _, rest = file.partition("/")
    return raw / rest if root == "raw" else annotations / root / rest


def read_image(path: Path) -> Image:
    """Decode an image to RGB, uint8, (height, width, 3), with its EXIF orientation applied.

    Raises ValueError if the bytes are no image that can be decoded, or one of more pixels than OpenCV takes.
    """
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


def read_held_image(path: Path) -> Image:
    """Decode an image that the tables say is held and readable.

    Raises PipelineError if it is so no longer.
    """
    try:
        return read_image(path)
    except (ValueError, OSError) as error:
        what = "cannot be decoded" if path.is_file() else "is not there"
        raise PipelineError(
            f"image {what} any more", str(path), "Bring it back, or run ingest and parse again: they leave it out"
        ) from error
