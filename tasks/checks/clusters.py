"""Images that look the same, and those that look like them in turn."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.contracts.near_duplicates import Indices, hashes_to_words, near_duplicates_within

_LINKS_AT_ONCE = 200_000  # frames of a static camera have a link from each to each: they are merged as they come

# Grey values of two neighbouring levels deviate by no more: what their hash says is rounding, and black is like black.
_BLANK_CONTRAST = 0.5


def image_clusters(measures: pd.DataFrame, max_bits: int) -> pd.Series:
    """The cluster of each image that was decoded. Blank images, of whatever scenes, have one of their own each.

    `measures` has the columns of ImageMeasures.
    """
    decoded = measures[measures["hash"].notna()]
    blank = (decoded["contrast"].astype(float) <= _BLANK_CONTRAST).to_numpy()
    clusters = near_duplicate_clusters(decoded.loc[~blank, "hash"].tolist(), max_bits)
    numbers = np.empty(len(decoded), dtype=np.int64)
    numbers[~blank] = clusters
    numbers[blank] = clusters.max(initial=-1) + 1 + np.arange(blank.sum())
    return pd.Series(numbers, index=decoded.index)


def near_duplicate_clusters(hashes: Sequence[str], max_bits: int) -> NDArray[np.int64]:
    """Number the clusters of images that chains of near-duplicates link; numbers follow the first image of each."""
    if not hashes:
        return np.zeros(0, dtype=np.int64)
    words, first, inverse = np.unique(hashes_to_words(hashes), axis=0, return_index=True, return_inverse=True)
    clusters = np.arange(len(words))
    links: list[tuple[Indices, Indices]] = []
    waiting = 0
    for ones, others in near_duplicates_within(words, max_bits):
        new = clusters[ones] != clusters[others]
        links.append((ones[new], others[new]))
        waiting += int(new.sum())
        if waiting > _LINKS_AT_ONCE:
            clusters = _merge(clusters, links)
            links, waiting = [], 0
    clusters = _merge(clusters, links)
    earliest = np.full(len(words), len(hashes))
    np.minimum.at(earliest, clusters, first)
    return np.unique(earliest[clusters[inverse.reshape(-1)]], return_inverse=True)[1].astype(np.int64)


def _merge(clusters: Indices, links: list[tuple[Indices, Indices]]) -> Indices:
    ones, others = (clusters[np.concatenate(side)] for side in zip(*links, strict=True))
    graph = coo_array((np.ones(len(ones), dtype=bool), (ones, others)), shape=(len(clusters), len(clusters)))
    merged: Indices = connected_components(graph, directed=False)[1].astype(np.intp)
    return merged[clusters]
