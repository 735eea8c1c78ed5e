"""What an image file's bytes and header say, without decoding it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image

_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_DECODED_PIXELS = 100_000_000


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Of one file."""

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
                width, height = image.size
                turned = _exif(image).get(ExifTags.Base.Orientation) in _TURNED
        except MemoryError:
            raise
        except Exception:  # Pillow's readers raise whatever a broken header makes them stumble over
            return ImageFacts(sha256, None)
    return ImageFacts(sha256, (height, width) if turned else (width, height))


def _exif(image: Image.Image) -> Image.Exif:
    # For a PNG, Pillow decodes all pixels to see whether the orientation comes behind them. It seldom does.
    width, height = image.size
    return image.getexif() if width * height <= _DECODED_PIXELS else Image.Image.getexif(image)
