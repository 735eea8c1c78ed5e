"""Near-duplicates that stand on two sides, and which of them has to go."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.near_duplicates import Words, near_duplicate_pairs, near_duplicates_within
from tasks.sides.balance import NO_SIDE, SideNumbers

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Looks:
    """What images look like: rows are images, in the order of everything else about them."""

    words: Words
    clusters: NDArray[np.int64]  # chains of near-duplicates never leave their cluster
    max_bits: int

    def pairs(self, one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[Rows, Rows]:
        """All near-duplicates between two sets of images, as rows of the one and of the other."""
        found: list[tuple[Rows, Rows]] = [(np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp))]
        others_of = dict(self._by_cluster(other))
        for cluster, ones in self._by_cluster(one):
            if cluster in others_of:
                others = others_of[cluster]
                left, right = near_duplicate_pairs(self.words[ones], self.words[others], self.max_bits)
                found.append((ones[left], others[right]))
        return np.concatenate([rows for rows, _ in found]), np.concatenate([rows for _, rows in found])

    def last_twins(self, rows: Rows) -> Rows:
        """For each of `rows` the position among them of the last image that looks like it; its own if none does."""
        last = np.arange(len(rows))
        for ones, others in near_duplicates_within(self.words[rows], self.max_bits):
            np.maximum.at(last, ones, others)
        return last

    def _by_cluster(self, chosen: NDArray[np.bool_]) -> Iterator[tuple[int, Rows]]:
        rows = np.flatnonzero(chosen)
        rows = rows[np.argsort(self.clusters[rows], kind="stable")]
        clusters, starts = np.unique(self.clusters[rows], return_index=True)
        yield from zip(clusters.tolist(), np.split(rows, starts[1:]), strict=len(rows) > 0)


def twins_to_exclude(sides: SideNumbers, settled: NDArray[np.bool_], looks: Looks) -> dict[int, int]:
    """Rows that must leave their side because a near-duplicate stands on another, with the row of that twin.

    An image that is new here leaves before one that stood on its side already (`settled`): what was measured stays as
    it was. Among equals train gives way to val and test, val to test: a model may learn a little less, a
    measurement may not be told the answer.
    """
    excluded: dict[int, int] = {}
    count = int(sides.max(initial=NO_SIDE)) + 1
    new = ~settled
    # Later sides win, settled images win over new ones. Who lost takes nobody along, and in this order no winner loses
    # later: the next split, in which all that stay are settled, is the same.
    for losers, winners in ((settled, settled), (new, settled), (new, new)):
        for winning_side in reversed(range(count)):
            losing_sides = range(count) if losers is not winners else range(winning_side)
            for losing_side in losing_sides:
                if losing_side == winning_side:
                    continue
                out = np.isin(np.arange(len(sides)), list(excluded))
                lose = losers & (sides == losing_side) & ~out
                win = winners & (sides == winning_side) & ~out
                for loser, winner in zip(*looks.pairs(lose, win), strict=True):
                    excluded.setdefault(int(loser), int(winner))
    return excluded
