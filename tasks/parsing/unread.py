"""What could be labels by its content, in a format that is not read: told, so that nobody misses them in silence."""

import json
import re
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

from tasks.contracts.errors import PipelineError
from tasks.formats.image_paths import is_image
from tasks.formats.text_files import head_of, is_text
from tasks.parsing import companions
from tasks.parsing.image_names import ImageNames
from tasks.parsing.location_signs import NUMBER, could_be_labels, has_place_keys, has_place_members, has_places
from tasks.parsing.unread_binary import LOOKED_INTO, binary_kind
from tasks.parsing.unread_tables import table_kind
from tasks.parsing.unread_xml import xml_kind
from tasks.parsing.unread_yaml import plain_yaml

UNREAD = "could be labels, in a format that is not read"
IGNORE = "Export them in a format that is read"
_COCO = ("images", "annotations", "categories")
_ITEMS = 20  # of annotations that are looked at
_ROWS = 200
# Lines of DOTA and of landmarks that are before or around their rows.
_HEADS = ("imagesource", "gsd", "version", "n_points")
# Words of rows; brackets and signs around numbers are a matter of taste.
_WORD = re.compile(r"[^\s,;|()\[\]{}=]+")
_SAYS_SO = re.compile(r"(^|[_\W])(bounding_?box|bbox|box)(es)?($|[_\W])|^det$")  # a file's name, of what it holds


class UnreadError(PipelineError):
    """A file could be labels, in a format that is not read. kind: which one it seems to be."""

    def __init__(self, kind: str, path: Path) -> None:
        super().__init__(f"{UNREAD} ({kind})", str(path), IGNORE)
        self.kind = kind


def json_fault(path: Path, text: str, content: object, images: Container[str]) -> PipelineError | None:
    """The fault of a JSON that is no format that is read, but looks like labels.

    content: of `text`. images: the near stems of all.
    """
    if companions.is_companion(path.name):
        return None
    if isinstance(content, dict):
        lacking = [key for key in _COCO if not isinstance(content.get(key), list)]
        if len(lacking) == 1 and _is_coco(path, content, lacking[0]):
            return PipelineError(f"COCO without `{lacking[0]}`", str(path), "Add the key")
    kind = _json_kind(content)
    if kind is None and not _holds_labels(path, content, ImageNames(images)) and not has_place_members(text):
        return None
    return UnreadError(kind or "JSON of its own kind", path)


def _is_coco(path: Path, content: dict[str, Any], lacking: str) -> bool:
    if lacking == "annotations":
        # `image_info_test.json` of the challenge lists images that nobody labelled.
        first = next(iter(content["images"]), None)
        return isinstance(first, dict) and "file_name" in first and not path.name.lower().startswith("image_info")
    # Captions of images are no objects; nor is what a labelling tool tells of its project.
    return any(
        isinstance(one, dict) and not {"bbox", "segmentation", "keypoints", "category_id"}.isdisjoint(one)
        for one in content["annotations"][:_ITEMS]
    )


def _json_kind(content: object) -> str | None:
    first = content
    if isinstance(content, list):
        first = next(iter(content), None)
    elif isinstance(content, dict) and "_via_img_metadata" not in content:
        first = next(iter(content.values()), None)
    if isinstance(content, dict) and "_via_img_metadata" in content:
        return "VGG Image Annotator"
    if not isinstance(first, dict):
        return None
    if isinstance(content, list) and {"image_id", "bbox", "score"} <= first.keys():
        return "COCO results, which are predictions"
    if {"filename", "regions"} <= first.keys():
        return "VGG Image Annotator"
    if isinstance(content, list) and "data" in first and not {"annotations", "completions"}.isdisjoint(first):
        return "Label Studio's JSON; it exports COCO and YOLO too"
    return None


def _holds_labels(path: Path, content: object, names: ImageNames) -> bool:
    return has_places(content) or could_be_labels(content, names, is_named_like_image=names.has_file(path))


def why_labels(path: Path, names: ImageNames, *, is_in_label_folder: bool) -> str | None:
    """What kind of labels a file seems to hold that no reader takes; None where it holds none."""
    kind = binary_kind(path, names)
    suffix = path.suffix.lower()
    is_companion = companions.is_companion(path.name, is_in_label_folder=is_in_label_folder)
    if kind is not None or is_companion or suffix in LOOKED_INTO:
        return kind
    if not is_text(path):
        return "a binary file of a kind that is not known"
    if companions.is_about(path.name) and not names.has_file(path):
        return None
    look = _LOOKS.get(suffix)
    return look(path, names) if look else _text_kind(path, names, is_in_label_folder=is_in_label_folder)


