"""Where images go: known sides first, then whole scenes, and blocks of time where scenes are too few."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.sides.balance import NO_SIDE, Balance, Counts, SideNumbers, place_scenes
from tasks.sides.scenes import SEVERAL, joined_scenes, one_side
from tasks.sides.time_blocks import Frames, divide_scene, extend_scene
from tasks.sides.twins import Looks

Numbers = NDArray[np.intp]


@dataclass(frozen=True)
class Board:
    """Images in order of scene and time, and what placing them depends on."""

    scenes: Numbers  # scene of each image
    features: Counts  # (images, features)
    looks: Looks
    balance: Balance
    gap: int
    seed: int


def place(board: Board, known: SideNumbers, *, divide: bool) -> SideNumbers:
    """The side of each image, known ones unchanged; -1 for images in the gaps between blocks of time.

    New images follow their scene, then the scenes that near-duplicates join with theirs. What is new altogether
    balances the sides: scene by scene, or divided in time if asked for or if there are fewer scenes than empty sides.
    """
    sides = known.copy()
    joined = joined_scenes(board.scenes, board.looks.clusters)
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
    joined = joined_scenes(np.unique(board.scenes[rows], return_inverse=True)[1], board.looks.clusters[rows])
    for number in np.unique(joined):
        members = np.isin(np.arange(len(sides)), rows[joined == number])
        seen = np.zeros((len(board.balance.fractions), len(sides)), dtype=bool)
        for side in range(len(seen)):
            seen[side, board.looks.pairs(members, sides == side)[0]] = True
        lost = [int(np.delete(seen, side, axis=0).any(axis=0).sum()) for side in range(len(seen))]
        sides[members] = int(np.argmin(lost))


def _place_new(board: Board, sides: SideNumbers, joined: Numbers, chosen: NDArray[np.bool_], *, divide: bool) -> None:
    rows = np.flatnonzero(chosen)
    groups, numbers = np.unique(joined[rows], return_inverse=True)
    placed = _placed(board, sides)
    if divide or len(groups) < int((placed[:, 0] == 0).sum()):
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


def _frames(board: Board, sides: SideNumbers, rows: Numbers) -> Frames:
    return Frames(
        board.features[rows], board.looks.last_twins(rows), _placed(board, sides), board.balance, gap=board.gap
    )


def _placed(board: Board, sides: SideNumbers) -> Counts:
    counts = np.zeros((len(board.balance.fractions), board.features.shape[1]))
    np.add.at(counts, sides[sides != NO_SIDE], board.features[sides != NO_SIDE])
    return counts
