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


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


IMAGES = pa.schema(
    [
        _required("image_id", pa.string()),  # stable: from where the image came, never from row order
        _required("name", pa.string()),  # as CVAT has it
        pa.field("file", pa.string()),  # raw/... or frames/..., see dataset.decoding; null: not held
        pa.field("sha256", pa.string()),  # of the file's bytes; null: not held
        _required("width", pa.int64()),
        _required("height", pa.int64()),
        _required("source", pa.string()),  # the export it came from
        pa.field("subset", pa.string()),
        pa.field("task_id", pa.string()),
        pa.field("frame", pa.int64()),
        _required("group", pa.string()),  # video, scene folder or CVAT task: never divided by a split
        _required("readable", pa.bool_()),
    ]
)

OBJECTS = pa.schema(
    [
        _required("object_id", pa.string()),
        _required("image_id", pa.string()),
        _required("label", pa.string()),
        _required("shape", pa.string()),  # as labelled: box, rotated_box, ellipse, polygon, ...
        *_BOX_FIELDS,
        _required("rotation", pa.float64()),  # degrees, clockwise
        _required("occluded", pa.bool_()),
        _required("truncated", pa.bool_()),  # went over the image's border and was clipped
        pa.field("ignored", pa.string()),  # CROWD or DIFFICULT: neither learnt nor counted; null: an object like others
        _required("z_order", pa.int64()),
        pa.field("track_id", pa.string()),
        _required("source", pa.string()),  # manual, auto, semi-auto, file
        _required("attributes", pa.string()),  # JSON object
        pa.field("points", pa.string()),  # JSON [[x, y], ...]; null for a plain box
    ]
)

SPLIT = pa.schema(
    [
        _required("image_id", pa.string()),
        _required("split", pa.string()),  # train, val, test; excluded: in no split, see contracts.leakage
        _required("group", pa.string()),  # never in two splits
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

DUPLICATES = pa.schema(
    [
        _required("image_id", pa.string()),
        _required("cluster", pa.int64()),  # equal for images that are the same picture as one of them
    ]
)

# Every near-duplicate found; of many images that are the same picture, each has a row with the first at least.
NEAR_DUPLICATES = pa.schema(
    [
        _required("image_id", pa.string()),
        _required("other_image_id", pa.string()),
        _required("how", pa.string()),  # for people: how the image shows the other, as in "mirrored, shifted"
        _required("difference", pa.float64()),  # of the labelled object that differs most, see check
    ]
)

PREDICTIONS = pa.schema(
    [
        _required("image_id", pa.string()),
        _required("label", pa.string()),
        _required("score", pa.float64()),
        *_BOX_FIELDS,
    ]
)

FINDINGS = pa.schema(
    [
        _required("rule", pa.string()),  # e.g. duplicate_image, label_nearly_same
        _required("severity", pa.string()),  # error, warning, note
        _required("message", pa.string()),
        pa.field("image_id", pa.string()),
        pa.field("object_id", pa.string()),
        pa.field("label", pa.string()),
        pa.field("other_image_id", pa.string()),  # the other of two near-duplicates
        pa.field("value", pa.float64()),  # what was measured
        pa.field("where", pa.string()),  # for people: export, CVAT task, frame, image name
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
