"""Pictures of one ground, as those of a fixed camera are, and which of them may be the same as another.

What never changes tells nothing: pictures are compared by where their labels lie, and by what differs
from the mean of all.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.checks.descriptors import Grey
from tasks.checks.same_picture import Labels, Laid, fitted_line

Floats = NDArray[np.float32]

_BY_LABELS, _BY_PIXELS = 3, 3  # pictures that are chosen
_FEW = 3  # pictures that are all chosen
_CELL_PX, _NEAR_CELLS = 4, 1.0  # of the grid of labels, and the sigma of how near their middles are
_LOOKED_AT, _CLOSE_PX, _CLOSE = 48, 0.5, 0.2  # pictures; pixels, and share of a box's size, that tell one from another
_MISPLACED_PX, _OF_OTHER_CLASS, _HARDLY_ANY = 3.0, 1e3, 1e-3
_SIDE, _BLOCK = 48, 8  # pixels of the shrunk picture, and of the blocks in it
_MOST_MOVED, _STILL = 40, 4  # grey values from the mean, that count at most, and that are noise
_BLACK, _WHITE = 4, 250  # grey values: what is blown out tells nothing


class Scenery:
    """Images of one ground, laid over the first of them."""

    def __init__(self, number: int, reference: Grey, laid: Callable[[int], Laid]) -> None:
        self.number = number
        self.reference = reference
        self.images: list[int] = []
        self._laid = laid
        self._base: Floats | None = None  # the reference, shrunk
        self._mean: Floats = np.zeros(_SIDE * _SIDE, dtype=np.float32)
        self._values = self._covers = self._moving = np.zeros((0, _SIDE * _SIDE), dtype=np.float32)  # of each image
        self._labels: list[Floats] = []
        self._cells_wh = [-(-side // _CELL_PX) + 1 for side in reference.shape[::-1]]
        self._middles: Floats = np.zeros((self._cells_wh[0] * self._cells_wh[1], 0), dtype=np.float32)
        self._counts: Floats = np.zeros(0, dtype=np.float32)  # of labels

    def nearest(self, laid: Laid) -> Iterator[int]:
        """Those that may be the same, the likeliest first: by labels, then by pixels."""
        if len(self.images) <= _FEW:
            yield from reversed(self.images)
            return
        for image in self.images[len(self._labels) :]:
            self._describe(self._laid(image))
        by_labels: list[int] = []
        if len(laid.labels.boxes):
            likely = np.argsort(-self._by_labels(laid.labels), kind="stable")[:_LOOKED_AT]
            by_labels = self._closest(likely, laid.labels)[:_BY_LABELS].tolist()
            yield from (self.images[place] for place in by_labels)
        by_pixels = self._moving[: len(self.images)] @ self._what_moves(*self._shrunk(laid))
        for place in np.argsort(-by_pixels, kind="stable")[:_BY_PIXELS].tolist():
            if place not in by_labels:
                yield self.images[place]

    def _describe(self, laid: Laid) -> None:
        count = len(self._labels)
        small, covered = self._shrunk(laid)
        if count == len(self._values):
            self._grow(small, covered)
        self._values[count], self._covers[count] = small, covered
        self._moving[count] = self._what_moves(small, covered)
        self._labels.append(_measured(laid.labels))
        self._middles[:, count], self._counts[count] = self._spread(laid.labels), len(laid.labels.boxes)

    def _grow(self, small: Floats, covered: Floats) -> None:
        """Make room, and tell again what the ground of all is."""
        count = len(self._labels)
        more = max(4, count)
        self._values, self._covers, self._moving = (
            np.concatenate([each, np.zeros((more, each.shape[1]), dtype=np.float32)])
            for each in (self._values, self._covers, self._moving)
        )
        self._values[count], self._covers[count] = small, covered
        values, covers = self._values[: count + 1], self._covers[: count + 1]
        self._mean = (values * covers).sum(axis=0) / np.maximum(covers.sum(axis=0), 1)
        self._moving[: count + 1] = self._what_moves(values, covers)
        self._middles = np.concatenate([self._middles, np.zeros((len(self._middles), more), dtype=np.float32)], axis=1)
        self._counts = np.concatenate([self._counts, np.zeros(more, dtype=np.float32)])

    def _what_moves(self, values: Floats, covers: Floats) -> Floats:
        """What differs from the ground; each block has the length 1, so that a logo spoils no other."""
        moving = np.clip(values - self._mean, -_MOST_MOVED, _MOST_MOVED) * covers
        blocks = moving.reshape(-1, _SIDE // _BLOCK, _BLOCK, _SIDE // _BLOCK, _BLOCK)
        length = np.sqrt((blocks * blocks).sum(axis=(2, 4), keepdims=True))
        return np.asarray((blocks / (length + _STILL * _BLOCK)).reshape(values.shape), dtype=np.float32)

    def _shrunk(self, laid: Laid) -> tuple[Floats, Floats]:
        """The pixels of a picture, as bright and steep as the reference, and which of them it covers."""
        small = cv2.resize(laid.pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).ravel().astype(np.float32)
        covered = cv2.resize(laid.covered, (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST).ravel() > 0
        covered &= (small > _BLACK) & (small < _WHITE)
        if self._base is None:
            self._base = small
        elif covered.any():
            gain, offset = fitted_line(small[covered], self._base[covered])
            small = small * np.float32(gain) + np.float32(offset)
        return small, covered.astype(np.float32)

    def _cells(self, labels: Labels) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        middles = (labels.boxes[:, :2] + labels.boxes[:, 2:]) / 2 / _CELL_PX
        cells = middles.round().astype(np.int64)
        return cells, np.asarray(((cells >= 0) & (cells < self._cells_wh)).all(axis=1), dtype=np.bool_)

    def _spread(self, labels: Labels) -> Floats:
        """Where labels lie, spread to the cells around."""
        wide, tall = self._cells_wh
        grid = np.zeros((tall, wide), dtype=np.float32)
        cells, inside = self._cells(labels)
        np.add.at(grid, (cells[inside, 1], cells[inside, 0]), 1)
        spread = cv2.GaussianBlur(grid, (0, 0), _NEAR_CELLS, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(spread.ravel() * 2 * np.pi * _NEAR_CELLS**2, dtype=np.float32)

    def _by_labels(self, labels: Labels) -> Floats:
        """How many labels of each image lie near some of these, of all that both have."""
        count = len(self.images)
        cells, inside = self._cells(labels)
        places = cells[inside, 1] * self._cells_wh[0] + cells[inside, 0]
        near = self._middles[places, :count].sum(axis=0)
        return np.asarray(near / (self._counts[:count] + len(labels.boxes)), dtype=np.float32)

    def _closest(self, places: NDArray[np.int64], labels: Labels) -> NDArray[np.int64]:
        """Some images in the order of how well their labels agree with these."""
        places = places[self._counts[places] > 0]
        if not len(places):
            return places
        counts = self._counts[places].astype(np.int64)
        starts = np.cumsum(counts) - counts
        x, y, wide, tall, number = np.ascontiguousarray(np.concatenate([self._labels[place] for place in places]).T)
        own_x, own_y, own_wide, own_tall, own_number = _measured(labels).T[:, :, None]
        away_x, away_y = own_x - x, own_y - y
        unlike = _squares(
            (own_wide - wide) / (_CLOSE_PX + _CLOSE * own_wide), (own_tall - tall) / (_CLOSE_PX + _CLOSE * own_tall)
        )
        unlike += _OF_OTHER_CLASS * (own_number != number)
        # Both may be misplaced as a whole, by what most of their labels are.
        near = np.exp(-(_squares(away_x, away_y) / _MISPLACED_PX**2 + unlike) / 2)
        total = np.add.reduceat(near.sum(axis=0), starts) + np.float32(_HARDLY_ANY)
        away_x, away_y = (
            away - np.repeat(np.add.reduceat((near * away).sum(axis=0), starts) / total, counts)
            for away in (away_x, away_y)
        )
        near = np.exp(-(_squares(away_x, away_y) / _CLOSE_PX**2 + unlike) / 2)
        best = np.maximum.reduceat(near, starts, axis=1).sum(axis=0)
        return places[np.argsort(-best / (counts + len(labels.boxes)), kind="stable")]


def _measured(labels: Labels) -> Floats:
    """Middle, size and class of each label (labels, 5)."""
    low, high = labels.boxes[:, :2], labels.boxes[:, 2:]
    return np.concatenate([(low + high) / 2, high - low, labels.classes[:, None]], axis=1).astype(np.float32)


def _squares(x: Floats, y: Floats) -> Floats:
    return x * x + y * y
