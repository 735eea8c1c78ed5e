"""Tables that could be labels by what their columns hold, and are no table of boxes that is read."""

import csv
import io
import re
from itertools import islice
from pathlib import Path

from tasks.formats.box_csv import without_preamble
from tasks.formats.image_paths import is_image
from tasks.formats.text_files import head_of
from tasks.parsing.image_names import ImageNames
from tasks.parsing.location_signs import are_place_names, has_place_keys, is_labelled_point, is_place_text

_WANTED = "a table without the columns filename,class,xmin,ymin,xmax,ymax"
_ROWS = 2000
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)
_IMAGE_COLUMN = re.compile(r"image|img|file|path|photo|picture|frame|(^|[_. ])(id|name)$")
_BOX_COLUMN = re.compile(r"^(bb|bbox|box|bounding_?box)[_. ](left|top|right|bottom|[xy]|[xy]_?(1|2|min|max)|w|width)$")
_LOG_COLUMN = re.compile(r"(^|[_./ ])(epochs?|steps?|iter|iteration|time|timestamp|date)($|[_./ ])|^#?timestamp")


def table_kind(path: Path, names: ImageNames) -> str | None:
    """What kind of labels a CSV seems to hold: it names images or is named after one, and holds places; else None."""
    rows = _rows(path)
    if not rows:
        return None
    has_header = not any(map(_is_number, rows[0])) and not any(map(is_image, rows[0]))
    header = [name.lower() for name in rows[0]] if has_header else []
    body = rows[1:] if has_header else rows
    columns = [[row[number] for row in body if number < len(row) and row[number]] for number in range(len(rows[0]))]
    titles = header or [""] * len(columns)
    if sum(_BOX_COLUMN.search(name) is not None for name in header) >= 2:
        return _wanted(rows[0])
    is_log = any(map(_LOG_COLUMN.search, header))
    is_naming = [_names_images(values, title, names) for values, title in zip(columns, titles, strict=True)]
    if not any(is_naming) and (is_log or not names.has_file(path)):
        return None
    others = [one for one, is_name in zip(zip(titles, columns, strict=True), is_naming, strict=True) if not is_name]
    numeric = _numeric(others)
    is_place = are_place_names(numeric) or is_labelled_point(numeric, titles)
    if is_place or any(_is_place(value) for _, values in others for value in values):
        return _wanted(rows[0]) if has_header else _WANTED
    return None


def _wanted(header: list[str]) -> str:
    return f"{_WANTED}; its columns are {', '.join(header)}"


def _is_place(cell: str) -> bool:
    return is_place_text(cell) or (cell.startswith(("[{", "{")) and has_place_keys(cell))


def _rows(path: Path) -> list[list[str]]:
    text, delimiter = without_preamble(head_of(path))
    try:
        rows = list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), _ROWS))
    except csv.Error:
        return []
    return [fields for row in rows if any(fields := [field.strip() for field in row])]


def _names_images(values: list[str], title: str, names: ImageNames) -> bool:
    is_titled = _IMAGE_COLUMN.search(title) is not None
    found = sum(is_image(value) or names.has(value) or (is_titled and names.has_stem(value)) for value in values)
    return found > 0 and 2 * found >= len(values)


def _numeric(columns: list[tuple[str, list[str]]]) -> list[str]:
    """The titles of columns of numbers, without marks of classes: many columns of 0 and 1."""
    numeric = [(title, values) for title, values in columns if 2 * sum(map(_is_number, values)) > len(values)]
    marks = [title for title, values in numeric if {"0", "1"}.issuperset(values)]
    are_marks = 2 * len(marks) > len(numeric)
    return [title for title, values in numeric if not (are_marks and {"0", "1"}.issuperset(values))]


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None
