"""Names of image files as label files write them, often on other machines, and when two mean the same file.

The same file has names that differ in case, composed accents, percent signs of URLs, and in letters that a zip of
another alphabet lost: what zip tools read as code page 437 where Windows wrote its own.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

_JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
IMAGE_SUFFIXES = _JPEG | {
    *(".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".jp2", ".gif", ".ppm", ".pgm", ".pnm", ".avif"),
    # Of these no decoder is at hand: check says so, where else an image would seem not to be there at all.
    *(".heic", ".heif", ".jxl"),
}
# What zip tools of Windows write without saying so, by how much they are met.
_ZIP_ENCODINGS = ("gb18030", "big5", "cp932", "cp949", "cp866", "cp1251", "cp1252", "cp850", "cp1250", "cp1253")


def path_parts(path: str) -> list[str]:
    """The parts of a path of any machine, without those that lead out of a folder."""
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]


def is_image(path: str) -> bool:
    """Whether a path ends as an image does."""
    return PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES


def near(name: str) -> str:
    """Equal for names that differ in case, composition, percent signs and spaces at their ends only."""
    if "%" in name:
        name = unquote(name)
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    return name.strip().casefold()


def near_forms(name: str) -> Iterator[str]:
    """The near names that the file of an image may have; the likeliest first."""
    yield near(name)
    if name.isascii() and "%" not in name:
        return
    plain = unicodedata.normalize("NFC", unquote(name))
    for encoding in _ZIP_ENCODINGS if not plain.isascii() else ():
        for read_as in ("cp437", "utf-8"):
            # Two bytes of GBK may happen to be one letter of UTF-8.
            with suppress(UnicodeError):
                yield near(plain.encode(encoding).decode(read_as))


def base_name(name: str) -> str:
    """The last part of an image's name, as files are indexed by it."""
    return composed(name.replace("\\", "/").rpartition("/")[2])


def near_name(name: str) -> str:
    """Equal for names that differ in their endings, or as `near` says."""
    return near(without_ending(name))


def is_nearly(name: str, path: str) -> bool:
    """Whether a file was found for an image by a name that is not its own."""
    base, found = base_name(name), base_name(path)
    return base != found and (has_image_ending(base) or base != without_ending(found))


@dataclass(frozen=True, slots=True)
class RepeatedNames:
    """What several different images of a label file are called alike."""

    bases: frozenset[str]
    near_names: frozenset[str]  # of whole paths, and of their last parts


def repeated_names(names: Iterable[str]) -> RepeatedNames:
    """The base names, and the near names, that several different names have."""
    bases: dict[str, str] = {}
    nearly: dict[str, str] = {}
    once = list(dict.fromkeys(names))
    keys = [(key, name) for name in once for key in {near_name(name), base_name(near_name(name))}]
    return RepeatedNames(
        frozenset(base for name in once if bases.setdefault(base := base_name(name), name) != name),
        frozenset(key for key, name in keys if nearly.setdefault(key, name) != name),
    )


def without_ending(name: str) -> str:
    """A path with / and without the ending that it has as an image."""
    path = composed(name.replace("\\", "/"))
    return path.rpartition(".")[0] if has_image_ending(path) else path


def has_ending_of(name: str, path: str) -> bool:
    """Whether a file's ending is that of an image's name, where it has one."""
    wanted, found = (PurePosixPath(one).suffix.lower() for one in (name.replace("\\", "/"), path))
    return wanted not in IMAGE_SUFFIXES or wanted == found or {wanted, found} <= _JPEG


def has_image_ending(name: str) -> bool:
    """Whether a name ends as an image does."""
    return f".{name.rpartition('.')[2]}".lower() in IMAGE_SUFFIXES


def composed(text: str) -> str:
    """The text with each accented letter as one character."""
    # Archives made on macOS spell é as two characters, label files as one.
    return text if text.isascii() else unicodedata.normalize("NFC", text)
