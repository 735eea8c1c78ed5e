"""The tables that stages hand to each other, as Parquet.

Boxes are absolute pixels, `x_min y_min x_max y_max`, float64, origin at the top-left corner of the image as it
stands after its EXIF orientation is applied.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.errors import PipelineError
from tasks.contracts.whole_output import whole_output

BOX = ["x_min", "y_min", "x_max", "y_max"]
# Why an object is ignored: nobody has to find it, and finding it is no mistake.
CROWD = "crowd"  # a region that may hold any number of them: a detection that lies in it by half is one of these
DIFFICULT = "difficult"  # one object that even people can hardly tell
_BOX_FIELDS = [pa.field(name, pa.float64(), nullable=False) for name in BOX]


def required(name: str, kind: pa.DataType) -> pa.Field:
    """A field of a schema that takes no nulls."""
    return pa.field(name, kind, nullable=False)


IMAGES = pa.schema(
    [
        required("image_id", pa.string()),  # stable: from where the image came, never from row order
        required("name", pa.string()),  # as CVAT has it
        pa.field("file", pa.string()),  # raw/... or frames/..., see dataset.decoding; null: no file was found
        pa.field("sha256", pa.string()),  # of the file's bytes; null: no file was found
        required("width", pa.int64()),
        required("height", pa.int64()),
        required("source", pa.string()),  # the export it came from
        pa.field("subset", pa.string()),
        pa.field("task_id", pa.string()),
        pa.field("frame", pa.int64()),
        required("group", pa.string()),  # video, scene folder or CVAT task: never divided by a split
        required("readable", pa.bool_()),
    ]
)

OBJECTS = pa.schema(
    [
        required("object_id", pa.string()),
        required("image_id", pa.string()),
        required("label", pa.string()),
        required("shape", pa.string()),  # as labelled: box, rotated_box, ellipse, polygon, ...
        *_BOX_FIELDS,
        required("rotation", pa.float64()),  # degrees, clockwise
        required("occluded", pa.bool_()),
        required("truncated", pa.bool_()),  # went over the image's border and was clipped
        pa.field("ignored", pa.string()),  # CROWD or DIFFICULT: neither learnt nor counted; null: an object like others
        required("z_order", pa.int64()),
        pa.field("track_id", pa.string()),
        required("source", pa.string()),  # manual, auto, semi-auto, file
        required("attributes", pa.string()),  # JSON object
        pa.field("points", pa.string()),  # JSON [[x, y], ...]; null for a plain box
    ]
)

SPLIT = pa.schema(
    [
        required("image_id", pa.string()),
        required("split", pa.string()),  # train, val, test; excluded: in no split, see contracts.leakage
        required("group", pa.string()),  # never in two splits
    ]
)

# What split.parquet holds beside it, so that the next split remembers.
SPLIT_MEMORY = pa.schema(
    [
        *SPLIT,
        pa.field("assigned", pa.string()),  # where it belongs for good, even while excluded; null: never placed
        pa.field("reason", pa.string()),  # why it is excluded; gone: not in the tables now, but it may return
        # What an image is known by when its id changes. Null in splits that were written without.
        pa.field("task", pa.string()),  # of CVAT, or else the export
        pa.field("name", pa.string()),
        pa.field("sha256", pa.string()),
        # The split that its subset named when it was placed, as val may be taken from Train. Null: none, or unknown.
        pa.field("named", pa.string()),
    ]
)

PREDICTIONS = pa.schema(
    [
        required("image_id", pa.string()),
        required("label", pa.string()),
        required("score", pa.float64()),
        *_BOX_FIELDS,
    ]
)

# Columns that tables of earlier versions lack: all null there.
_LATER = frozenset({"ignored"})


def read_table(path: Path, schema: pa.Schema) -> pd.DataFrame:
    """Read a table and hold it to its schema.

    Raises PipelineError if it is missing or has other columns.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise PipelineError("table does not exist", str(path), "Run the stage that writes it") from error
    missing = [name for name in schema.names if name not in table.column_names]
    for name in _LATER.intersection(missing):
        table = table.append_column(schema.field(name), pa.nulls(len(table), schema.field(name).type))
        missing.remove(name)
    if missing:
        raise PipelineError(f"table lacks {', '.join(missing)}", str(path), "Run the stage that writes it again")
    frame: pd.DataFrame = table.select(schema.names).cast(schema).to_pandas()
    return frame


def counted(objects: pd.DataFrame) -> pd.DataFrame:
    """The objects that are to be learnt and counted; all of a table that does not say."""
    return objects[objects["ignored"].isna()] if "ignored" in objects else objects


def write_table(frame: pd.DataFrame, path: Path, schema: pa.Schema) -> None:
    """Write a table whole or not at all; a frame that does not fit its schema is our own bug."""
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    with whole_output(path) as partial:
        pq.write_table(table, partial, compression="zstd")
