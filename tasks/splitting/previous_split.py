"""What the previous split remembers of images that are gone, and of those that came back under another id."""

import numpy as np
import pandas as pd

from tasks.contracts.leakage import EXCLUDED, SPLITS
from tasks.splitting.balance import SplitNumbers

GONE = "gone"  # the reason of images that the tables no longer hold
# The same file under the same name of the same CVAT task is the same image, though its id may change: a task that was
# moved to another subset gives new ids to all its images. The task keeps blank frames of two recordings apart.
SAME_IMAGE = ["task", "name", "sha256"]


def with_task(images: pd.DataFrame) -> pd.DataFrame:
    """The images with a column `task`: where each was labelled, whatever its subset."""
    return images.assign(task=images["task_id"].fillna(images["source"]))


def under_new_ids(previous: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The previous split, where an image that has another id now takes over the row of its former id.

    `images` comes from `with_task`. A row is taken over only from an id that is gone: two images of one name, in two
    subsets at once, have two splits.
    """
    remembered = previous[previous["assigned"].notna()]
    gone = remembered[~remembered["image_id"].isin(images["image_id"]) & remembered["sha256"].notna()]
    # Where one file stood in two subsets, the image that was not excluded speaks.
    former = gone.loc[(gone["split"] == EXCLUDED).sort_values(kind="stable").index].drop_duplicates(SAME_IMAGE)
    new = images.loc[~images["image_id"].isin(remembered["image_id"]), ["image_id", *SAME_IMAGE]]
    taken = new.merge(former.drop(columns="image_id"), on=SAME_IMAGE)[previous.columns]
    replaced = previous["image_id"].isin(taken["image_id"])
    left = gone["image_id"][_keys(gone).isin(_keys(taken))]
    return pd.concat([previous[~replaced & ~previous["image_id"].isin(left)], taken], ignore_index=True)


def gone_images(memory: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The rows of images that are not in the tables now, which keep their split until they return."""
    rows: pd.DataFrame = memory[memory["assigned"].notna() & ~memory["image_id"].isin(images["image_id"])]
    return rows.sort_values("image_id", ignore_index=True).assign(split=EXCLUDED, reason=GONE)


def named_when_placed(usable: pd.DataFrame, named: SplitNumbers) -> pd.DataFrame:
    """The images with what their subset names now in column `named`, but for those placed before: they keep theirs."""
    return usable.assign(named=np.where(usable["assigned"].isna(), _names(named), usable["named"]))


def split_table(
    everything: pd.DataFrame, usable: pd.DataFrame, planned: SplitNumbers, splits: SplitNumbers, groups: list[str]
) -> pd.DataFrame:
    """All images as contracts.tables.SPLIT_MEMORY; those that cannot be used keep what they had."""
    placed = pd.DataFrame(
        {
            "image_id": usable["image_id"],
            "planned": _names(planned),
            "on": _names(splits),
            "in": groups,
            "named_now": usable["named"],
        }
    )
    table = everything.merge(placed, on="image_id", how="left")
    in_no_split = table["reason"].isna() & table["on"].isna()
    table.loc[in_no_split, "reason"] = np.where(table.loc[in_no_split, "planned"].isna(), "gap", "near_duplicate")
    return pd.DataFrame(
        {
            "image_id": table["image_id"],
            "split": table["on"].fillna(EXCLUDED),
            "group": table["in"].fillna(table["group"]),
            "assigned": table["planned"].fillna(table["assigned"]),
            "reason": table["reason"],
            **table[SAME_IMAGE],
            "named": table["named_now"].fillna(table["named"]),
        }
    )


def _names(splits: SplitNumbers) -> "np.ndarray[tuple[int], np.dtype[np.object_]]":
    names = np.array([*SPLITS, None], dtype=object)  # NO_SPLIT is the last
    return names[splits]


def _keys(rows: pd.DataFrame) -> pd.Index:
    return pd.MultiIndex.from_frame(rows[SAME_IMAGE])
