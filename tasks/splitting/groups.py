"""Scenes: images that belong together, in order of time, and scenes that near-duplicates join."""

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.splitting.balance import NO_SPLIT, SplitNumbers

SEVERAL = -2  # splits of one group


def in_order(images: pd.DataFrame) -> pd.DataFrame:
    """The images by group, and within it by frame, or by name where frames are unknown; independent of row order."""
    keys = pd.DataFrame(
        {
            "group": images["group"],
            "frame": images["frame"].fillna(-1),
            "name": images["name"].map(_natural),
            "image_id": images["image_id"],
        },
        index=images.index,
    )
    return images.loc[keys.sort_values(list(keys.columns), kind="stable").index].reset_index(drop=True)


def joined_scenes(scenes: NDArray[np.intp], clusters: NDArray[np.int64]) -> NDArray[np.intp]:
    """Number the scenes that share a cluster of near-duplicates, directly or over others; -1 is no cluster."""
    linked = clusters >= 0
    _, cluster_numbers = np.unique(clusters[linked], return_inverse=True)
    count = int(scenes.max(initial=-1)) + 1
    size = count + int(cluster_numbers.max(initial=-1)) + 1
    # A graph of scenes and clusters, with an edge for each image.
    edges = coo_array((np.ones(len(cluster_numbers)), (scenes[linked], count + cluster_numbers)), shape=(size, size))
    joined: NDArray[np.intp] = connected_components(edges, directed=False)[1][scenes].astype(np.intp)
    return joined


def group_names(
    names: list[str], scenes: NDArray[np.intp], clusters: NDArray[np.int64], splits: SplitNumbers
) -> list[str]:
    """The group of each image: the widest of joined scenes, scene and block of time that stands in one split."""
    joined = joined_scenes(scenes, clusters)
    whole_joined, whole_scene = (one_split(groups, splits) != SEVERAL for groups in (joined, scenes))
    blocks = _block_numbers(scenes, splits)
    first = np.unique(joined, return_index=True)[1]
    joined_names = [names[row] for row in first[joined]]
    return [
        joined_names[row] if whole_joined[row] else name if whole_scene[row] else f"{name} · block {blocks[row]}"
        for row, name in enumerate(names)
    ]


def one_split(groups: NDArray[np.intp], splits: SplitNumbers) -> SplitNumbers:
    """For each image the one split of its group: -1 if the group has none, -2 if it has several."""
    count = int(groups.max(initial=-1)) + 1
    lowest, highest = np.full(count, np.iinfo(np.intp).max), np.full(count, NO_SPLIT)
    placed = splits != NO_SPLIT
    np.minimum.at(lowest, groups[placed], splits[placed])
    np.maximum.at(highest, groups[placed], splits[placed])
    only = np.where((highest == NO_SPLIT) | (lowest == highest), highest, SEVERAL)
    return only[groups]


def _block_numbers(scenes: NDArray[np.intp], splits: SplitNumbers) -> NDArray[np.intp]:
    """Number the blocks of one split within each scene, from 1; images in a gap count to the block before it."""
    filled = pd.Series(splits).mask(splits == NO_SPLIT).groupby(scenes).ffill().bfill()
    changes = (filled != filled.shift()) | (pd.Series(scenes) != pd.Series(scenes).shift())
    return np.asarray(changes.astype(int).groupby(scenes).cumsum(), dtype=np.intp)


def _natural(name: str) -> str:
    """A key that sorts frame_9 before frame_10."""
    return re.sub(r"\d+", lambda digits: digits.group().zfill(12), name)
