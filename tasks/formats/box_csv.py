"""Tables of boxes as CSV: TensorFlow's `filename,width,height,class,xmin,ymin,xmax,ymax` and its kin, one row a box.

Without a header there are RetinaNet's `path,x1,y1,x2,y2,class` and TensorFlow's eight columns. A row without
coordinates lists an image on which nothing is labelled.
"""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.errors import PipelineError
from tasks.formats.geometry import Box
from tasks.formats.image_paths import is_image
from tasks.formats.labelled_image import NOT_NUMBERS, Details, LabelledImage, LabelledObject, Origin
from tasks.formats.text_files import head_of, read_text

_COLUMNS = {
    "image": "filename file_name file image image_name imagename image_path path img img_name img_path",
    "label": "class label class_name classname name category label_name class_label",
    "width": "width image_width img_width",
    "height": "height image_height img_height",
    "x_min": "xmin x_min x1 left xtl minx roi.x1 bbox_left bbox_xmin bbox_x bbox_x1",
    "y_min": "ymin y_min y1 top ytl miny roi.y1 bbox_top bbox_ymin bbox_y bbox_y1",
    "x_max": "xmax x_max x2 right xbr maxx roi.x2 bbox_right bbox_xmax bbox_x2",
    "y_max": "ymax y_max y2 bottom ybr maxy roi.y2 bbox_bottom bbox_ymax bbox_y2",
    "box_width": "bbox_width bbox_w",
    "box_height": "bbox_height bbox_h",
}
_MEANINGS = {name: meaning for meaning, names in _COLUMNS.items() for name in names.split()}
_OTHER_BOXES = frozenset({"bbox", "box", "boxes", "bboxes", "region_shape_attributes", "polygon", "segmentation"})
_LABEL_STUDIO = ("rectanglelabels", "polygonlabels", "brushlabels")
_SCORES = frozenset({"score", "confidence", "conf", "probability"})
_OF_IMAGE = ("image", "width", "height")
_RETINANET = ("image", "x_min", "y_min", "x_max", "y_max", "label")
_TENSORFLOW = ("image", "width", "height", "label", "x_min", "y_min", "x_max", "y_max")
_NOWHERE: Box = (math.nan, math.nan, math.nan, math.nan)
_PREAMBLE = re.compile(r"\ufeff?(?:[ \t]*(?:#[^\n]*|\"?sep=[^\n]*)?\n)+|\ufeff", re.IGNORECASE)
_SEPARATOR = re.compile(r"^\ufeff?\"?sep=([^\n\"])", re.IGNORECASE | re.MULTILINE)
_MOST_PIXELS = 2**31  # of a side


@dataclass(frozen=True, slots=True)
class BoxTable:
    """A CSV with a box a row, and what its columns mean."""

    path: Path
    places: Mapping[str, int]  # of its columns, by what they mean
    rows: list[list[str]]  # without the header

    def names(self) -> list[str]:
        """The images' names, as they come."""
        return [name for row in self.rows if (name := self.value(row, "image"))]

    def value(self, row: list[str], meaning: str) -> str:
        """A field without spaces around it; empty where there is none."""
        place = self.places.get(meaning)
        return row[place].strip() if place is not None and place < len(row) else ""


