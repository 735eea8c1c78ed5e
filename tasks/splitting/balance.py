"""How well splits are filled, and which split takes which whole scene.

Features of an image are counts: itself (1), whether it is empty, and its objects per class. Splits are numbered as in
contracts.leakage.SPLITS; -1 is none.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]  # (..., features)
SplitNumbers = NDArray[np.intp]

NO_SPLIT = -1
_RESTARTS = 10  # with the scenes in another order each
_SWAPPED_SCENES = 400  # beyond, single moves balance well enough
_MOVES = 500


@dataclass(frozen=True)
class Balance:
    """The goal: of every feature each split has its fraction. Lower cost is better; 0 is perfect."""

    fractions: Features  # (splits,)
    totals: Features  # (features,): of all images there are
    weights: Features  # (features,)

    def cost(self, splits: Features) -> float:
        """What counts of (splits, features) cost."""
        return float(self._costs(self.fractions[:, None], splits).sum())

    def split_cost(self, split: int, counts: Features) -> Features:
        """What one split with counts of (..., features) adds to the cost, for each of the leading dimensions."""
        return self._costs(self.fractions[split], counts)

    def _costs(self, fractions: Features | float, counts: Features) -> Features:
        """The squared distance from the split's fraction, relative to it as in a chi-square statistic. A class that is
        missing altogether costs more than any imbalance of it, a split without images more than all else.
        """
        distance = (counts / self.totals - fractions) ** 2 / fractions
        cost: Features = (distance + (counts <= 0)) @ self.weights + 100.0 * (counts[..., 0] <= 0)
        return cost


def image_features(labels: NDArray[np.intp], image_rows: NDArray[np.intp], images: int, classes: int) -> Features:
    """Features of (images, 2 + classes) from the class number and image row of each object."""
    features = np.zeros((images, 2 + classes))
    np.add.at(features, (image_rows, 2 + labels), 1)
    features[:, 0] = 1
    features[:, 1] = features[:, 2:].sum(axis=1) == 0
    return features


def balance_of(features: Features, fractions: Features) -> Balance:
    """The goal for these images: their number counts as much as all classes together, empty ones a quarter of that."""
    totals = features.sum(axis=0)
    weights = np.full(len(totals), 1.0 / max(1, int((totals[2:] > 0).sum())))
    weights[:2] = 1.0, 0.25
    weights[totals == 0] = 0
    return Balance(fractions, np.maximum(totals, 1), weights)


def place_scenes(scenes: Features, placed: Features, balance: Balance, seed: int) -> SplitNumbers:
    """The split of each of `scenes` (scenes, features), where `placed` (splits, features) already stands.

    Hardest first, each to where it costs least; then single moves and swaps as long as they help. The best of several
    seeded orders.
    """
    if not len(scenes):
        return np.zeros(0, dtype=np.intp)
    rng = np.random.default_rng(seed)
    hardness = (scenes / balance.totals * (balance.weights > 0)).max(axis=1)
    best, best_cost = np.zeros(0, dtype=np.intp), np.inf
    for restart in range(_RESTARTS if len(scenes) <= _SWAPPED_SCENES else 1):
        noise = rng.uniform(0.5, 1, len(scenes)) if restart else 1.0
        splits = _place_greedily(scenes, placed, balance, np.argsort(-hardness * noise, kind="stable"))
        _improve(splits, scenes, placed, balance)
        cost = balance.cost(placed + _sums(splits, scenes, len(placed)))
        # Costs that differ by rounding only must not decide.
        if cost < best_cost - 1e-9:
            best, best_cost = splits, cost
    return best


def _place_greedily(scenes: Features, placed: Features, balance: Balance, order: SplitNumbers) -> SplitNumbers:
    splits = np.full(len(scenes), NO_SPLIT)
    counts = placed.copy()
    for scene in order:
        added = [
            balance.split_cost(split, counts[split] + scenes[scene]) - balance.split_cost(split, counts[split])
            for split in range(len(counts))
        ]
        splits[scene] = int(np.argmin(np.round(added, 12)))
        counts[splits[scene]] += scenes[scene]
    return splits


def _improve(splits: SplitNumbers, scenes: Features, placed: Features, balance: Balance) -> None:
    """Move or swap scenes in place as long as it lowers the cost."""
    for _ in range(_MOVES):
        counts = placed + _sums(splits, scenes, len(placed))
        gain, changes = _best_move(splits, scenes, counts, balance)
        if len(scenes) <= _SWAPPED_SCENES:
            gain, changes = min((gain, changes), _best_swap(splits, scenes, counts, balance))
        if gain > -1e-9:
            return
        for scene, split in changes:
            splits[scene] = split


Changes = list[tuple[int, int]]  # scene, its new split


def _best_move(splits: SplitNumbers, scenes: Features, counts: Features, balance: Balance) -> tuple[float, Changes]:
    best: tuple[float, Changes] = (0.0, [])
    for source in range(len(counts)):
        members = np.flatnonzero(splits == source)
        if not len(members):
            continue
        left = balance.split_cost(source, counts[source] - scenes[members]) - balance.split_cost(source, counts[source])
        for target in set(range(len(counts))) - {source}:
            grown = balance.split_cost(target, counts[target] + scenes[members])
            change = left + grown - balance.split_cost(target, counts[target])
            index = int(np.argmin(np.round(change, 12)))
            best = min(best, (float(change[index]), [(int(members[index]), target)]))
    return best


def _best_swap(splits: SplitNumbers, scenes: Features, counts: Features, balance: Balance) -> tuple[float, Changes]:
    best: tuple[float, Changes] = (0.0, [])
    for one in range(len(counts)):
        for other in range(one + 1, len(counts)):
            ones, others = np.flatnonzero(splits == one), np.flatnonzero(splits == other)
            if not len(ones) or not len(others):
                continue
            change = scenes[others][None] - scenes[ones][:, None]  # (ones, others, features): what `one` gains
            cost = balance.split_cost(one, counts[one] + change) + balance.split_cost(other, counts[other] - change)
            cost -= balance.split_cost(one, counts[one]) + balance.split_cost(other, counts[other])
            row, column = np.unravel_index(int(np.argmin(np.round(cost, 12))), cost.shape)
            changes = [(int(ones[row]), other), (int(others[column]), one)]
            best = min(best, (float(cost[row, column]), changes))
    return best


def _sums(splits: SplitNumbers, features: Features, count: int) -> Features:
    sums = np.zeros((count, features.shape[1]))
    np.add.at(sums, splits, features)
    return sums
