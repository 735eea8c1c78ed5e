"""What an image file's bytes and header say, without decoding it."""

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image

_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_DECODED_PIXELS = 100_000_000


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of an image file without decoding it."""

    sha256: str
    size_wh: tuple[int, int] | None  # as it stands after its EXIF orientation; None: not an image that can be opened


def image_facts(path: Path) -> ImageFacts:
    """Hash a file and read its header."""
    # Pillow refuses to open larger ones for fear of decoding them; see `_exif`.
    Image.MAX_IMAGE_PIXELS = None
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        try:
            with Image.open(file) as image:
                return ImageFacts(sha256, _upright_wh(image))
        except MemoryError:
            raise
        except Exception:  # Pillow's readers raise whatever a broken header makes them stumble over
            return ImageFacts(sha256, None)


def _upright_wh(image: Image.Image) -> tuple[int, int]:
    """The size that `dataset.decoding.read_image` decodes to."""
    width, height = image.size
    # Of a TIFF, whose orientation is a tag of its own, Pillow gives the size as it is shown.
    is_turned = image.format != "TIFF" and _orientation(image) in _TURNED
    return (height, width) if is_turned else (width, height)


def _orientation(image: Image.Image) -> int | None:
    """That of the EXIF block, which decoders apply; Pillow by itself also takes one of XMP or of ImageMagick's text."""
    width, height = image.size
    if image.format == "PNG" and "exif" not in image.info and width * height <= _DECODED_PIXELS:
        # Pillow decodes all pixels to see whether the block comes behind them. It seldom does.
        image.load()
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
    except (SyntaxError, ValueError, struct.error):
        # A damaged block turns nothing.
        return None
    return exif.get(ExifTags.Base.Orientation)