def read_box_table(path: Path) -> BoxTable | None:
    """Read a CSV; None for one without boxes. Raises PipelineError naming what a table of boxes lacks."""
    text, delimiter = without_preamble(head_of(path))
    head = text.split("\n", 5)[:5]
    first = _first_row(head[0], delimiter)
    if not first or (_without_header(first) is None and not _has_boxes(first)):
        _refuse_others(path, first, "\n".join(head))
        return None
    try:
        every = list(csv.reader(io.StringIO(without_preamble(read_text(path))[0], newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise PipelineError("CSV cannot be read", f"{path}: {error}", "Export the labels again") from error
    rows = [row for row in every if any(map(str.strip, row))]
    header = list(map(_column, rows[0]))
    if (meanings := _without_header(rows[0])) is not None:
        return BoxTable(path, {meaning: place for place, meaning in enumerate(meanings)}, rows)
    places: dict[str, int] = {}
    for place, name in enumerate(header):
        if name in _MEANINGS:
            places.setdefault(_MEANINGS[name], place)
    _refuse_lack(path, header, places, sorted(_OTHER_BOXES & set(header)))
    return BoxTable(path, places, rows[1:])


def without_preamble(text: str) -> tuple[str, str]:
    """A table's text without Excel's `sep=;` and the comments before it, and what stands between its fields."""
    preamble = _PREAMBLE.match(text)
    table = text[preamble.end() :] if preamble else text
    said = _SEPARATOR.search(preamble[0]) if preamble else None
    return table, said[1] if said else max(",;\t|", key="\n".join(table.split("\n", 5)[:5]).count)


def _refuse_others(path: Path, first: list[str], head: str) -> None:
    kind = "Label Studio's JSON in it" if any(word in head for word in _LABEL_STUDIO) else None
    if any(map(is_image, first)) and sum(map(_is_number, first)) >= 4:
        kind = "rows of an image and numbers, without a header"
    if kind is not None:
        raise PipelineError(
            f"labels in a format that is not read (CSV with {kind})",
            str(path),
            "Export them in a format that is read",
        )


def _first_row(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []  # a field longer than any header has


def _has_boxes(first: list[str]) -> bool:
    words = set(map(_column, first))
    sides = {"x_min", "y_min", "x_max", "y_max"} & {_MEANINGS.get(word) for word in words}
    is_placed = {"x", "y", "w", "h"} <= words or {"x", "y", "width", "height"} <= words
    return len(sides) > 1 or is_placed or not _OTHER_BOXES.isdisjoint(words)


def _column(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _without_header(first: list[str]) -> tuple[str, ...] | None:
    for meanings in (_RETINANET, _TENSORFLOW):
        fields = dict(zip(meanings, map(str.strip, first), strict=False))
        numbers = [text for meaning, text in fields.items() if meaning not in ("image", "label")]
        is_row = all(map(_is_number, numbers)) or not any([*numbers, fields.get("label")])
        if len(first) == len(meanings) and is_image(fields["image"]) and is_row:
            return meanings
    return None


def _refuse_lack(path: Path, header: list[str], places: Mapping[str, int], others: list[str]) -> None:
    ends = {"x_max", "y_max"} if "box_width" not in places else {"box_width", "box_height"}
    lacking = [name for name in ("image", "label", "x_min", "y_min", *sorted(ends)) if name not in places]
    if lacking:
        beside = f", and {', '.join(others)} is not read" if others else ""
        fault = f"{path}: no column for {', '.join(lacking)}{beside}; its columns are {', '.join(header)}"
        raise PipelineError("CSV of boxes lacks columns", fault, "Read are filename,class,xmin,ymin,xmax,ymax")
    scores = sorted(_SCORES & set(header))
    if scores:
        raise PipelineError(
            "CSV of boxes with scores, which are predictions and no labels", f"{path}: {scores[0]}", "Take it out"
        )


def box_table_to_labels(table: BoxTable, export: Origin) -> Iterator[LabelledImage]:
    """The images of a table, in the order of their first rows."""
    images: dict[str, LabelledImage] = {}
    for row in table.rows:
        name = table.value(row, "image")
        image = images.get(name)
        if image is None:
            size = _pixels(table.value(row, "width")), _pixels(table.value(row, "height"))
            image = images[name] = LabelledImage(name, export, *size)
        # A row that is cut short was to have a box.
        is_cut = len(row) <= max(table.places.values())
        if is_cut or any(table.value(row, meaning) for meaning in table.places if meaning not in _OF_IMAGE):
            image.objects.append(_object(table, row))
    yield from images.values()


def _object(table: BoxTable, row: list[str]) -> LabelledObject:
    box, refused = _NOWHERE, None
    try:
        x_min, y_min = float(table.value(row, "x_min")), float(table.value(row, "y_min"))
        if "box_width" in table.places:
            x_max = x_min + float(table.value(row, "box_width"))
            y_max = y_min + float(table.value(row, "box_height"))
        else:
            x_max, y_max = float(table.value(row, "x_max")), float(table.value(row, "y_max"))
        box = (x_min, y_min, x_max, y_max)
    except ValueError:
        refused = NOT_NUMBERS
    return LabelledObject(table.value(row, "label"), "box", *box, details=Details(refused=refused))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _pixels(text: str) -> int | None:
    return int(float(text)) if _is_number(text) and 1 <= float(text) <= _MOST_PIXELS else None
