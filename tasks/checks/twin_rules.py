"""Images that stand twice: the same bytes, or the same look."""

from collections import Counter
from collections.abc import Iterator

import pandas as pd

from tasks.checks.findings import Finding, rows

_NAMES_SHOWN = 4


def exact_duplicates(images: pd.DataFrame, objects: pd.DataFrame) -> Iterator[Finding]:
    """One finding per copy, against the first image with these bytes; an own rule if their labels differ."""
    copies = images[images["sha256"].notna() & images["sha256"].duplicated(keep=False)]
    labels = _labels_of(copies["image_id"], objects)
    for _, members in copies.groupby("sha256", sort=False):
        first, *others = rows(members)
        for other in others:
            same = labels[first.image_id] == labels[other.image_id]
            yield Finding(
                "duplicate_image" if same else "duplicate_image_other_labels",
                "warning",
                f"the same file as {first.name} of {first.source}"
                + (
                    ""
                    if same
                    else f", but labelled {_counts(labels[other.image_id])} against {_counts(labels[first.image_id])}"
                ),
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


def _labels_of(image_ids: pd.Series, objects: pd.DataFrame) -> dict[str, Counter[str]]:
    inside = objects[objects["image_id"].isin(image_ids)].sort_values("label")
    counts: dict[str, Counter[str]] = {image_id: Counter() for image_id in image_ids}
    for row in rows(inside):
        counts[row.image_id][row.label] += 1
    return counts


def _counts(labels: Counter[str]) -> str:
    return ", ".join(f"{count} {label}" for label, count in labels.items()) or "nothing"
