"""The images of a split with their paths and their objects: one reader for every stage that looks at images."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tasks.contracts.tables import IMAGES, OBJECTS, SPLIT, read_table
from tasks.dataset.decoding import image_path


@dataclass(frozen=True)
class Dataset:
    """Labelled images, sorted by image_id, and what is on them."""

    # image_id, name, path, sha256, width, height, source, frame; scene (the `group` of contracts.tables.IMAGES); split
    # and group (of contracts.tables.SPLIT); divided: whether the split divides the scene. path is null where an image
    # is not there or cannot be read.
    images: pd.DataFrame
    objects: pd.DataFrame  # contracts.tables.OBJECTS of these images, ignored ones too

    def of(self, *splits: str) -> "Dataset":
        """Only what is in these splits."""
        return self.where(self.images["split"].isin(splits))

    def readable(self) -> "Dataset":
        """Only images that are there and can be read."""
        return self.where(self.images["path"].notna())

    def where(self, chosen: "pd.Series[bool]") -> "Dataset":
        """Only these of the images, with their objects."""
        images = self.images[chosen]
        return Dataset(images, self.objects[self.objects["image_id"].isin(images["image_id"])])


def read_split(raw: Path, annotations: Path, split: Path) -> Dataset:
    """All that is in a split.parquet, with the tables of parse and the folder of ingest that its images lie in.

    Raises PipelineError if a table is missing.
    """
    images, objects = (annotations / f"{name}.parquet" for name in ("images", "objects"))
    return join_split(
        read_table(images, IMAGES), read_table(objects, OBJECTS), read_table(split, SPLIT), raw, annotations
    )


def join_split(
    images: pd.DataFrame, objects: pd.DataFrame, split: pd.DataFrame, raw: Path, annotations: Path
) -> Dataset:
    """`read_split` of tables that have been read."""
    files = images["file"].where(is_readable(images)).tolist()
    paths = [image_path(file, raw, annotations) if isinstance(file, str) else None for file in files]
    columns = ["image_id", "name", "sha256", "width", "height", "source", "frame", "group"]
    placed = images[columns].assign(path=pd.Series(paths, images.index, dtype=object))
    placed = placed.rename(columns={"group": "scene"}).merge(split, on="image_id")
    placed = placed.sort_values("image_id", ignore_index=True)
    in_use = placed[placed["split"].isin(["train", "val", "test"])]
    splits_of_scene = in_use.groupby("scene")["split"].nunique()
    placed["divided"] = placed["scene"].map(splits_of_scene > 1).eq(True)
    return Dataset(placed, objects[objects["image_id"].isin(placed["image_id"])])


def is_readable(images: pd.DataFrame) -> "pd.Series[bool]":
    """Which images (contracts.tables.IMAGES) are there and can be read."""
    return images["readable"] & images["file"].notna()
