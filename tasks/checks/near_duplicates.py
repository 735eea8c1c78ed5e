"""Pairs of images that are the same picture for a detector, also mirrored, turned, shifted, cropped or with a logo.

A search in three steps, each for what the one before leaves over. Descriptors tell which images may show what another
shows. Laid over it (`alignment`), an image joins its scenery: pictures of one ground, as those of a fixed camera are.
Among these it is compared with the few that look most alike, by ground and boxes (`same_picture`). Images that are the
same as one before them need not be found again, so that the work grows with what is different, not with frames.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.checks.alignment import align, corners
from tasks.checks.descriptors import Descriptors, Grey, Transform, describe, likeness, over
from tasks.checks.same_picture import Labels, Laid, compare, fitted_line, lay

Floats = NDArray[np.float32]

_LEAST_LIKENESS = 0.6  # of copies cropped to 85 %, 90 in 100 have 0.77; most other images have 0.5 to their nearest
_AS_GUESSED = 0.9  # without corners to follow, the first guess has to be as good as this
_SCENERIES = 3  # that are tried for an image
_COMPARED = 5  # pictures of a scenery
_SHRUNK_SIDE = 48  # pixels, for the choice of those
_IN_ONE_GO = 64
_KEPT = 1024  # pictures laid over others
# An image that differs by less than this share of the limit from one before it stands for nothing of its own.
_STANDS_FOR = 0.6


class Picture(NamedTuple):
    """A decoded image: a thumbnail of it, and its labels over that."""

    thumbnail: Grey
    labels: Labels


class Pair(NamedTuple):
    """Two images that are the same picture: their places in what was searched."""

    image: int
    other: int  # stands before it
    lie: Transform  # where each pixel of the other's thumbnail lies in that of the image
    difference: float  # of the box that differs most


class NearDuplicates(NamedTuple):
    """What a search found."""

    pairs: list[Pair]
    clusters: NDArray[np.int64]  # of each image; all images of a cluster are the same picture as its first


def near_duplicates(pictures: list[Picture], limit: float) -> NearDuplicates:
    """Find all pairs; limit: difference of a box from which on it is another object.

    Of many images that are the same picture, each has a pair with the first.
    """
    search = _Search(pictures, limit)
    for start in range(0, len(pictures), _IN_ONE_GO):
        search.add(range(start, min(start + _IN_ONE_GO, len(pictures))))
    return NearDuplicates(search.pairs, np.array(search.clusters, dtype=np.int64))


class _Scenery:
    """Images of one ground, laid over the first of them."""

    def __init__(self, number: int, reference: Grey) -> None:
        self.number, self.reference = number, reference
        self.images: list[int] = []
        self._base: Floats | None = None  # the reference, shrunk
        self._sums: Floats = np.zeros((3, 0, 0), dtype=np.float32)  # of coverage, values and their squares

    def add(self, image: int, laid: Laid) -> None:
        small, covered = self._shrunk(laid)
        count = len(self.images)
        if count == self._sums.shape[1]:
            grown = np.zeros((3, max(2, 2 * count), len(small)), dtype=np.float32)
            grown[:, :count, : self._sums.shape[2]] = self._sums
            self._sums = grown
        self._sums[:, count] = covered, small * covered, small * small * covered
        self.images.append(image)

    def nearest(self, laid: Laid) -> list[int]:
        """The images that differ least from this one, pixel by pixel."""
        count = len(self.images)
        if count <= _COMPARED:
            return self.images
        small, covered = self._shrunk(laid)
        covers, values, squares = self._sums[:, :count]
        # The sum of the squared differences of the pixels that both cover, multiplied out.
        left = covers @ (small * small * covered) - 2 * (values @ (small * covered)) + squares @ covered
        left /= np.maximum(covers @ covered, 1)
        return [self.images[place] for place in np.argsort(left, kind="stable")[:_COMPARED]]

    def _shrunk(self, laid: Laid) -> tuple[Floats, Floats]:
        """The pixels of a picture, as bright and steep as the reference, and which of them it covers."""
        height, width = laid.pixels.shape
        factor = _SHRUNK_SIDE / max(height, width)
        size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
        covered = cv2.resize(laid.covered.view(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST).ravel() > 0
        small = cv2.resize(laid.pixels, size_wh, interpolation=cv2.INTER_AREA).ravel().astype(np.float32)
        if self._base is None:
            self._base = small
        elif covered.any():
            gain, offset = fitted_line(small[covered], self._base[covered])
            small = small * np.float32(gain) + np.float32(offset)
        return small, covered.astype(np.float32)


class _Search:
    def __init__(self, pictures: list[Picture], limit: float) -> None:
        self.pictures, self.limit = pictures, limit
        self.pairs: list[Pair] = []
        self.clusters: list[int] = []
        self._standing: list[int] = []
        self._known: Descriptors | None = None  # of the standing images
        self._scenery: dict[int, _Scenery] = {}
        self._lie: dict[int, Transform] = {}  # of each image over the reference of its scenery
        self._laid = lru_cache(maxsize=_KEPT)(self._lay)
        self._corners = lru_cache(maxsize=_KEPT)(lambda image: corners(pictures[image].thumbnail))

    def add(self, images: range) -> None:
        """Find the pairs of some images with those before them."""
        described = describe([self.pictures[image].thumbnail for image in images])
        parts = [likeness(described, described)] if self._known is None else [
            likeness(described, self._known), likeness(described, described)
        ]  # fmt: skip
        values, views, inverse = (np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True))
        before = list(self._standing)
        columns = np.array([*before, *images])
        stands = np.zeros(len(columns), dtype=bool)
        stands[: len(before)] = True
        for row, image in enumerate(images):
            choice = np.flatnonzero(stands & (values[row] >= _LEAST_LIKENESS))
            choice = choice[np.argsort(-values[row, choice], kind="stable")]
            # Of each scenery the image that looks most alike.
            sceneries = [self._scenery[columns[at]].number for at in choice]
            choice = choice[np.sort(np.unique(sceneries, return_index=True)[1])[:_SCENERIES]]
            guesses = [
                (int(columns[at]), int(views[row, at]), bool(inverse[row, at]), float(values[row, at])) for at in choice
            ]
            stands[len(before) + row] = self._place(image, guesses)
        new = np.flatnonzero(stands[len(before) :])
        self._standing += [images[row] for row in new]
        more = Descriptors(described.plain[new], described.crops[new], described.views[new, :1])
        self._known = more if self._known is None else Descriptors(
            *(np.concatenate(pair) for pair in zip(self._known, more, strict=True))
        )  # fmt: skip

    def _place(self, image: int, guesses: list[tuple[int, int, bool, float]]) -> bool:
        """Whether the image stands for something of its own, after its pairs were found."""
        joined: _Scenery | None = None
        for known, view, inverse, value in guesses:
            scenery = self._scenery[known]
            lie = self._align(image, known, view, inverse=inverse, is_good=value >= _AS_GUESSED)
            if lie is None:
                continue
            self._lie[image] = lie @ self._lie[known]
            self._scenery[image] = scenery
            is_there, pairs = self._pairs(image, known)
            if is_there and not pairs and self._lie_better(image):
                is_there, pairs = self._pairs(image, known)
            if pairs:
                return self._join(image, scenery, pairs)
            if is_there and joined is None:
                joined, joined_lie = scenery, self._lie[image]
        if joined is None:
            joined, joined_lie = _Scenery(image, self.pictures[image].thumbnail), np.eye(3)
        self._scenery[image], self._lie[image] = joined, joined_lie
        return self._join(image, joined, [])

    def _align(self, image: int, known: int, view: int, *, inverse: bool, is_good: bool) -> Transform | None:
        thumbnail, reference = self.pictures[image].thumbnail, self.pictures[known].thumbnail
        first = over(thumbnail, reference, view, inverse=inverse)
        lie = align(thumbnail, reference, self._corners(known), first)
        return first if lie is None and is_good else lie

    def _lie_better(self, image: int) -> bool:
        """Lay it over the image of its scenery that differs least, where less has moved; whether that helps."""
        (nearest, *_), lie = self._scenery[image].nearest(self._lay(image)), self._lie[image]
        first = lie @ np.linalg.inv(self._lie[nearest])
        thumbnail, reference = self.pictures[image].thumbnail, self.pictures[nearest].thumbnail
        better = align(thumbnail, reference, self._corners(nearest), first)
        if better is None:
            return False
        self._lie[image] = better @ self._lie[nearest]
        return bool((self._lie[image] != lie).any())

    def _pairs(self, image: int, known: int) -> tuple[bool, list[Pair]]:
        """Whether it has the ground of its scenery, and its pairs there."""
        scenery, laid = self._scenery[image], self._lay(image)
        nearest = scenery.nearest(laid)
        found = {
            other: compare(laid, self._laid(other), self.limit)
            for other in dict.fromkeys([known, *nearest, *(self.clusters[near] for near in nearest)])
        }
        pairs = [self._pair(image, other, each.difference) for other, each in found.items() if each.is_same]
        return any(each.same_ground for each in found.values()), pairs

    def _pair(self, image: int, other: int, value: float) -> Pair:
        return Pair(image, other, self._lie[image] @ np.linalg.inv(self._lie[other]), value)

    def _join(self, image: int, scenery: _Scenery, pairs: list[Pair]) -> bool:
        self.pairs += pairs
        scenery.add(image, self._laid(image))
        standing = [pair for pair in pairs if self.clusters[pair.other] == pair.other]
        first = min(standing, key=lambda pair: pair.difference, default=None)
        stands = first is None or first.difference > _STANDS_FOR * self.limit
        self.clusters.append(image if first is None or stands else first.other)
        return stands

    def _lay(self, image: int) -> Laid:
        picture = self.pictures[image]
        return lay(picture.thumbnail, picture.labels, self._lie[image], self._scenery[image].reference)
