"""What a picture looks like from afar, upright and as copies show it: mirrored, turned, or a part of it.

A descriptor is the picture at 12 x 12 pixels after each place was divided by the contrast around it, which leaves
brightness, contrast and shadows out. Descriptors find pictures that may be copies of each other and tell how one lies
over the other, roughly; `same_picture` tells whether they are.
"""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]
Transform = NDArray[np.float64]  # (3, 3), of homogeneous coordinates

THUMBNAIL_SIDE = 160  # pixels of the longer side
_SIDE, _DESCRIBED_SIDE = 32, 12  # pixels
_FINE, _AROUND, _FLAT = 1.0, 5.0, 2.0  # sigmas in pixels of the 32, and grey values of contrast that are none
_CROP, _SLIGHT_CROP = 0.85, 0.92  # of each side
_TURN = 5.0  # degrees; descriptors bear half of it

_MIRROR = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
_QUARTER = np.array([[0.0, 1, 0], [-1, 0, 1], [0, 0, 1]])


class View(NamedTuple):
    """One way to look at a picture; both lead from the place in what is seen to the place in the picture."""

    unit: Transform  # over a square of side 1
    degrees: float  # turned by, after that, about the centre


class Descriptors(NamedTuple):
    """Of pictures; each descriptor has the length 1."""

    plain: Floats  # (pictures, dimensions)
    crops: Floats  # (pictures, crops, dimensions)
    views: Floats  # (pictures, views, dimensions), in the order of `views`


def inverse(lie: Transform) -> Transform:
    """The transform that undoes another."""
    return np.vstack([cv2.invertAffineTransform(lie[:2]), [[0.0, 0.0, 1.0]]])


def thumbnail(grey: Grey) -> Grey:
    """The picture with a longer side of THUMBNAIL_SIDE."""
    factor = THUMBNAIL_SIDE / max(grey.shape)
    size_wh = (max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor)))
    return np.asarray(cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


@cache
def views() -> list[View]:
    """Upright, crops of it, slightly turned; the same mirrored; then what else turns a picture by right angles."""
    upright = [
        View(np.eye(3), 0),
        *(View(crop, 0) for crop in _crops()),
        *(View(np.eye(3), at) for at in (-_TURN, _TURN)),
    ]
    turns = [np.linalg.matrix_power(_QUARTER, times) for times in (1, 2, 3)]
    return [
        *upright,
        *(View(_MIRROR @ view.unit, view.degrees) for view in upright),
        *(View(first @ turn, 0) for first in (np.eye(3), _MIRROR) for turn in turns),
    ]


def describe(thumbnails: list[Grey]) -> Descriptors:
    """The descriptors of some pictures."""
    looks = (_operator() @ np.stack([_evened(each).ravel() for each in thumbnails], axis=1)).T
    looks = np.ascontiguousarray(looks, dtype=np.float32).reshape(len(thumbnails), len(views()), -1)
    looks -= looks.mean(axis=2, keepdims=True)
    looks /= np.linalg.norm(looks, axis=2, keepdims=True) + 1e-6
    return Descriptors(looks[:, 0], looks[:, 1 : 1 + len(_crops())], looks)


class Likeness(NamedTuple):
    """How much pictures (rows) look like others (columns), seen how: 1 is alike."""

    values: Floats
    view: NDArray[np.int64]  # index in `views`
    of_other: NDArray[np.bool_]  # it is the other that is seen so


def likeness(ones: Descriptors, others: Descriptors) -> Likeness:
    """The best over all ways to look at either of the two."""
    count, many, dimensions = ones.views.shape
    by_view = (ones.views.reshape(-1, dimensions) @ others.plain.T).reshape(count, many, -1)
    view = by_view.argmax(axis=1)
    values = np.take_along_axis(by_view, view[:, None], axis=1)[:, 0]
    # A picture of which the other shows a part; mirrored, the same part of the other seen mirrored.
    crops, mirror = others.crops.shape[1], many_upright()
    both = ones.views[:, [0, mirror]].reshape(-1, dimensions) @ others.crops.reshape(-1, dimensions).T
    by_crop = both.reshape(count, 2, -1, crops).transpose(0, 2, 1, 3).reshape(count, -1, 2 * crops)
    best = by_crop.argmax(axis=2)
    crop_values = np.take_along_axis(by_crop, best[..., None], axis=2)[..., 0]
    inverse = crop_values > values
    return Likeness(np.maximum(values, crop_values), np.where(inverse, _crop_views()[best], view), inverse)


def many_upright() -> int:
    """The number of views that are upright; the next is the first mirrored one."""
    return 1 + len(_crops()) + 2


def over(image: Grey, reference: Grey, view: int, *, of_other: bool) -> Transform:
    """Where each pixel of the reference lies in the image if they look alike in this way."""
    if of_other:
        return inverse(over(reference, image, view, of_other=False))
    height, width = reference.shape
    turned = _turn(views()[view].degrees, (width / 2 - 0.5, height / 2 - 0.5))
    return np.asarray(_pixels(image) @ views()[view].unit @ inverse(_pixels(reference)) @ turned)


@cache
def _crop_views() -> NDArray[np.int64]:
    """The view for each crop of a picture that looks like the other, and for each that looks like it mirrored."""
    places = _crop_places()
    mirrored = [places.index((side, 1 - x, y)) for side, x, y in places]
    return 1 + np.array([*range(len(places)), *(many_upright() + place for place in mirrored)])


def _crop_places() -> list[tuple[float, float, float]]:
    """Side of each crop, and how far right and down it lies: 0 to 1."""
    return [(_SLIGHT_CROP, 0.5, 0.5), *((_CROP, x, y) for x in (0.0, 0.5, 1.0) for y in (0.0, 0.5, 1.0))]


def _crops() -> list[Transform]:
    return [
        np.array([[side, 0, (1 - side) * x], [0, side, (1 - side) * y], [0, 0, 1]]) for side, x, y in _crop_places()
    ]


def _evened(grey: Grey) -> Floats:
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    small = cv2.GaussianBlur(small, (0, 0), _FINE)
    detail = small - cv2.GaussianBlur(small, (0, 0), _AROUND)
    contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), _AROUND))
    return np.asarray(detail / (contrast + _FLAT), dtype=np.float32)


