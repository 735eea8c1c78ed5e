"""Tables as parse writes them, from the few values that a test cares about."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from tasks.contracts.ledger import Counts, ImageCounts, Ledger
from tasks.contracts.record import write_record
from tasks.contracts.tables import IMAGES, OBJECTS, write_table

Row = Mapping[str, object]

NO_OBJECTS = Counts(total=0, kept=0, converted=0, dropped=0)


def toy_images(rows: Sequence[Row]) -> pd.DataFrame:
    """An images table; each row needs `image_id`."""
    filled = [
        {
            "name": f"{row['image_id']}.png",
            "file": f"raw/export/{row['image_id']}.png",
            "sha256": f"sha256 of {row['image_id']}",
            "width": 160,
            "height": 120,
            "source": "export",
            "subset": None,
            "task_id": "7",
            "frame": None,
            "group": "scene",
            "readable": True,
            **row,
        }
        for row in rows
    ]
    table: pd.DataFrame = pa.Table.from_pylist(filled, schema=IMAGES).to_pandas()
    return table


def toy_objects(rows: Sequence[Row]) -> pd.DataFrame:
    """An objects table; each row needs `image_id`."""
    filled = [
        {
            "object_id": f"{row['image_id']}-{number}",
            "label": "part",
            "shape": "box",
            "x_min": 40.0,
            "y_min": 30.0,
            "x_max": 60.0,
            "y_max": 50.0,
            "rotation": 0.0,
            "occluded": False,
            "truncated": False,
            "ignored": None,
            "z_order": 0,
            "track_id": None,
            "source": "manual",
            "attributes": "{}",
            "points": None,
            **row,
        }
        for number, row in enumerate(rows)
    ]
    table: pd.DataFrame = pa.Table.from_pylist(filled, schema=OBJECTS).to_pandas()
    return table


def toy_ledger(labels: Sequence[str] = (), **figures: object) -> Ledger:
    """A ledger that declares `labels` and counts nothing but `figures`."""
    images = dict.fromkeys(ImageCounts.model_fields, 0)
    nothing: dict[str, object] = {
        "objects": NO_OBJECTS,
        "images": ImageCounts(**images),
        "shapes": {},
        "labels": dict.fromkeys(labels, NO_OBJECTS),
        "undeclared_labels": [],
        "dropped": {},
        "exports": {},
        "clipped": 0,
        "outside": 0,
        "files_without_labels": 0,
        "missing": [],
        "ambiguous": [],
        "unreadable": [],
        "size_mismatches": [],
        "dropped_examples": {},
    }
    return Ledger.model_validate({**nothing, **figures})


def write_annotations(folder: Path, images: pd.DataFrame, objects: pd.DataFrame, ledger: Ledger) -> None:
    """What parse leaves behind."""
    write_table(images, folder / "images.parquet", IMAGES)
    write_table(objects, folder / "objects.parquet", OBJECTS)
    write_record(ledger, folder / "ledger.json")
