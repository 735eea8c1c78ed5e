"""Where images go: known splits first, then whole scenes, and blocks of time where scenes are too few."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.splitting.balance import NO_SPLIT, Balance, Features, SplitNumbers, balance_of, place_scenes
from tasks.splitting.groups import SEVERAL, joined_scenes, one_split
from tasks.splitting.near_duplicates import Looks
from tasks.splitting.time_blocks import Frames, divide_scene, extend_scene, gap_room

Numbers = NDArray[np.intp]

_GIVEN_UP_SHARE = 0.25  # of the images, at most, look like those in other splits before scenes are divided instead


@dataclass(frozen=True)
class Board:
    """Images in order of scene and time, and what placing them depends on."""

    scenes: Numbers  # scene of each image
    features: Features  # (images, features)
    looks: Looks  # of these images and maybe others
    rows: Numbers  # which of those these are, ascending
    balance: Balance
    gap: int
    seed: int

    @property
    def clusters(self) -> NDArray[np.int64]:
        """Cluster of near-duplicates of each image."""
        return self.looks.clusters[self.rows]

    def pairs(self, one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
        """All near-duplicates between two sets of these images, as in `Looks.pairs`."""
        masks = np.zeros((2, len(self.looks.clusters)), dtype=bool)
        masks[:, self.rows] = one, other
        left, right = self.looks.pairs(*masks)
        return np.searchsorted(self.rows, left), np.searchsorted(self.rows, right)

    def part(self, rows: Numbers, splits: Sequence[int]) -> "Board":
        """Some of the images, to be placed in some of the splits, which share them as their fractions are."""
        fractions = self.balance.fractions[list(splits)]
        features = self.features[rows]
        return replace(
            self,
            scenes=self.scenes[rows],
            features=features,
            rows=self.rows[rows],
            balance=balance_of(features, fractions / fractions.sum()),
        )


def place(board: Board, known: SplitNumbers, *, divide: bool) -> SplitNumbers:
    """The split of each image, known ones unchanged; -1 for images in the gaps between blocks of time.

    New images follow their scene, then the scenes that near-duplicates join with theirs. What is new altogether
    balances the splits: scene by scene, or divided in time if asked for or if there are fewer scenes than empty splits.
    A few images that most scenes share, as of a test chart, join none if there would be too few scenes otherwise.
    """
    splits = known.copy()
    joined = joined_scenes(board.scenes, board.clusters)
    only = one_split(joined, splits)
    _fill(splits, np.where(only >= 0, only, NO_SPLIT))
    _follow_scenes(board, splits, only == SEVERAL)
    _follow_near_duplicates(board, splits, only == SEVERAL)
    _place_new(board, splits, joined, only == NO_SPLIT, divide=divide)
    return splits


def _fill(splits: SplitNumbers, wanted: SplitNumbers) -> None:
    splits[:] = np.where(splits == NO_SPLIT, wanted, splits)


def _follow_scenes(board: Board, splits: SplitNumbers, chosen: NDArray[np.bool_]) -> None:
    """New images of scenes that stand already, where near-duplicates join scenes of several splits."""
    only = one_split(board.scenes, splits)
    _fill(splits, np.where(chosen & (only >= 0), only, NO_SPLIT))
    for scene in np.unique(board.scenes[chosen & (only == SEVERAL)]):
        rows = np.flatnonzero(board.scenes == scene)
        if (splits[rows] == NO_SPLIT).any():
            splits[rows] = extend_scene(splits[rows], _frames(board, splits, rows))


def _follow_near_duplicates(board: Board, splits: SplitNumbers, chosen: NDArray[np.bool_]) -> None:
    """New scenes that look like scenes in several splits go where the fewest of their images must be left out."""
    rows = np.flatnonzero(chosen & ~np.isin(board.scenes, board.scenes[splits != NO_SPLIT]))
    if not len(rows):
        return
    # What stands in several splits already is left out wherever its scene goes.
    spread = one_split(board.clusters, splits)[rows] == SEVERAL
    joined = joined_scenes(board.scenes[rows], np.where(spread, NO_SPLIT, board.clusters[rows]))
    for number in np.unique(joined):
        members = np.isin(np.arange(len(splits)), rows[joined == number])
        seen = np.zeros((len(board.balance.fractions), len(splits)), dtype=bool)
        for split in range(len(seen)):
            seen[split, board.pairs(members, splits == split)[0]] = True
        lost = [int(np.delete(seen, split, axis=0).any(axis=0).sum()) for split in range(len(seen))]
        least = np.flatnonzero(np.array(lost) == min(lost))
        splits[members] = least[np.argmin(_added_costs(board, splits, members)[least])]


def _added_costs(board: Board, splits: SplitNumbers, rows: Numbers | NDArray[np.bool_]) -> Features:
    """What it costs each split to take all these images."""
    placed, more = _placed(board, splits), board.features[rows].sum(axis=0)
    added = [board.balance.split_cost(split, np.stack([counts, counts + more])) for split, counts in enumerate(placed)]
    costs: Features = np.round(np.diff(added)[:, 0], 12)
    return costs


def _place_new(board: Board, splits: SplitNumbers, joined: Numbers, chosen: NDArray[np.bool_], *, divide: bool) -> None:
    rows = np.flatnonzero(chosen)
    placed = _placed(board, splits)
    empty = int((placed[:, 0] == 0).sum())
    groups, numbers = np.unique(_groups(board, rows, joined[rows], empty), return_inverse=True)
    if divide or len(groups) < empty:
        scenes, sizes = np.unique(board.scenes[rows], return_counts=True)
        for scene in scenes[np.argsort(-sizes, kind="stable")]:
            members = np.flatnonzero(board.scenes == scene)
            frames = _frames(board, splits, members)
            splits[members] = divide_scene(frames)
            if (splits[members] == NO_SPLIT).all():
                # Too short to be divided.
                whole = frames.features.sum(axis=0, keepdims=True)
                splits[members] = place_scenes(whole, frames.placed, board.balance, board.seed)[0]
        return
    features = np.zeros((len(groups), board.features.shape[1]))
    np.add.at(features, numbers, board.features[rows])
    splits[rows] = place_scenes(features, placed, board.balance, board.seed)[numbers]


def _groups(board: Board, rows: Numbers, joined: Numbers, least: int) -> Numbers:
    """The joined scenes; if they are fewer than `least`, those that are left if what most scenes share joins none."""
    scenes, clusters = board.scenes[rows], board.clusters[rows].copy()
    widths = pd.Series(scenes).groupby(clusters).transform("nunique").to_numpy(copy=True)
    fewer_joined = joined
    # A scene with nothing of its own fills no split.
    while len(np.unique(fewer_joined[clusters != NO_SPLIT])) < least:
        widest = widths.max(initial=1)
        clusters[widths == widest] = NO_SPLIT
        widths[widths == widest] = 1
        if widest == 1 or (clusters == NO_SPLIT).mean() > _GIVEN_UP_SHARE:
            return joined
        fewer_joined = joined_scenes(scenes, clusters)
    return fewer_joined


def _frames(board: Board, splits: SplitNumbers, rows: Numbers) -> Frames:
    return Frames(
        board.features[rows],
        board.looks.last_alike(board.rows[rows]),
        _placed(board, splits),
        board.balance,
        gap=board.gap,
        room=gap_room(len(rows)),
    )


def _placed(board: Board, splits: SplitNumbers) -> Features:
    counts = np.zeros((len(board.balance.fractions), board.features.shape[1]))
    np.add.at(counts, splits[splits != NO_SPLIT], board.features[splits != NO_SPLIT])
    return counts
