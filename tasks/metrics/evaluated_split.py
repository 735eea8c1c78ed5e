"""What figures are measured against: the labels of val and test, and the images that they are on."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tasks.contracts.errors import PipelineError
from tasks.contracts.tables import IMAGES, OBJECTS, SPLIT, read_table


@dataclass(frozen=True)
class Labelled:
    """One side of the split: its images (image_id, source, and what scenes.units takes) and its objects."""

    images: pd.DataFrame
    truth: pd.DataFrame


def val_and_test(annotations: Path, split: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Images with their split and its group, sorted by image_id; and the objects of all images.

    Raises PipelineError if test has no image.
    """
    images = read_table(annotations / "images.parquet", IMAGES).rename(columns={"group": "scene"})
    images = images.merge(read_table(split, SPLIT), on="image_id").sort_values("image_id", ignore_index=True)
    sides = images.loc[images["split"].isin(["train", "val", "test"])].groupby("scene")["split"].nunique()
    images["divided"] = images["scene"].map(sides > 1).eq(True)
    images = images[images["split"].isin(["val", "test"])].assign(readable=images["readable"] & images["file"].notna())
    if not (images["split"] == "test").any():
        raise PipelineError("no image is in test", str(split), "Label more groups of images, or change params: split")
    return images, read_table(annotations / "objects.parquet", OBJECTS)


def labelled(images: pd.DataFrame, objects: pd.DataFrame) -> Labelled:
    """A side of those images; objects: (image_id, ...) of all images."""
    columns = ["image_id", "source", "name", "frame", "group", "divided"]
    return Labelled(images[columns], objects[objects["image_id"].isin(images["image_id"])])
