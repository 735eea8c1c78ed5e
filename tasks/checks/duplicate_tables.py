"""Near-duplicates of the tables: what goes into the search, and what comes out of it for split and for people."""

from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.checks.descriptors import Grey, Transform, inverse
from tasks.checks.findings import rows
from tasks.checks.near_duplicates import DecodedImage, NearDuplicates, Pair, near_duplicates
from tasks.checks.same_picture import Labels
from tasks.contracts.check_report import NEAR_DUPLICATES
from tasks.contracts.tables import BOX

# Grey values of two neighbouring levels deviate by no more: what blank images show is rounding, and all are alike.
_BLANK_CONTRAST = 0.5
# From which on it is told how a copy lies; shares of the sides, and of the picture.
_TURNED_DEGREES, _SHIFTED, _PART = 0.5, 0.005, 0.97


class DuplicateTables(NamedTuple):
    """Which decoded images are the same picture."""

    clusters: pd.DataFrame  # contracts.check_report.DUPLICATES
    pairs: pd.DataFrame  # contracts.check_report.NEAR_DUPLICATES


def duplicate_tables(
    images: pd.DataFrame, objects: pd.DataFrame, measures: pd.DataFrame, limit: float
) -> DuplicateTables:
    """Find the near-duplicates among images that were decoded. Blank ones, of whatever scenes, are like no other.

    `measures` has the columns of ImageMeasures, on the index of images with a file. limit: difference of a box, see
    `same_picture`. What is found does not depend on the order of rows.
    """
    decoded = images.join(measures[["thumbnail", "contrast"]], how="inner")
    decoded = decoded[decoded["thumbnail"].notna()].sort_values(["group", "frame", "image_id"], ignore_index=True)
    blank = (decoded["contrast"].astype(float) <= _BLANK_CONTRAST).to_numpy()
    files = decoded["sha256"].where(~blank & decoded["sha256"].notna(), decoded["image_id"])
    _, first, number = np.unique(pd.factorize(files)[0], return_index=True, return_inverse=True)
    searched = np.flatnonzero(~blank[first])
    pictures = _pictures(decoded.iloc[first[searched]], objects)
    found = near_duplicates(pictures, limit)
    clusters = np.arange(len(first))
    clusters[searched] = searched[found.clusters]
    ids = decoded["image_id"].to_numpy()
    table = pd.DataFrame({"image_id": ids, "cluster": clusters[number]})
    same_files = _same_files(ids, first[number])
    pairs = pd.concat([_pairs(found, pictures, ids[first[searched]]), same_files])
    return DuplicateTables(
        table.sort_values("image_id", ignore_index=True),
        pairs.sort_values(["image_id", "other_image_id"], ignore_index=True),
    )


def _pictures(images: pd.DataFrame, objects: pd.DataFrame) -> list[DecodedImage]:
    inside = objects[objects["image_id"].isin(images["image_id"])]
    classes = dict(zip(inside.index, pd.factorize(inside["label"], sort=True)[0], strict=True))
    by_image = dict(iter(inside.groupby("image_id")[BOX]))
    nothing = inside.iloc[:0][BOX]
    pictures = []
    for image in rows(images):
        thumbnail, boxes = image.thumbnail, by_image.get(image.image_id, nothing)
        scale = np.array([thumbnail.shape[1] / image.width, thumbnail.shape[0] / image.height])
        placed = boxes.to_numpy(dtype=np.float64) * np.tile(scale, 2)
        numbers = np.array([classes[row] for row in boxes.index], dtype=np.int64)
        pictures.append(DecodedImage(thumbnail, Labels(placed, numbers)))
    return pictures


def _pairs(found: NearDuplicates, pictures: list[DecodedImage], ids: NDArray[np.object_]) -> pd.DataFrame:
    found_rows = [
        (
            ids[pair.image],
            ids[pair.other],
            _how(pair, pictures[pair.image].thumbnail, pictures[pair.other].thumbnail),
            pair.difference,
        )
        for pair in found.pairs
    ]
    return pd.DataFrame(found_rows, columns=NEAR_DUPLICATES.names)


def _same_files(ids: NDArray[np.object_], first: NDArray[np.intp]) -> pd.DataFrame:
    copies = first != np.arange(len(ids))
    columns = {"image_id": ids[copies], "other_image_id": ids[first[copies]], "how": "the same file", "difference": 0.0}
    return pd.DataFrame(columns, columns=NEAR_DUPLICATES.names)


def _how(pair: Pair, image: Grey, other: Grey) -> str:
    """How the image shows the other, for people."""
    lie: Transform = pair.lie[:2, :2]
    parts = []
    if np.linalg.det(lie) < 0:
        parts.append("mirrored")
        lie = lie @ np.diag([-1.0, 1.0])
    degrees = float(np.degrees(np.arctan2(lie[1, 0] - lie[0, 1], lie[0, 0] + lie[1, 1])))
    if abs(degrees) > _TURNED_DEGREES:
        parts.append(f"turned by {abs(degrees):.0f}°")
    if min(_covered(pair.lie, image, other), _covered(inverse(pair.lie), other, image)) < _PART:
        parts.append("in part")
    middle = np.array([other.shape[1] / 2 - 0.5, other.shape[0] / 2 - 0.5, 1])
    away = (pair.lie @ middle)[:2] / np.array(image.shape[::-1]) - (0.5 - 0.5 / np.array(image.shape[::-1]))
    if np.abs(away).max() > _SHIFTED and not parts:
        parts.append("shifted")
    return ", ".join(parts) or "at the same place"


def _covered(lie: Transform, image: Grey, reference: Grey) -> float:
    """The share of the reference that lies in the image."""
    own, whole = _outline(image) @ inverse(lie)[:2].T, _outline(reference)[:, :2]
    return cv2.intersectConvexConvex(own.astype(np.float32), whole.astype(np.float32))[0] / reference.size


def _outline(grey: Grey) -> NDArray[np.float64]:
    """Its corners, as pixels are counted: the middle of the first is 0."""
    height, width = grey.shape
    right, bottom = width - 0.5, height - 0.5
    return np.array([[-0.5, -0.5, 1], [right, -0.5, 1], [right, bottom, 1], [-0.5, bottom, 1]])
