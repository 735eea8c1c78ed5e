"""One scene in several splits: blocks of time with a gap between them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, permutations

import numpy as np
from numpy.typing import NDArray

from tasks.splitting.balance import NO_SPLIT, Balance, Features, SplitNumbers

_RAREST_CLASSES = 5  # cuts through their appearances are tried
_GAP_SHARE = 0.05  # of its scene that all gaps together take at most: a short scene would be gaps alone
_TRAIN = 0
# An image left out at a cut costs as much as this share of all images missing from a split, roughly.
_LOSS_WEIGHT = 1.0


@dataclass(frozen=True)
class Frames:
    """Frames of one scene in order, and what stands already."""

    features: Features  # (frames, features)
    last_alike: NDArray[np.intp]  # for each frame the last one that looks like it; itself if none does
    placed: Features  # (splits, features): what stands in the splits
    balance: Balance
    gap: int  # frames of each gap, at most
    room: int  # frames that all gaps together may take
    before: int = NO_SPLIT  # split of the frame before the first

    def part(self, start: int, stop: int, before: int, room: int) -> "Frames":
        """The frames from `start` up to `stop`, behind a frame of split `before`, with `room` of their own."""
        last_alike = np.clip(self.last_alike[start:stop], None, stop - 1) - start
        return replace(self, features=self.features[start:stop], last_alike=last_alike, before=before, room=room)

    def backwards(self) -> "Frames":
        """The frames from last to first; what looks alike is then not known and counts as nothing."""
        return replace(self, features=self.features[::-1], last_alike=np.arange(len(self.features)))


def gap_room(frames: int) -> int:
    """Frames that the gaps of a scene of so many frames may take, all gaps together."""
    return int(frames * _GAP_SHARE)


def divide_scene(frames: Frames) -> SplitNumbers:
    """The split of each frame of a scene; -1 in the gaps.

    Sequences of splits are tried with cuts at several places, then each cut is moved as long as that fills the splits
    better or leaves out fewer frames.
    """
    best_cost, best = np.inf, np.full(len(frames.features), NO_SPLIT)
    for layout in _layouts(len(frames.placed), whole=bool(frames.placed[:, 0].all())):
        blocks = _Blocks(layout, frames)
        for weights in _frame_weights(frames.features):
            cuts = blocks.first_cuts(weights)
            if cuts is None:
                continue
            cost = blocks.improve(cuts)
            if cost < best_cost - 1e-9:
                best_cost, best = cost, blocks.splits(cuts)
    return best


def _layouts(splits: int, *, whole: bool) -> Iterator[tuple[int, ...]]:
    """Sequences of splits, simplest first: every order, once or repeated, and train between the others."""
    if whole:
        yield from ((split,) for split in range(splits))
        yield from permutations(range(splits), 2)
    for times in (1, 2, 3):
        yield from (order * times for order in permutations(range(splits)))
    if splits == 3:
        yield from ((0, 1, 0, 2), (0, 2, 0, 1), (1, 0, 2, 0), (2, 0, 1, 0), (0, 1, 0, 2, 0), (0, 2, 0, 1, 0))


def _frame_weights(features: Features) -> Iterator[NDArray[np.float64]]:
    """Weights of frames whose quantiles are cuts to start from: even, or drawn to where a rare class appears."""
    even = np.full(len(features), 1 / len(features))
    yield even
    seen = features[:, 2:].sum(axis=0)
    rarest = [index for index in np.argsort(seen, kind="stable") if seen[index] > 0][:_RAREST_CLASSES]
    for index in rarest:
        yield 0.1 * even + 0.9 * features[:, 2 + index] / seen[index]


class _Blocks:
    """The blocks of one layout, and what their cuts cost. A gap lies at the start of each block but the first."""

    def __init__(self, layout: tuple[int, ...], frames: Frames) -> None:
        self.layout = layout
        self.placed, self.balance = frames.placed, frames.balance
        borders = list(pairwise([layout[0] if frames.before == NO_SPLIT else frames.before, *layout]))
        # A cut costs what its gap should take, even where there is room for less: or else many cuts with gaps of
        # nothing would be cheap.
        self.wanted = [min(frames.gap, frames.room) if one != other else 0 for one, other in borders]
        self.gaps = _gaps(borders, frames.gap, frames.room)
        self.frames = len(frames.features)
        self.shortest = max(1, *self.wanted)  # frames of a block
        self.sums = np.concatenate([np.zeros((1, frames.features.shape[1])), np.cumsum(frames.features, axis=0)])
        lost = {gap: _lost_at_cuts(frames.last_alike, gap) for gap in set(self.gaps[1:])}
        self.lost = [lost[gap] for gap in self.gaps[1:]]  # for each cut, wherever it is

    def first_cuts(self, weights: NDArray[np.float64]) -> list[int] | None:
        """Cuts that give each block its share of `weights`; null if the scene is too short for so many blocks."""
        least = [gap + self.shortest for gap in self.gaps]
        if sum(least) > self.frames:
            return None
        shares = np.array([self.balance.fractions[split] / self.layout.count(split) for split in self.layout])
        inner = np.searchsorted(np.cumsum(weights), np.cumsum(shares / shares.sum())[:-1]).tolist()
        cuts = [0, *inner, self.frames]
        for index in range(1, len(cuts) - 1):
            earliest = cuts[index - 1] + least[index - 1]
            latest = self.frames - sum(least[index:])
            cuts[index] = min(max(cuts[index], earliest), latest)
        return cuts

    def improve(self, cuts: list[int]) -> float:
        """Move cuts in place as long as it lowers the cost, in ever smaller steps; gives the cost."""
        cost = self.cost(cuts)
        step = max(1, self.frames // 8)
        while step:
            moved = False
            for index in range(1, len(cuts) - 1):
                for change in (-step, step):
                    cuts[index] += change
                    new_cost = self.cost(cuts) if self._fits(cuts) else np.inf
                    if new_cost < cost - 1e-9:
                        cost, moved = new_cost, True
                    else:
                        cuts[index] -= change
            step = step if moved else step // 2
        return cost

    def cost(self, cuts: Sequence[int]) -> float:
        counts = self.placed.copy()
        for split, (start, stop) in zip(self.layout, self._spans(cuts), strict=True):
            counts[split] += self.sums[stop] - self.sums[start]
        lost = sum(self.wanted) + sum(int(at[cut]) for at, cut in zip(self.lost, cuts[1:-1], strict=True))
        return self.balance.cost(counts) + _LOSS_WEIGHT * float(lost / self.balance.totals[0])

    def splits(self, cuts: Sequence[int]) -> SplitNumbers:
        """The number of the split that each frame gets, (frames,)."""
        splits = np.full(self.frames, NO_SPLIT)
        for split, (start, stop) in zip(self.layout, self._spans(cuts), strict=True):
            splits[start:stop] = split
        return splits

    def _fits(self, cuts: Sequence[int]) -> bool:
        return all(stop - start >= self.shortest for start, stop in self._spans(cuts))

    def _spans(self, cuts: Sequence[int]) -> list[tuple[int, int]]:
        return [(start + gap, stop) for gap, (start, stop) in zip(self.gaps, pairwise(cuts), strict=True)]


def _gaps(borders: Sequence[tuple[int, int]], gap: int, room: int) -> list[int]:
    """Frames of the gap at each border of two splits, as even as `room` lets them be; what is over lies at train."""
    gaps = [0] * len(borders)
    cuts = [number for number, (one, other) in enumerate(borders) if one != other]
    beside_train_first = sorted(cuts, key=lambda number: _TRAIN not in borders[number])
    for place, number in enumerate(beside_train_first):
        gaps[number] = min(gap, room // len(cuts) + (place < room % len(cuts)))
    return gaps


def _lost_at_cuts(last_alike: NDArray[np.intp], gap: int) -> NDArray[np.intp]:
    """For each cut, the frames before it that look like one behind it and its gap: they will have to be left out."""
    frames = len(last_alike)
    changes = np.zeros(frames + 2, dtype=np.intp)
    # Frame i is lost at the cuts from i + 1 to last_alike[i] - gap.
    reach = last_alike - gap >= np.arange(frames) + 1
    np.add.at(changes, np.flatnonzero(reach) + 1, 1)
    np.add.at(changes, last_alike[reach] - gap + 1, -1)
    return np.cumsum(changes)


def extend_scene(known: SplitNumbers, frames: Frames) -> SplitNumbers:
    """Splits for the new frames (-1 in `known`) of a scene that is divided already; known ones stay.

    Between two frames of one split new ones join it. Between two splits a gap of the middle frames stays free. Frames
    before the first or behind the last known one join it if they are few, and are divided in turn if they are many.
    """
    splits = known.copy()
    placed = np.flatnonzero(known != NO_SPLIT)
    gaps = _inner_gaps(known, placed, frames.gap, frames.room)
    for (left, right), free in zip(pairwise(placed.tolist()), gaps, strict=True):
        joined = left + 1 + (right - left - free) // 2
        splits[left + 1 : joined] = known[left]
        splits[joined + free : right] = known[right]
    first, last, room = int(placed[0]), int(placed[-1]), frames.room - sum(gaps)
    # Most scenes grow at their end.
    splits[last + 1 :] = _outer(frames.part(last + 1, len(known), int(known[last]), room))
    room -= int((splits[last + 1 :] == NO_SPLIT).sum())
    splits[:first] = _outer(frames.part(0, first, int(known[first]), room).backwards())[::-1]
    return splits


def _inner_gaps(known: SplitNumbers, placed: NDArray[np.intp], gap: int, room: int) -> list[int]:
    """Frames that stay free between each known frame and the next.

    As wide as the gaps of the first division, so that dividing again changes nothing; where frames are gone since, and
    with them room, the widest gaps give way.
    """
    between = np.diff(placed) - 1
    gaps = np.where(known[placed[1:]] == known[placed[:-1]], 0, np.minimum(between, gap))
    while gaps.sum() > room:
        gaps[np.argmax(gaps)] -= 1
    return [int(frames) for frames in gaps]


def _outer(frames: Frames) -> SplitNumbers:
    no_room = frames.gap > frames.room == 0
    if len(frames.features) < max(20, 5 * frames.gap) or no_room:
        return np.full(len(frames.features), frames.before)
    return divide_scene(frames)
