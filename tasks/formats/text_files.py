"""Text files among labels, as exporters and people's editors leave them."""

import codecs
import re
from pathlib import Path

from tasks.contracts.errors import PipelineError

_HEAD_BYTES = 1 << 20
_SAMPLE_BYTES = 4096  # looked at to tell a text from a binary file
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x19\x1c-\x1f]")  # control characters, but white space and ends of files
# Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """The text without its byte order mark: UTF-8, or UTF-16 and UTF-32 as Windows tools write them.

    Raises PipelineError if it is neither.
    """
    content = path.read_bytes()
    try:
        # With line ends of any machine, as files opened for text have them.
        return content.decode(_encoding(content)).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise PipelineError(
            "text is not UTF-8", f"{path}: {error.reason} at byte {error.start:,}", "Save it as UTF-8"
        ) from error


def head_of(path: Path) -> str:
    """How a text begins, for a look at what it may be; letters that are none in its encoding are left out."""
    with path.open("rb") as file:
        content = file.read(_HEAD_BYTES)
    return content.decode(_encoding(content), errors="ignore").replace("\r\n", "\n").replace("\r", "\n")


def is_text(path: Path) -> bool:
    """Whether a file is a text by how it begins, in whatever encoding."""
    with path.open("rb") as file:
        content = file.read(_SAMPLE_BYTES)
    encoding = _encoding(content)
    text = content.decode(encoding, errors="ignore")
    if _NO_TEXT.search(text):
        return False
    # Without a mark, whatever has a null at its first places would be UTF-16.
    is_marked = any(content.startswith(mark) for mark, _ in _MARKS)
    return is_marked or encoding == "utf-8" or 10 * sum(map(str.isascii, text)) >= 9 * len(text)


def is_number(text: str) -> bool:
    """Whether a text is a number, nan and inf among them: they stand where one belongs."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _encoding(content: bytes) -> str:
    marked = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), None)
    if marked is not None:
        return marked
    # Without a mark, every other byte of plain letters is null; no text in UTF-8 has any.
    pairs = content[:2]
    if len(pairs) == 2 and (pairs[0] == 0) != (pairs[1] == 0):
        return "utf-16-be" if pairs[0] == 0 else "utf-16-le"
    return "utf-8"
