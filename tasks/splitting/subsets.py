"""Sides that the subsets of CVAT name: as labelled, and what the sides that no subset names are filled from.

A side that a subset names is as labelled: nothing is placed on it for the sake of balance. What no subset names (val,
in the usual project of Train and Test) is filled from Train and from images without a subset, as whole scenes; never
from val or test. Images without a subset go to train beside it, or with the scene they belong to.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.errors import PipelineError
from tasks.contracts.leakage import SIDES, Side
from tasks.splitting.assignment import Board, place
from tasks.splitting.balance import NO_SIDE, SideNumbers
from tasks.splitting.groups import joined_scenes, one_side

TRAIN = SIDES.index("train")
_USUAL: dict[str, Side] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Subsets:
    """What the subsets of images say, in order of the images."""

    names: pd.Series  # subset of each image; null: none
    named: SideNumbers  # the side that it names; -1: none

    def is_open(self, side: int) -> bool:
        """Whether images may be placed on a side: on train, and where no subset says what stands there."""
        return side == TRAIN or not (self.named == side).any()

    @property
    def open_sides(self) -> list[int]:
        """Sides as numbers, train first."""
        return [side for side in range(len(SIDES)) if self.is_open(side)]

    @property
    def taken_from_train(self) -> bool:
        """Whether images of subset Train fill other sides too."""
        return len(self.open_sides) > 1

    @property
    def placed(self) -> NDArray[np.bool_]:
        """Images whose side is ours to find, not the subset's."""
        placed: NDArray[np.bool_] = (self.named == NO_SIDE) | (self.taken_from_train & (self.named == TRAIN))
        return placed

    def contradicted(self, memory: SideNumbers, named_before: SideNumbers) -> int:
        """Images that have a side already and not the one that their subset names, nor were they taken from Train."""
        taken = (named_before == TRAIN) & (self.named == TRAIN)
        return int(((memory != NO_SIDE) & (self.named != NO_SIDE) & (memory != self.named) & ~taken).sum())


def side_numbers(sides: pd.Series) -> SideNumbers:
    """Sides by name as numbers; null: -1."""
    numbers = {side: number for number, side in enumerate(SIDES)}
    return np.asarray(sides.map(numbers).fillna(NO_SIDE), dtype=np.intp)


def subsets_of(names: pd.Series, named: Mapping[str, Side]) -> Subsets:
    """What subsets say by their usual names, in any case, and by those that `named` adds."""
    sides_of = _USUAL | {name.casefold(): side for name, side in named.items()}
    return Subsets(names, side_numbers(names.astype(object).str.casefold().map(sides_of)))


def require_subsets(images: pd.DataFrame, named: Iterable[str]) -> None:
    """Raise PipelineError if there is no image in a subset that params name."""
    exist = sorted(images["subset"].dropna().unique())
    folded = {name.casefold() for name in exist}
    unknown = [name for name in named if name.casefold() not in folded]
    if unknown:
        known = f"Subsets are {', '.join(exist)}" if exist else "No image has a subset: set split.use_subsets to false"
        raise PipelineError(f"no image is in a subset {', '.join(unknown)}", "params.yaml: split.subsets", known)


def place_by_subsets(board: Board, memory: SideNumbers, subsets: Subsets, *, divide: bool) -> SideNumbers:
    """The side of each image, those of `memory` unchanged; -1 for images in the gaps between blocks of time."""
    sides = np.where(memory == NO_SIDE, np.where(subsets.placed, NO_SIDE, subsets.named), memory)
    _follow_closed(board, sides, subsets)
    open_sides = subsets.open_sides
    rows = np.flatnonzero(np.isin(sides, [NO_SIDE, *open_sides]))
    if len(open_sides) == 1:
        sides[rows] = open_sides[0]
        return sides
    if len(rows):
        compact = np.full(len(SIDES) + 1, NO_SIDE)  # NO_SIDE is the last
        compact[open_sides] = np.arange(len(open_sides))
        placed = place(board.part(rows, open_sides), compact[sides[rows]], divide=divide)
        sides[rows] = np.array([*open_sides, NO_SIDE])[placed]
    return sides


def _follow_closed(board: Board, sides: SideNumbers, subsets: Subsets) -> None:
    """Images without a subset whose scene, or scenes that look alike, are all on one side as labelled: they join it."""
    closed = [side for side in range(len(SIDES)) if not subsets.is_open(side)]
    # Images of subset Train that are yet to be placed speak for their scene too.
    spoken = np.where(sides == NO_SIDE, subsets.named, sides)
    for groups in (joined_scenes(board.scenes, board.clusters), board.scenes):
        only = one_side(groups, spoken)
        follow = (spoken == NO_SIDE) & np.isin(only, closed)
        sides[follow] = spoken[follow] = only[follow]
