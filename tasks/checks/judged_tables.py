"""The tables that expectations are about: what parse wrote, and what was measured beside it."""

from typing import NamedTuple

import pandas as pd

from tasks.checks.box_rules import box_measures, with_image_size
from tasks.checks.image_rules import image_columns
from tasks.contracts.tables import counted


class JudgedTables(NamedTuple):
    """Each by the name that stands in the meta of a suite."""

    images: pd.DataFrame  # contracts.tables.IMAGES, ImageMeasures but for the thumbnail, image_columns
    objects: pd.DataFrame  # contracts.tables.OBJECTS, size of the image, box_measures
    objects_with_images: pd.DataFrame  # all objects, and the columns of their images with `image_` before the name


def judged_tables(images: pd.DataFrame, objects: pd.DataFrame, measures: pd.DataFrame) -> JudgedTables:
    """Join tables and measures; `measures` has the columns of ImageMeasures, on the index of images with a file.

    Boxes without an image, and those that are ignored, are not measured.
    """
    decoded = {"width": "decoded_width", "height": "decoded_height"}
    measured = image_columns(images.join(measures.drop(columns="thumbnail").rename(columns=decoded)))
    placed = with_image_size(objects, images)
    placed = placed.join(box_measures(counted(placed).dropna(subset=["width"])))
    of_image = measured.drop_duplicates("image_id").add_prefix("image_").rename(columns={"image_image_id": "image_id"})
    joined = placed.drop(columns=["width", "height"]).merge(of_image, on="image_id", how="left")
    return JudgedTables(measured, placed, joined)
