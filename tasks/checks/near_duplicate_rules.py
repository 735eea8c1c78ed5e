"""Images that stand twice: the same bytes, or the same picture."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd

from tasks.checks.findings import Finding, rows
from tasks.contracts.tables import BOX

_PAIRS_NAMED = 100
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


def near_duplicates(images: pd.DataFrame, pairs: pd.DataFrame) -> Iterator[Finding]:
    """Images that are the same picture: a warning per pair of two scenes, one note per scene for those within.

    pairs: as contracts.check_report.NEAR_DUPLICATES. Copies of the same bytes are reported by `exact_duplicates` alone.
    """
    columns = images[["image_id", "name", "source", "group", "sha256"]]
    other_columns = columns.add_prefix("other_")
    told = pairs.merge(columns, on="image_id").merge(other_columns, on="other_image_id")
    told = told[told["sha256"] != told["other_sha256"]].sort_values(["image_id", "other_image_id"], kind="stable")
    across = told["group"] != told["other_group"]
    for pair in rows(told[across].head(_PAIRS_NAMED)):
        message = f"the same picture as {pair.other_name} of {pair.other_source}, {pair.how}"
        yield Finding(
            "near_duplicate_images",
            "warning",
            message,
            pair.image_id,
            other_image_id=pair.other_image_id,
            value=pair.difference,
        )
    if across.sum() > _PAIRS_NAMED:
        message = f"{across.sum() - _PAIRS_NAMED:,} more pairs are the same picture: see near_duplicates.parquet"
        yield Finding("near_duplicate_images", "warning", message, value=float(across.sum()))
    sizes = images.groupby("group")["image_id"].size()
    for scene, within in told[~across].groupby("group"):
        alike = pd.concat([within["image_id"], within["other_image_id"]]).nunique()
        first = within.iloc[0]
        named = ", ".join(f"{pair.name} and {pair.other_name}" for pair in rows(within.head(_NAMES_SHOWN)))
        more = f" and {len(within) - _NAMES_SHOWN:,} more pairs" if len(within) > _NAMES_SHOWN else ""
        message = f"{alike:,} of {sizes[scene]:,} images of the scene {scene} are the same picture as another: {named}"
        yield Finding(
            "near_duplicates_in_scene",
            "note",
            message + more,
            first["image_id"],
            other_image_id=first["other_image_id"],
            value=float(alike),
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