def _text_kind(path: Path, names: ImageNames, *, is_in_label_folder: bool) -> str | None:
    text = head_of(path)
    if text.lstrip().startswith("<"):
        return xml_kind(path, names)
    if text.lstrip().startswith(("{", "[")):
        return "JSON lines with places of objects" if _is_json_of_labels(path, text, names) else None
    words = ([word.rstrip(":") for word in _WORD.findall(line)] for line in text.splitlines()[:_ROWS])
    rows = list(filter(None, words))
    return _rows_kind(path, rows, names, is_in_label_folder=is_in_label_folder) if rows else None


def _rows_kind(path: Path, rows: list[list[str]], names: ImageNames, *, is_in_label_folder: bool) -> str | None:
    kind = _named_rows_kind(rows, names)
    if kind is not None:
        return kind
    # What trackers write ends with a place in the world that nobody knows.
    if all(row[-3:] == ["-1"] * 3 and len(row) == 10 for row in rows):
        return "MOT"
    if path.stem.lower() == "gt" and all(_numbers(row) >= 6 for row in rows):
        return "MOT"
    body = [row for row in rows if not row[0].lower().startswith(_HEADS)]
    # One odd row must not hide the others.
    half = max(1, len(body) / 2)
    says_so = _SAYS_SO.search(path.stem.lower()) is not None
    places = [row for row in body if _numbers(row) >= (max(4, len(row) / 2) if says_so else 4)]
    if (is_in_label_folder or names.has_file(path) or says_so) and len(places) >= half:
        return "rows of numbers beside an image, such as KITTI or DOTA"
    # A name or a number of visibility may stand beside the two; prose has more words.
    points = [row for row in body if _numbers(row) >= 2 and 2 * _numbers(row) > len(row)]
    is_counted = any(row[0].lower().startswith("n_points") for row in rows)
    if (is_counted or names.has_file(path)) and len(points) >= half:
        return "rows of points, such as landmarks"
    return None


def _named_rows_kind(rows: list[list[str]], names: ImageNames) -> str | None:
    """What kind of labels rows seem to be that tell of which image they are."""
    if all(is_image(row[0]) and _numbers(row[1:]) >= 4 for row in rows):
        return "rows of an image and its boxes"
    # In prose words outweigh numbers. An image on which nothing is labelled has a row without numbers.
    named = [row for row in rows if any(is_image(word) or names.has(word) for word in row)]
    if 2 * len(named) > len(rows) and any(max(4, len(row) / 2) <= _numbers(row) for row in named):
        return "rows of an image and numbers"
    heads = [row for row in rows if is_image(row[0])]
    numbers = [row for row in rows if _numbers(row) == len(row)]
    if heads and len(heads) + len(numbers) == len(rows) and any(len(row) >= 4 for row in numbers):
        return "an image and the rows of its boxes, such as WIDER FACE"
    return None


def _numbers(words: list[str]) -> int:
    return sum(NUMBER.fullmatch(word) is not None for word in words)


def _is_json_of_labels(path: Path, text: str, names: ImageNames) -> bool:
    contents = list(_json_contents(text))
    # A single value that is cut short at the end of what is looked at still has its keys.
    return any(_holds_labels(path, content, names) for content in contents) or (not contents and has_place_keys(text))


def _json_contents(text: str) -> Iterator[object]:
    """The JSON values of a text: the whole of it, or else each line that is one."""
    for part in [text, *text.splitlines()]:
        try:
            yield json.loads(part)
        except (ValueError, RecursionError):
            continue
        if part is text:
            return


def _yaml_kind(path: Path, names: ImageNames) -> str | None:
    text = head_of(path)
    content = plain_yaml(text)
    is_label = (has_places(content) and names.are_in(text)) or could_be_labels(
        content, names, is_named_like_image=names.has_file(path)
    )
    return "YAML with places of objects" if is_label else None


_LOOKS: dict[str, Callable[[Path, ImageNames], str | None]] = {
    ".csv": table_kind,
    ".tsv": table_kind,
    ".xml": xml_kind,
    ".yaml": _yaml_kind,
    ".yml": _yaml_kind,
}
