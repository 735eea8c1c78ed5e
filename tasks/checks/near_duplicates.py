"""Pairs of images that are the same picture for a detector, also mirrored, turned, shifted, cropped or with a logo.

A search in three steps, each for what the one before leaves over. Descriptors tell which images may show what another
shows. Laid over it (`alignment`), an image joins its scenery: pictures of one ground, as those of a fixed camera are.
Among these it is compared with the few that look most alike, by ground and boxes (`same_picture`). Images that are the
same as one before them need not be found again, so that the work grows with what is different, not with frames.
"""

from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.checks.alignment import Points, align, corners
from tasks.checks.descriptors import Descriptors, Grey, Transform, describe, inverse, likeness, over
from tasks.checks.same_picture import Labels, Laid, compare, inside_boxes, lay
from tasks.checks.scenery import Scenery

Floats = NDArray[np.float32]

_LEAST_LIKENESS = 0.6  # of copies cropped to 85 %, 90 in 100 have 0.77; most other images have 0.5 to their nearest
_AS_GUESSED = 0.9  # without corners to follow, the first guess has to be as good as this
_SCENERIES = 3  # that are tried for an image
_IN_ONE_GO = 64
_KEPT = 1024  # pictures laid over others
# An image that differs by less than this share of the limit from one before it stands for nothing of its own.
_STANDS_FOR = 0.6


class DecodedImage(NamedTuple):
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


def near_duplicates(pictures: list[DecodedImage], limit: float) -> NearDuplicates:
    """Find all pairs; limit: difference of a box from which on it is another object.

    Of many images that are the same picture, each has a pair with the first.
    """
    search = _Search(pictures, limit)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # on pictures as small as these they cost more than they give
    try:
        for start in range(0, len(pictures), _IN_ONE_GO):
            search.add(range(start, min(start + _IN_ONE_GO, len(pictures))))
    finally:
        cv2.setNumThreads(threads)
    return NearDuplicates(search.pairs, np.array(search.clusters, dtype=np.int64))


class _Search:
    def __init__(self, pictures: list[DecodedImage], limit: float) -> None:
        self.pictures, self.limit = pictures, limit
        self.pairs: list[Pair] = []
        self.clusters: list[int] = []
        self._standing: list[int] = []
        self._known: Descriptors | None = None  # of the standing images
        self._scenery: dict[int, Scenery] = {}
        self._lie: dict[int, Transform] = {}  # of each image over the reference of its scenery
        self._times_laid: dict[int, int] = {}  # a picture that is moved must not be taken from the cache
        self._laid_once = lru_cache(maxsize=_KEPT)(self._lay)
        self._corners = lru_cache(maxsize=_KEPT)(self._find_corners)

    def add(self, images: range) -> None:
        """Find the pairs of some images with those before them."""
        described = describe([self.pictures[image].thumbnail for image in images])
        parts = [likeness(described, described)] if self._known is None else [
            likeness(described, self._known), likeness(described, described)
        ]  # fmt: skip
        values, views, of_other = (np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True))
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
                (int(columns[at]), int(views[row, at]), bool(of_other[row, at]), float(values[row, at]))
                for at in choice
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
        joined: Scenery | None = None
        for known, view, of_other, value in guesses:
            scenery = self._scenery[known]
            lie = self._align(image, known, view, of_other=of_other, is_good=value >= _AS_GUESSED)
            if lie is None:
                continue
            self._move(image, scenery, lie @ self._lie[known])
            is_there, pairs = self._pairs(image, known)
            if pairs:
                return self._join(image, scenery, pairs)
            if is_there and joined is None:
                joined, joined_lie = scenery, self._lie[image]
        if joined is None:
            joined, joined_lie = Scenery(image, self.pictures[image].thumbnail, self._laid), np.eye(3)
        self._move(image, joined, joined_lie)
        return self._join(image, joined, [])

    def _align(self, image: int, known: int, view: int, *, of_other: bool, is_good: bool) -> Transform | None:
        thumbnail, reference = self.pictures[image].thumbnail, self.pictures[known].thumbnail
        first = over(thumbnail, reference, view, of_other=of_other)
        lie = align(thumbnail, reference, self._corners(known), first)
        return first if lie is None and is_good else lie

    def _pairs(self, image: int, known: int) -> tuple[bool, list[Pair]]:
        """Whether it has the ground of its scenery, and its pairs there."""
        scenery, laid = self._scenery[image], self._laid(image)
        nearest = scenery.nearest(laid)
        near = next(nearest)
        found = {near: compare(laid, self._laid(near), self.limit)}
        if near != known and not found[near].is_same and self._lie_better(image, near):
            laid, found = self._laid(image), {}
            nearest = scenery.nearest(laid)
        for near in chain(list(found), nearest):
            if near not in found:
                found[near] = compare(laid, self._laid(near), self.limit)
            if found[near].is_same:
                first = self.clusters[near]
                if first not in found:
                    found[first] = compare(laid, self._laid(first), self.limit)
                if found[first].difference <= _STANDS_FOR * self.limit:
                    break  # it is known by the cluster
        if not any(each.same_ground for each in found.values()):
            found[known] = compare(laid, self._laid(known), self.limit)
        pairs = [self._pair(image, other, each.difference) for other, each in found.items() if each.is_same]
        return any(each.same_ground for each in found.values()), pairs

    def _lie_better(self, image: int, near: int) -> bool:
        """Lay it over an image of its scenery that may be the same, where less has moved; whether that moves it."""
        thumbnail, reference = self.pictures[image].thumbnail, self.pictures[near].thumbnail
        first = self._lie[image] @ inverse(self._lie[near])
        better = align(thumbnail, reference, self._corners(near), first)
        if better is None or better is first:
            return False
        self._move(image, self._scenery[image], better @ self._lie[near])
        return True

    def _pair(self, image: int, other: int, value: float) -> Pair:
        return Pair(image, other, self._lie[image] @ inverse(self._lie[other]), value)

    def _join(self, image: int, scenery: Scenery, pairs: list[Pair]) -> bool:
        self.pairs += pairs
        scenery.images.append(image)
        standing = [pair for pair in pairs if self.clusters[pair.other] == pair.other]
        first = min(standing, key=lambda pair: pair.difference, default=None)
        stands = first is None or first.difference > _STANDS_FOR * self.limit
        self.clusters.append(image if first is None or stands else first.other)
        return stands

    def _find_corners(self, image: int) -> Points:
        grey, labels = self.pictures[image]
        return corners(grey, inside_boxes(labels.boxes, grey.shape))

    def _laid(self, image: int) -> Laid:
        return self._laid_once(image, self._times_laid[image])

    def _move(self, image: int, scenery: Scenery, lie: Transform) -> None:
        self._scenery[image], self._lie[image] = scenery, lie
        self._times_laid[image] = self._times_laid.get(image, 0) + 1

    def _lay(self, image: int, _times: int) -> Laid:
        picture = self.pictures[image]
        return lay(picture.thumbnail, picture.labels, self._lie[image], self._scenery[image].reference)
