"""Splits that the subsets of CVAT name: as labelled, and what the splits that no subset names are filled from.

A split that a subset names is as labelled: nothing is placed in it for the sake of balance. What no subset names (val,
in the usual project of Train and Test) is filled from Train and from images without a subset, as whole scenes; never
from val or test. Images without a subset go to train beside it, or with the scene they belong to.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.errors import PipelineError
from tasks.contracts.leakage import SPLITS, SplitName
from tasks.splitting.assignment import Board, place
from tasks.splitting.balance import NO_SPLIT, SplitNumbers
from tasks.splitting.groups import joined_scenes, one_split

TRAIN = SPLITS.index("train")
_USUAL: dict[str, SplitName] = {
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
    named: SplitNumbers  # the split that it names; -1: none

    def is_open(self, split: int) -> bool:
        """Whether images may be placed in a split: in train, and where no subset says what stands there."""
        return split == TRAIN or not (self.named == split).any()

    @property
    def open_splits(self) -> list[int]:
        """Splits as numbers, train first."""
        return [split for split in range(len(SPLITS)) if self.is_open(split)]

    @property
    def taken_from_train(self) -> bool:
        """Whether images of subset Train fill other splits too."""
        return len(self.open_splits) > 1

    @property
    def placed(self) -> NDArray[np.bool_]:
        """Images whose split is ours to find, not the subset's."""
        placed: NDArray[np.bool_] = (self.named == NO_SPLIT) | (self.taken_from_train & (self.named == TRAIN))
        return placed

    def contradicted(self, memory: SplitNumbers, named_before: SplitNumbers) -> int:
        """Images that have a split already and not the one that their subset names, nor were they taken from Train."""
        taken = (named_before == TRAIN) & (self.named == TRAIN)
        return int(((memory != NO_SPLIT) & (self.named != NO_SPLIT) & (memory != self.named) & ~taken).sum())


def split_numbers(splits: pd.Series) -> SplitNumbers:
    """Splits by name as numbers; null: -1."""
    numbers = {split: number for number, split in enumerate(SPLITS)}
    return np.asarray(splits.map(numbers).fillna(NO_SPLIT), dtype=np.intp)


def subsets_of(names: pd.Series, named: Mapping[str, SplitName]) -> Subsets:
    """What subsets say by their usual names, in any case, and by those that `named` adds."""
    splits_of = _USUAL | {name.casefold(): split for name, split in named.items()}
    return Subsets(names, split_numbers(names.astype(object).str.casefold().map(splits_of)))


def require_subsets(images: pd.DataFrame, named: Iterable[str]) -> None:
    """Raise PipelineError if there is no image in a subset that params name."""
    exist = sorted(images["subset"].dropna().unique())
    folded = {name.casefold() for name in exist}
    unknown = [name for name in named if name.casefold() not in folded]
    if unknown:
        known = f"Subsets are {', '.join(exist)}" if exist else "No image has a subset: set split.use_subsets to false"
        raise PipelineError(f"no image is in a subset {', '.join(unknown)}", "params.yaml: split.subsets", known)


def place_by_subsets(board: Board, memory: SplitNumbers, subsets: Subsets, *, divide: bool) -> SplitNumbers:
    """The split of each image, those of `memory` unchanged; -1 for images in the gaps between blocks of time."""
    splits = np.where(memory == NO_SPLIT, np.where(subsets.placed, NO_SPLIT, subsets.named), memory)
    _follow_closed(board, splits, subsets)
    open_splits = subsets.open_splits
    rows = np.flatnonzero(np.isin(splits, [NO_SPLIT, *open_splits]))
    if len(open_splits) == 1:
        splits[rows] = open_splits[0]
        return splits
    if len(rows):
        compact = np.full(len(SPLITS) + 1, NO_SPLIT)  # NO_SPLIT is the last
        compact[open_splits] = np.arange(len(open_splits))
        placed = place(board.part(rows, open_splits), compact[splits[rows]], divide=divide)
        splits[rows] = np.array([*open_splits, NO_SPLIT])[placed]
    return splits


def _follow_closed(board: Board, splits: SplitNumbers, subsets: Subsets) -> None:
    """Images without a subset whose scene, or scenes that look alike, are all in one split as labelled: they join."""
    closed = [split for split in range(len(SPLITS)) if not subsets.is_open(split)]
    # Images of subset Train that are yet to be placed speak for their scene too.
    spoken = np.where(splits == NO_SPLIT, subsets.named, splits)
    for groups in (joined_scenes(board.scenes, board.clusters), board.scenes):
        only = one_split(groups, spoken)
        follow = (spoken == NO_SPLIT) & np.isin(only, closed)
        splits[follow] = spoken[follow] = only[follow]