@cache
def _operator() -> csr_array:
    """(views * dimensions, pixels): all descriptors are linear in the pixels, so that one product gives them all."""
    square = np.zeros((_SIDE, _SIDE), dtype=np.uint8)
    # The mean of each of the places is that of its pixels along both sides.
    along = cv2.resize(np.eye(_SIDE, dtype=np.float32), (_SIDE, _DESCRIBED_SIDE), interpolation=cv2.INTER_AREA)
    shrink = csr_array(np.kron(along, along))
    looks = []
    for view in views():
        lie = _pixels(square) @ view.unit @ _turn(view.degrees, (0.5, 0.5)) @ inverse(_pixels(square))
        looks.append(shrink @ _bilinear(lie))
    return csr_array(vstack(looks), dtype=np.float32)


def _bilinear(lie: Transform) -> csr_array:
    """(pixels, pixels): what each pixel of a view takes from those of the picture, whose border repeats."""
    rows, columns = np.indices((_SIDE, _SIDE)).reshape(2, -1)
    x, y, _ = lie @ np.stack([columns, rows, np.ones(len(rows))])
    x, y = np.clip(x, 0, _SIDE - 1), np.clip(y, 0, _SIDE - 1)
    left, top = np.minimum(x, _SIDE - 2).astype(int), np.minimum(y, _SIDE - 2).astype(int)
    across, down = x - left, y - top
    weights = [(1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across]
    places = [top * _SIDE + left, top * _SIDE + left + 1, (top + 1) * _SIDE + left, (top + 1) * _SIDE + left + 1]
    seen = np.tile(np.arange(len(x)), 4)
    return csr_array((np.concatenate(weights), (seen, np.concatenate(places))), shape=(len(x), len(x)))


def _pixels(grey: Grey) -> Transform:
    """From a square of side 1 to the pixels of a picture."""
    height, width = grey.shape
    return np.array([[width, 0, -0.5], [0, height, -0.5], [0, 0, 1]])


def _turn(degrees: float, centre: tuple[float, float]) -> Transform:
    return np.vstack([cv2.getRotationMatrix2D(centre, -degrees, 1), [0, 0, 1]])
