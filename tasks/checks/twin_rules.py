"""Images that stand twice: the same bytes, or the same look."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd

from tasks.checks.findings import Finding, rows
from tasks.contracts.tables import BOX

_NAMES_SHOWN = 4
_SAME_PLACE_PX = 1  # formats round coordinates differently


def exact_duplicates(images: pd.DataFrame, objects: pd.DataFrame) -> Iterator[Finding]:
    """One finding per copy, against the first image with these bytes; an own rule if their labels differ."""
    copies = images[images["sha256"].notna() & images["sha256"].duplicated(keep=False)]
    labels = _labels_of(copies["image_id"], objects)
    for _, members in copies.groupby("sha256", sort=False):
        first, *others = rows(members)
        for other in others:
            difference = _difference(labels[other.image_id], labels[first.image_id])
            yield Finding(
                "duplicate_image_other_labels" if difference else "duplicate_image",
                "warning",
                f"the same file as {first.name} of {first.source}{difference}",
                other.image_id,
                other_image_id=first.image_id,
            )


def near_duplicates(images: pd.DataFrame) -> Iterator[Finding]:
    """Clusters of images that look the same: a warning across scenes, one note per scene for those within.

    `images` is the images table with a column `cluster`, null where no file was decoded. Copies of the same bytes are
    reported by `exact_duplicates` alone.
    """
    distinct = images[images["cluster"].notna()].drop_duplicates("sha256")
    distinct = distinct[distinct["cluster"].duplicated(keep=False)]
    scenes = distinct.groupby("cluster")["group"].transform("nunique")
    for _, members in distinct[scenes > 1].groupby("cluster"):
        one_each = members.drop_duplicates("group")
        names = ", ".join(f"{row.source}: {row.name}" for row in rows(one_each.head(_NAMES_SHOWN)))
        message = f"{len(members):,} images of {len(one_each):,} scenes look the same: {names}"
        first, other = one_each["image_id"].iloc[:2]
        yield Finding(
            "near_duplicate_images", "warning", message, first, other_image_id=other, value=float(len(members))
        )
    sizes = images.groupby("group")["image_id"].size()
    for scene, members in distinct[scenes == 1].groupby("group"):
        message = f"{len(members):,} of {sizes[scene]:,} images of the scene {scene} look like another of it"
        first, other = members.sort_values("cluster")["image_id"].iloc[:2]
        yield Finding(
            "near_duplicates_in_scene", "note", message, first, other_image_id=other, value=float(len(members))
        )


def _labels_of(image_ids: pd.Series, objects: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The objects of each image in an order that depends on their labels and boxes alone."""
    inside = objects.loc[objects["image_id"].isin(image_ids), ["image_id", "label", *BOX]]
    # Formats write coordinates with other digits, by which boxes of one edge must not change places.
    order = inside.round(dict.fromkeys(BOX, 0)).sort_values(["label", *BOX], kind="stable").index
    labels = dict(iter(inside.loc[order].groupby("image_id")))
    return {image_id: labels.get(image_id, inside.iloc[:0]) for image_id in image_ids}


def _difference(one: pd.DataFrame, other: pd.DataFrame) -> str:
    """What differs between the labels of two copies, as the end of a sentence; empty if nothing does."""
    counts, other_counts = (Counter(labels["label"]) for labels in (one, other))
    if counts != other_counts:
        return f", but labelled {_counts(counts)} against {_counts(other_counts)}"
    apart = np.abs(one[BOX].to_numpy() - other[BOX].to_numpy()).max(axis=1, initial=0) > _SAME_PLACE_PX
    return f", but {apart.sum():,} of {len(apart):,} boxes are elsewhere" if apart.any() else ""


def _counts(labels: Counter[str]) -> str:
    return ", ".join(f"{count} {label}" for label, count in labels.items()) or "nothing"
