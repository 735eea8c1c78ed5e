"""Runs the parse stage for tests."""

import zlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from tasks.contracts.ledger import Ledger
from tasks.contracts.params import read_params
from tasks.contracts.tables import BOX, IMAGES, OBJECTS, read_table
from tasks.formats.labels import LabelledImage, LabelledObject
from tasks.parse import ParseParams, parse
from tests.conftest import REPOSITORY

Row = tuple[str, str, float, float, float, float]  # label, shape, box


@dataclass(frozen=True)
class Parsed:
    images: pd.DataFrame
    objects: pd.DataFrame
    ledger: Ledger
    folder: Path

    def boxes(self, *keys: str) -> dict[tuple[Any, ...], list[Row]]:
        """Objects by these columns of their images, in the order of the table."""
        found = self.objects.merge(self.images, on="image_id", suffixes=("_of_object", ""), sort=False)
        names = found[list(keys)].itertuples(index=False, name=None)
        rows = found[["label", "shape", *BOX]].itertuples(index=False, name=None)
        boxes: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
        for name, row in zip(names, rows, strict=True):
            boxes[name].append(row)
        return boxes


def run(raw: Path, **changed: Any) -> Parsed:
    """Parse a folder with the params of the repository, changed as given."""
    folder = raw.parent / f"{raw.name}-annotations"
    folder.mkdir(exist_ok=True)
    params = read_params(REPOSITORY / "params.yaml", "parse", ParseParams).model_copy(update=changed)
    ledger = parse(raw, folder, params)
    images = read_table(folder / "images.parquet", IMAGES)
    objects = read_table(folder / "objects.parquet", OBJECTS)
    return Parsed(images, objects, ledger, folder)


def objects_of(image: LabelledImage) -> list[LabelledObject]:
    """The objects of an image none of which was left as text."""
    objects = [labelled for labelled in image.objects if isinstance(labelled, LabelledObject)]
    assert len(objects) == len(image.objects)
    return objects


def write_image(path: Path, width: int = 100, height: int = 80, colour: int = 0, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (width, height), colour).save(path, **options)


def export_of(folder: Path, files: Mapping[str, str]) -> Path:
    """An ingest folder with one export; images differ where their texts do."""
    for name, text in files.items():
        path = folder / "raw" / "export" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".jpg":
            write_image(path, colour=zlib.crc32(text.encode()) % 256)
        else:
            path.write_text(text, encoding="utf-8")
    return folder / "raw"
