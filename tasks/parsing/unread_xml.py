"""XML that could be labels by its elements, in a format that is not read."""

from collections.abc import Mapping
from pathlib import Path

from tasks.contracts.errors import PipelineError
from tasks.formats import xml_stream
from tasks.formats.text_files import is_number
from tasks.parsing.image_names import ImageNames
from tasks.parsing.location_signs import are_place_names, is_place_text

_TAGS = frozenset(
    {"object", "box", "bndbox", "robndbox", "bbox", "polygon", "rect", "rectangle", "track", "hrsc_object"}
)
# Elements of what people drew, which may name no image.
_ABOUT_LABELS = frozenset({"annotation", "annotations", "asap_annotations", "region", "regions", "roi", "rois"})
_NO_LABELS = frozenset({"pamdataset", "xmpmeta", "svg", "kml", "gpx"})  # what is beside a picture, and drawings
_MOST = 100_000  # elements that are looked at


def xml_kind(path: Path, names: ImageNames) -> str | None:
    """What kind of labels an XML seems to hold; None where it holds none."""
    found = _Elements(names, is_named=names.has_file(path))
    try:
        for _ in xml_stream.feed(path, found):
            if found.is_label or found.count > _MOST:
                break
    except PipelineError:
        pass  # told when it was looked at first
    return "XML with objects" if found.is_label else None


class _Elements:
    """Looks for the name of an image and for places, in attributes and texts."""

    def __init__(self, names: ImageNames, *, is_named: bool) -> None:
        self.count = 0
        self._names, self._is_named = names, is_named
        self._root, self._has_tag, self._has_place = "", False, False
        self._points = 0
        self._text = ""  # since an element began
        self._numeric: list[list[str]] = [[]]  # names of the elements within each open one whose text is a number

    @property
    def is_label(self) -> bool:
        """Whether what came so far could be labels."""
        has_place = self._has_place or self._points > 1
        return self._root not in _NO_LABELS and (self._has_tag or (self._is_named and has_place))

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Look at an element's name, whatever its namespace, and its attributes."""
        name = _plain(tag)
        self._root = self._root or name
        self.count += 1
        self._has_tag = self._has_tag or name in _TAGS
        self._is_named = self._is_named or name in _ABOUT_LABELS
        self._look([key.lower() for key, value in attributes.items() if is_number(value)])
        for value in attributes.values():
            self._read(value)
        self._text = ""
        self._numeric.append([])

    def end(self, tag: str) -> None:
        """Look at the text of an element, and at all elements within it that are numbers."""
        self._read(self._text)
        self._look(self._numeric.pop())
        if is_number(self._text):
            self._numeric[-1].append(_plain(tag))
        self._text = ""

    def data(self, text: str) -> None:
        """Keep a text, which may be a piece of one."""
        self._text += text

    def _look(self, numeric: list[str]) -> None:
        self._has_place = self._has_place or are_place_names(set(numeric))
        self._points += {"x", "y"} <= set(numeric)

    def _read(self, text: str) -> None:
        self._is_named = self._is_named or self._names.has(text)
        self._has_place = self._has_place or is_place_text(text)


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2].lower()
