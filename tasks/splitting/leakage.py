"""How much of val and test a model may have seen in train."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.leakage import Leak
from tasks.splitting.balance import NO_SPLIT, Features, SplitNumbers
from tasks.splitting.near_duplicates import Looks

_TRAIN = 0


@dataclass(frozen=True)
class Relations:
    """What relates images, in order of scene and time."""

    looks: Looks
    scenes: NDArray[np.intp]  # scene of each image
    tracks: NDArray[np.intp]  # track of each tracked object
    track_rows: NDArray[np.intp]  # its image


def leak(splits: SplitNumbers, relations: Relations) -> Leak:
    """Shares of the val and test images with a relative in train."""
    train, held_out = splits == _TRAIN, splits > _TRAIN
    alike = np.zeros(len(splits), dtype=bool)
    alike[relations.looks.pairs(train, held_out)[1]] = True
    same_scene = np.isin(relations.scenes, relations.scenes[train])
    return Leak(
        near_duplicate=_share(alike, held_out),
        same_group=_share(same_scene, held_out),
        neighbouring_frame=_share(_beside(train, relations.scenes), held_out),
        same_track=_share(*_tracked(train, held_out, relations)),
    )


def divided_tracks(splits: SplitNumbers, relations: Relations) -> int:
    """Tracks that are seen in more than one split."""
    in_split = splits[relations.track_rows] != NO_SPLIT
    seen = np.unique(np.column_stack([relations.tracks, splits[relations.track_rows]])[in_split], axis=0)
    return int((np.unique(seen[:, 0], return_counts=True)[1] > 1).sum())


def random_split(images: int, fractions: Features, seed: int) -> SplitNumbers:
    """What a random split of single images would do."""
    ends = np.round(np.cumsum(fractions) * images).astype(int)
    splits = np.searchsorted(ends, np.arange(images), side="right")
    return np.random.default_rng(seed).permutation(np.minimum(splits, len(fractions) - 1))


def _beside(train: NDArray[np.bool_], scenes: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Images whose neighbour in time, before or behind, is in train."""
    same = scenes[1:] == scenes[:-1]
    beside = np.zeros(len(train), dtype=bool)
    beside[1:] |= same & train[:-1]
    beside[:-1] |= same & train[1:]
    return beside


def _tracked(
    train: NDArray[np.bool_], held_out: NDArray[np.bool_], relations: Relations
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Images with a track that train knows, and held-out images with any track."""
    rows = relations.track_rows
    known = np.isin(relations.tracks, relations.tracks[train[rows]])
    leaking, tracked = np.zeros(len(train), dtype=bool), np.zeros(len(train), dtype=bool)
    leaking[rows[known]] = True
    tracked[rows] = True
    return leaking, tracked & held_out


def _share(having: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    total = int(among.sum())
    return round(int((having & among).sum()) / total, 6) if total else None
