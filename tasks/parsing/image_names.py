"""Which words and files are named after an image of an export."""

import re
from collections.abc import Container
from pathlib import Path

from tasks.formats.image_paths import is_image, near

_WORD = re.compile(r"[^\s\"'<>,;|()\[\]{}=]+")
_PLAIN_NUMBER = re.compile(r"(0|[1-9]\d*)(\.\d+)?")
# What tools put before or behind the name of an image.
_AFFIX = re.compile(
    r"^(gt|labels?|mask)[_-]|[_-](gt|labels?|masks?|ann|annotations?|box|boxes|bbox|bboxes|objects|seg|polygons?)$"
)
_BEHIND = re.compile(r"(?<=\.\w{3})[_-]\w+$|(?<=\.\w{4})[_-]\w+$")  # a class, behind the name of an image


class ImageNames:
    """The images that are there, by near stem."""

    def __init__(self, stems: Container[str]) -> None:
        self._stems = stems

    def has(self, word: str) -> bool:
        """Whether a word is the name, path or stem of an image that is there. A plain number is no stem."""
        name = word.strip().replace("\\", "/").rpartition("/")[2]
        if "." in name and not is_image(name):
            name = _BEHIND.sub("", name)
        if "." in name and is_image(name):
            name = name.rpartition(".")[0]
        elif _PLAIN_NUMBER.fullmatch(name):
            return False
        return near(name) in self._stems

    def has_stem(self, word: str) -> bool:
        """Whether a word is the stem of an image that is there, even if it is a number."""
        return near(word) in self._stems

    def are_in(self, text: str) -> bool:
        """Whether some word of a text is the name or stem of an image that is there."""
        return any(self.has(found[0].rstrip(":")) for found in _WORD.finditer(text))

    def has_file(self, path: Path) -> bool:
        """Whether a file is named after an image that is there: b.txt, b.jpg.txt, b_gt.txt and gt_b.txt after b.jpg."""
        parts = path.name.casefold().split(".")
        stems = {".".join(parts[:count]) for count in range(1, len(parts))}
        return any(near(name) in self._stems for stem in stems for name in (stem, _AFFIX.sub("", stem)))
