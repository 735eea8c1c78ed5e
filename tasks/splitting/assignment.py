"""Where images go: known sides first, then whole scenes, and blocks of time where scenes are too few."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.splitting.balance import NO_SIDE, Balance, Counts, SideNumbers, balance_of, place_scenes
from tasks.splitting.groups import SEVERAL, joined_scenes, one_side
from tasks.splitting.near_duplicates import Looks
from tasks.splitting.time_blocks import Frames, divide_scene, extend_scene, gap_room

Numbers = NDArray[np.intp]

_GIVEN_UP_SHARE = 0.25  # of the images, at most, look like those on other sides before scenes are divided instead


@dataclass(frozen=True)
class Board:
    """Images in order of scene and time, and what placing them depends on."""

    scenes: Numbers  # scene of each image
    features: Counts  # (images, features)
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

    def part(self, rows: Numbers, sides: Sequence[int]) -> "Board":
        """Some of the images, to be placed on some of the sides, which share them as their fractions are."""
        fractions = self.balance.fractions[list(sides)]
        features = self.features[rows]
        return replace(
            self,
            scenes=self.scenes[rows],
            features=features,
            rows=self.rows[rows],
            balance=balance_of(features, fractions / fractions.sum()),
        )


def place(board: Board, known: SideNumbers, *, divide: bool) -> SideNumbers:
    """The side of each image, known ones unchanged; -1 for images in the gaps between blocks of time.

    New images follow their scene, then the scenes that near-duplicates join with theirs. What is new altogether
    balances the sides: scene by scene, or divided in time if asked for or if there are fewer scenes than empty sides.
    A few images that most scenes share, as of a test chart, join none if there would be too few scenes otherwise.
    """
    sides = known.copy()
    joined = joined_scenes(board.scenes, board.clusters)
    only = one_side(joined, sides)
    _fill(sides, np.where(only >= 0, only, NO_SIDE))
    _follow_scenes(board, sides, only == SEVERAL)
    _follow_twins(board, sides, only == SEVERAL)
    _place_new(board, sides, joined, only == NO_SIDE, divide=divide)
    return sides


def _fill(sides: SideNumbers, wanted: SideNumbers) -> None:
    sides[:] = np.where(sides == NO_SIDE, wanted, sides)


def _follow_scenes(board: Board, sides: SideNumbers, chosen: NDArray[np.bool_]) -> None:
    """New images of scenes that stand already, where near-duplicates join scenes of several sides."""
    only = one_side(board.scenes, sides)
    _fill(sides, np.where(chosen & (only >= 0), only, NO_SIDE))
    for scene in np.unique(board.scenes[chosen & (only == SEVERAL)]):
        rows = np.flatnonzero(board.scenes == scene)
        if (sides[rows] == NO_SIDE).any():
            sides[rows] = extend_scene(sides[rows], _frames(board, sides, rows))


def _follow_twins(board: Board, sides: SideNumbers, chosen: NDArray[np.bool_]) -> None:
    """New scenes that look like scenes on several sides go where the fewest of their images must be left out."""
    rows = np.flatnonzero(chosen & ~np.isin(board.scenes, board.scenes[sides != NO_SIDE]))
    if not len(rows):
        return
    # What stands on several sides already is left out wherever its scene goes.
    spread = one_side(board.clusters, sides)[rows] == SEVERAL
    joined = joined_scenes(board.scenes[rows], np.where(spread, NO_SIDE, board.clusters[rows]))
    for number in np.unique(joined):
        members = np.isin(np.arange(len(sides)), rows[joined == number])
        seen = np.zeros((len(board.balance.fractions), len(sides)), dtype=bool)
        for side in range(len(seen)):
            seen[side, board.pairs(members, sides == side)[0]] = True
        lost = [int(np.delete(seen, side, axis=0).any(axis=0).sum()) for side in range(len(seen))]
        least = np.flatnonzero(np.array(lost) == min(lost))
        sides[members] = least[np.argmin(_added_costs(board, sides, members)[least])]


def _added_costs(board: Board, sides: SideNumbers, rows: Numbers | NDArray[np.bool_]) -> Counts:
    """What it costs each side to take all these images."""
    placed, more = _placed(board, sides), board.features[rows].sum(axis=0)
    added = [board.balance.side_cost(side, np.stack([counts, counts + more])) for side, counts in enumerate(placed)]
    costs: Counts = np.round(np.diff(added)[:, 0], 12)
    return costs


def _place_new(board: Board, sides: SideNumbers, joined: Numbers, chosen: NDArray[np.bool_], *, divide: bool) -> None:
    rows = np.flatnonzero(chosen)
    placed = _placed(board, sides)
    empty = int((placed[:, 0] == 0).sum())
    groups, numbers = np.unique(_groups(board, rows, joined[rows], empty), return_inverse=True)
    if divide or len(groups) < empty:
        scenes, sizes = np.unique(board.scenes[rows], return_counts=True)
        for scene in scenes[np.argsort(-sizes, kind="stable")]:
            members = np.flatnonzero(board.scenes == scene)
            frames = _frames(board, sides, members)
            sides[members] = divide_scene(frames)
            if (sides[members] == NO_SIDE).all():
                # Too short to be divided.
                whole = frames.features.sum(axis=0, keepdims=True)
                sides[members] = place_scenes(whole, frames.placed, board.balance, board.seed)[0]
        return
    features = np.zeros((len(groups), board.features.shape[1]))
    np.add.at(features, numbers, board.features[rows])
    sides[rows] = place_scenes(features, placed, board.balance, board.seed)[numbers]


def _groups(board: Board, rows: Numbers, joined: Numbers, least: int) -> Numbers:
    """The joined scenes; if they are fewer than `least`, those that are left if what most scenes share joins none."""
    scenes, clusters = board.scenes[rows], board.clusters[rows].copy()
    widths = pd.Series(scenes).groupby(clusters).transform("nunique").to_numpy(copy=True)
    fewer_joined = joined
    # A scene with nothing of its own fills no side.
    while len(np.unique(fewer_joined[clusters != NO_SIDE])) < least:
        widest = widths.max(initial=1)
        clusters[widths == widest] = NO_SIDE
        widths[widths == widest] = 1
        if widest == 1 or (clusters == NO_SIDE).mean() > _GIVEN_UP_SHARE:
            return joined
        fewer_joined = joined_scenes(scenes, clusters)
    return fewer_joined


def _frames(board: Board, sides: SideNumbers, rows: Numbers) -> Frames:
    return Frames(
        board.features[rows],
        board.looks.last_twins(board.rows[rows]),
        _placed(board, sides),
        board.balance,
        gap=board.gap,
        room=gap_room(len(rows)),
    )


def _placed(board: Board, sides: SideNumbers) -> Counts:
    counts = np.zeros((len(board.balance.fractions), board.features.shape[1]))
    np.add.at(counts, sides[sides != NO_SIDE], board.features[sides != NO_SIDE])
    return counts
