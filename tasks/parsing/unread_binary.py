"""Arrays, tables, containers and all other binary files that could hold labels: told without being unpickled."""

import re
import tokenize
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.formats.image_paths import is_image
from tasks.parsing.companions import could_hold_labels
from tasks.parsing.image_names import ImageNames
from tasks.parsing.location_signs import are_place_names, could_be_labels, has_places

_COLUMNS = re.compile(
    r"(^|[._])(bbox|bboxes|boxes|objects|xmin|x_min|annotations|segmentation|polygons?|masks?|keypoints|geometry)($|[._])",
    re.IGNORECASE,
)
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"II*\0", b"MM\0*")  # how images begin
_TF_RECORD = re.compile(r"\.(tf)?records?(-\d+-of-\d+)?$", re.IGNORECASE)
_PACKED = frozenset({".gz", ".bz2", ".xz", ".zst"})  # of one file
LOOKED_INTO = frozenset({".npy", ".npz", ".parquet", ".zip", *_PACKED})  # endings of what is known well enough
_ROWS = 200  # of a table that are looked at
# Of what is not looked into: a pickle runs what it holds, the others need a library each.
_BY_ENDING = {
    ".mat": "MATLAB",
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "a Python pickle, which is never opened"),
    **dict.fromkeys((".h5", ".hdf5", ".hdf"), "HDF5"),
    **dict.fromkeys((".arrow", ".feather"), "an Arrow table; save it as CSV"),
    ".mdb": "a database",
    **dict.fromkeys(
        (".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar"), "an archive within an export, which stays packed"
    ),
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), "a spreadsheet; save it as CSV"),
    ".odgt": "CrowdHuman's lines of JSON",
}
_BY_BEGINNING = {
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"SQLite format 3\0": "a database",
    b"ARROW1\0\0": "an Arrow table; save it as CSV",
}


def binary_kind(path: Path, names: ImageNames) -> str | None:
    """What kind of labels a file that is no text could hold; None where it holds none, or is of no such kind."""
    suffix = path.suffix.lower()
    kind = _BY_ENDING.get(suffix) or _kind_by_beginning(path)
    if _TF_RECORD.search(path.name):
        kind = "TFRecord"
    elif suffix == ".npy":
        kind = _array_kind(path, names)
    elif suffix == ".npz":
        arrays = [name.removesuffix(".npy") for name in _zipped(path)]
        kind = f"NumPy arrays {', '.join(arrays)}" if arrays else "NumPy arrays"
    elif suffix == ".parquet":
        kind = _parquet_kind(path, names)
    elif suffix == ".zip" and any(map(could_hold_labels, _zipped(path))):
        kind = "a zip within an export, which stays packed"
    elif suffix in _PACKED and could_hold_labels(path.stem):
        kind = "packed within an export"
    return kind


def _kind_by_beginning(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(max(map(len, _BY_BEGINNING)))
    return next((kind for mark, kind in _BY_BEGINNING.items() if head.startswith(mark)), None)


def _array_kind(path: Path, names: ImageNames) -> str | None:
    """Whatever an array holds: a number per image, a box per row and a picture of depths look the same from outside.

    None of what Ultralytics keeps beside an image with `cache=disk`: the picture itself, in three colours.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, EOFError, SyntaxError, tokenize.TokenError):  # of objects, or cut short
        return "a NumPy array"
    if names.has_file(path) and array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3:
        return None
    return f"a NumPy array of {array.dtype} and shape {' x '.join(map(str, array.shape)) or '1'}"


def _zipped(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeError):
        return []


def _parquet_kind(path: Path, names: ImageNames) -> str | None:
    try:
        file = pq.ParquetFile(path)
        columns = [column.path for column in file.schema]
        rows: list[dict[str, object]] = next((batch.to_pylist() for batch in file.iter_batches(batch_size=_ROWS)), [])
    except (pa.ArrowException, OSError, ValueError):
        return "Parquet that cannot be opened"
    if any(map(_COLUMNS.search, columns)) or has_places(rows):
        return "Parquet with boxes"
    values = [value for row in rows for value in row.values()]
    if any(map(_is_picture, values)):
        return "Parquet with pictures within"
    is_named = names.has_file(path) or any(isinstance(one, str) and (is_image(one) or names.has(one)) for one in values)
    numeric = [field.name.lower() for field in file.schema_arrow if _is_numeric(field.type)]
    is_placed = are_place_names(numeric) or any(isinstance(one, bytes) for one in values)
    if is_named and (is_placed or could_be_labels(rows, names, is_named_like_image=True)):
        return f"Parquet without boxes that are read; its columns are {', '.join(columns)}"
    return None


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_picture(value: object) -> bool:
    """Whether bytes are a picture, by themselves or as Hugging Face's {bytes, path}."""
    content = value.get("bytes") if isinstance(value, dict) else value
    return isinstance(content, bytes) and content.startswith(_PICTURES)
