"""What could be labels by its content, in a format that is not read: told, so that nobody misses them in silence."""

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.errors import PipelineError
from tasks.formats import xml_stream
from tasks.formats.text_files import head_of
from tasks.formats.written_paths import is_image

IGNORE = "Export them in a format that is read, or name them in parse.ignore"
_COCO = ("images", "annotations", "categories")
# Keys under which tools put where an object is.
_PLACES = frozenset(
    {
        *(
            "bbox",
            "bboxes",
            "box",
            "boxes",
            "box2d",
            "bounding_box",
            "boundingbox",
            "bounding_boxes",
            "rectanglelabels",
        ),
        *("polygon", "polygons", "polygonlabels", "segmentation", "keypoints", "shape_attributes", "exterior"),
        *("xmin", "x_min", "topx", "bndbox", "rle", "cuboid", "shape_type"),
    }
)
_SIDES = (
    frozenset({"x", "y", "width", "height"}),
    frozenset({"left", "top", "width", "height"}),
    frozenset({"x1", "y1", "x2", "y2"}),
)
_TAGS = frozenset(
    {"object", "box", "bndbox", "robndbox", "bbox", "polygon", "rect", "rectangle", "track", "hrsc_object"}
)
_COLUMNS = re.compile(r"(^|[._])(bbox|bboxes|boxes|objects|xmin|x_min|annotations|segmentation)($|[._])", re.IGNORECASE)
_TF_BOXES = re.compile(rb"image/object/|bbox/xmin")
_LABEL_SUFFIXES = frozenset({".xml", ".json", ".yaml", ".yml", ".data", ".csv", ".txt"})
_HEAD_BYTES = 1 << 20
_DEPTH, _ITEMS = 8, 20  # of JSON that is looked through
_ROWS = 200


def json_fault(path: Path, content: object) -> PipelineError | None:
    """The fault of a JSON that is no format that is read, but looks like labels."""
    if isinstance(content, dict):
        lacking = [key for key in _COCO if not isinstance(content.get(key), list)]
        if len(lacking) == 1 and _is_coco(path, content, lacking[0]):
            return PipelineError(
                f"COCO without `{lacking[0]}`", str(path), "Add the key, or name the file in parse.ignore"
            )
    kind = _json_kind(content)
    if kind is None and not has_places(content):
        return None
    return PipelineError(f"labels in a format that is not read ({kind or 'JSON of its own kind'})", str(path), IGNORE)


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


def has_places(content: object, depth: int = _DEPTH) -> bool:
    """Whether JSON tells somewhere where an object is; only its first items are looked at."""
    if depth == 0 or not isinstance(content, dict | list):
        return False
    if isinstance(content, list):
        return any(has_places(item, depth - 1) for item in content[:_ITEMS])
    keys = {str(key).lower() for key, value in content.items() if value not in (None, "", [])}
    if not _PLACES.isdisjoint(keys) or any(sides <= keys for sides in _SIDES):
        return True
    return any(has_places(value, depth - 1) for value in list(content.values())[:_ITEMS])


def why_labels(path: Path, *, is_named_like_image: bool) -> str | None:
    """What kind of labels a file seems to hold that no reader takes; None where it holds none.

    is_named_like_image: an image has its stem, or it is in a folder of labels.
    """
    suffix = ".tfrecord" if ".tfrecord" in path.name.lower() else path.suffix.lower()
    if suffix == ".txt":
        return _text_kind(path, is_named_like_image=is_named_like_image)
    kind, holds_labels = _KINDS.get(suffix, ("", lambda _: False))
    return kind if holds_labels(path) else None


def _is_label_name(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _LABEL_SUFFIXES


def _zipped(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeError):
        return []


def _text_kind(path: Path, *, is_named_like_image: bool) -> str | None:
    lines = head_of(path).splitlines()[:_ROWS]
    rows = [re.split(r"[\s,;]+", line.strip()) for line in lines if line.strip()]
    if not rows:
        return None
    if all(is_image(row[0]) and _numbers(row[1:]) >= 4 for row in rows):
        return "rows of an image and its boxes"
    names = [row for row in rows if is_image(row[0])]
    numbers = [row for row in rows if _numbers(row) == len(row)]
    if names and len(names) + len(numbers) == len(rows) and any(len(row) >= 4 for row in numbers):
        return "an image and the rows of its boxes, such as WIDER FACE"
    if path.stem.lower() == "gt" and all(_numbers(row) >= 6 for row in rows):
        return "MOT"
    # DOTA has two lines of its own before.
    body = [row for row in rows if not row[0].lower().startswith(("imagesource", "gsd"))]
    # One odd row must not hide the others.
    if is_named_like_image and 2 * sum(_numbers(row) >= 4 for row in body) >= max(1, len(body)):
        return "rows of numbers beside an image, such as KITTI or DOTA"
    return None


def _numbers(words: list[str]) -> int:
    return sum(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", word, re.IGNORECASE) is not None for word in words)


def _json_lines(path: Path) -> Iterator[object]:
    for line in head_of(path).splitlines()[:_ROWS]:
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            continue


def _xml_tags(path: Path) -> set[str]:
    tags = _Tags()
    try:
        for _ in xml_stream.feed(path, tags):
            if tags.count > _ROWS * 10:
                break
    except PipelineError:
        pass  # told when it was looked at first
    return tags.found


class _Tags:
    """Keeps the names of elements."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.count = 0

    def start(self, tag: str, _attributes: object) -> None:
        """Note one."""
        self.found.add(tag.lower())
        self.count += 1


def _parquet_columns(path: Path) -> list[str]:
    try:
        return [column.path for column in pq.ParquetFile(path).schema]
    except (pa.ArrowException, OSError):
        return []


def _is_tf_record(path: Path) -> bool:
    with path.open("rb") as file:
        return _TF_BOXES.search(file.read(_HEAD_BYTES)) is not None


_KINDS: dict[str, tuple[str, Callable[[Path], bool]]] = {
    ".ndjson": ("JSON lines with places of objects", lambda path: any(map(has_places, _json_lines(path)))),
    ".jsonl": ("JSON lines with places of objects", lambda path: any(map(has_places, _json_lines(path)))),
    ".manifest": ("JSON lines with places of objects", lambda path: any(map(has_places, _json_lines(path)))),
    ".xml": ("XML with objects", lambda path: not _TAGS.isdisjoint(_xml_tags(path))),
    ".parquet": ("Parquet with boxes", lambda path: any(map(_COLUMNS.search, _parquet_columns(path)))),
    ".tfrecord": ("TFRecord", _is_tf_record),
    ".record": ("TFRecord", _is_tf_record),
    ".zip": ("a zip within an export, which stays packed", lambda path: any(map(_is_label_name, _zipped(path)))),
}
