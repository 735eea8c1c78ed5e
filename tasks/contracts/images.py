"""Where an image of the tables lies, and how it is decoded: one way for every stage."""

from pathlib import Path

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
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)


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
