"""Names that mean the same file although they are not the same letters.

Case, composed accents, percent signs of URLs, and names that a zip of another alphabet lost: what zip tools read as
code page 437 where Windows wrote its own.
"""

import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import unquote

# What zip tools of Windows write without saying so, by how much they are met.
_ZIP_ENCODINGS = ("gb18030", "big5", "cp932", "cp949", "cp866", "cp1251", "cp1252", "cp850", "cp1250", "cp1253")


def near(name: str) -> str:
    """Equal for names that differ in case, composition, percent signs and spaces at their ends only."""
    if "%" in name:
        name = unquote(name)
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    return name.strip().casefold()


def near_forms(name: str) -> Iterator[str]:
    """The near names by which a file may be held that is called so; the likeliest first."""
    yield near(name)
    if name.isascii() and "%" not in name:
        return
    plain = unicodedata.normalize("NFC", unquote(name))
    for encoding in _ZIP_ENCODINGS if not plain.isascii() else ():
        for read_as in ("cp437", "utf-8"):
            # Two bytes of GBK may happen to be one letter of UTF-8.
            with suppress(UnicodeError):
                yield near(plain.encode(encoding).decode(read_as))
