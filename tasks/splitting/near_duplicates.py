"""Near-duplicates that stand in two splits, and which of them has to go."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.splitting.balance import NO_SPLIT, SplitNumbers

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Looks:
    """Which images are the same picture: rows are images, in the order of everything else about them.

    Two of one cluster are near-duplicates, and two of one pair.
    """

    alike: NDArray[np.int64]  # cluster of each image, as contracts.check_report.DUPLICATES
    pairs_of: Rows  # (pairs, 2)

    @cached_property
    def clusters(self) -> NDArray[np.int64]:
        """Numbers of what chains of near-duplicates link."""
        _, alike = np.unique(self.alike, return_inverse=True)
        _, firsts = np.unique(alike, return_index=True)
        ones = np.concatenate([np.arange(len(alike)), self.pairs_of[:, 0]])
        others = np.concatenate([firsts[alike], self.pairs_of[:, 1]])
        edges = coo_array((np.ones(len(ones)), (ones, others)), shape=(len(alike), len(alike)))
        linked: NDArray[np.int64] = connected_components(edges, directed=False)[1].astype(np.int64)
        return linked

    def pairs(self, one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[Rows, Rows]:
        """Near-duplicates between two sets of images, as rows of the one and of the other.

        Every image that has any is named, of a cluster with one of the other set.
        """
        left, right = np.concatenate([self.pairs_of, self.pairs_of[:, ::-1]]).T
        linked = one[left] & other[right]
        ones, others = np.flatnonzero(one), np.flatnonzero(other)
        first_other, first_one = self._partners(ones, others), self._partners(others, ones)
        return (
            np.concatenate([left[linked], ones[first_other >= 0], first_one[first_one >= 0]]),
            np.concatenate([right[linked], first_other[first_other >= 0], others[first_one >= 0]]),
        )

    def last_alike(self, rows: Rows) -> Rows:
        """For each of `rows` the position among them of the last image that looks like it; its own if none does."""
        places = np.full(len(self.alike), -1)
        places[rows] = np.arange(len(rows))
        last = (
            pd.Series(np.arange(len(rows)))
            .groupby(self.alike[rows])
            .transform("max")
            .to_numpy(dtype=np.intp, copy=True)
        )
        ones, others = places[self.pairs_of].T
        inside = (ones >= 0) & (others >= 0)
        np.maximum.at(last, np.minimum(ones, others)[inside], np.maximum(ones, others)[inside])
        return last

    def _partners(self, rows: Rows, among: Rows) -> Rows:
        """For each of `rows` the first of `among` that is in its cluster; -1 if none is."""
        found = pd.Series(among, index=self.alike[among])
        found = found[~found.index.duplicated()].reindex(self.alike[rows])
        return np.asarray(found.fillna(-1), dtype=np.intp)


def near_duplicates_to_exclude(splits: SplitNumbers, placed_before: NDArray[np.bool_], looks: Looks) -> dict[int, int]:
    """Rows that must leave their split because a near-duplicate stands in another, with the row of that one.

    An image that is new here leaves before one that stood in its split already (`placed_before`): what was measured
    stays as it was. Among equals train gives way to val and test, val to test: a model may learn a little less, a
    measurement may not be told the answer.
    """
    excluded: dict[int, int] = {}
    count = int(splits.max(initial=NO_SPLIT)) + 1
    new = ~placed_before
    # Later splits win, and images placed before win over new ones. Who lost takes nobody along, and in this order no
    # winner loses later: the next split, for which all that stay were placed before, is the same.
    for losers, winners in ((placed_before, placed_before), (new, placed_before), (new, new)):
        for winning_split in reversed(range(count)):
            losing_splits = range(count) if losers is not winners else range(winning_split)
            for losing_split in losing_splits:
                if losing_split == winning_split:
                    continue
                out = np.isin(np.arange(len(splits)), list(excluded))
                lose = losers & (splits == losing_split) & ~out
                win = winners & (splits == winning_split) & ~out
                for loser, winner in zip(*looks.pairs(lose, win), strict=True):
                    excluded.setdefault(int(loser), int(winner))
    return excluded
