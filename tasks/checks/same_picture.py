"""Whether two pictures are the same for a detector: the same ground, and the same in each box that a label names.

Both lie one over the other. A pixel differs by what goes beyond all grey values of the other picture one pixel around,
so that a shift of less than that is none; brightness and contrast are made equal before. A box differs by the mean
square of that over the contrast in the box: a copy has 0 to 0.1, another object at the same place mostly 0.3 and more.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from tasks.checks.alignment import laid_over
from tasks.checks.descriptors import Grey, Transform, inverse

Boxes = NDArray[np.float64]  # (boxes, 4), x_min y_min x_max y_max in pixels of the thumbnail they lie over
Mask = NDArray[np.bool_]

_SQUARE, _BORDER = np.ones((3, 3), dtype=np.uint8), np.ones((5, 5), dtype=np.uint8)
_LEAST_COVERED = 0.55  # of both pictures; a crop to 85 % of each side leaves 72 %
_MOST_GROUND = 0.15  # share of the pixels that may differ: by a logo, or by what is not labelled
_MOST_UNLABELLED = 0.05  # the same where no box tells what matters
_NOTABLE, _LEAST_NOTABLE = 0.5, 12  # deviations of the picture, and grey values, that are a difference
_BLACK, _WHITE = 4, 250  # grey values: what is blown out tells no gain
_STEP = 4  # pixels; of each such one tells the gain
_ROUNDS, _FAR_OFF, _LEAST_VARIANCE = 3, 10, 1.0  # grey values from the line that count half, and their variance
_INNER = 0.1  # share of pixels that suffices
_GAINS = 0.4, 2.5  # of a box, beside that of its picture
_BLOWN = 0.05  # share of a box
_MARGIN = 0.15  # of a box's side, and a pixel
_NOISE = 4  # grey values: of boxes with less contrast nothing can be told
_SMALLEST_PX = 4  # side of a box below which pixels tell nothing
_LEAST_PX = 0.5  # side of a box below which its label tells nothing either: 2 pixels of 640
_VISIBLE, _WHOLLY = 0.5, 0.9  # of a box
_SAME_PLACE = 0.25  # of a box's size
_COPIED_PLACE = 0.1  # the same for labels that were copied with their picture
_LABELLED_PX = 0.5  # by which labels of one object differ anyway
_MOST_MISSING = 0.1  # of the small boxes that the other's labels lack
_LOGO_BOXES, _LOGO_SHARE = 0.25, 0.08  # of the boxes that a logo may hide, and of the picture
_MOSTLY = 0.8  # of what differs


@dataclass(frozen=True)
class Labels:
    """The boxes of one picture, and a number for each one's class."""

    boxes: Boxes
    classes: NDArray[np.int64]

    def over(self, lie: Transform) -> "Labels":
        """The same over a reference, whose pixels lie in this picture so."""
        if not len(self.boxes):
            return self
        ends = self.boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
        back = inverse(lie)
        # Boxes are measured from the corner of the first pixel, transforms from its centre.
        ends = (ends - 0.5) @ back[:2, :2].T + back[:2, 2] + 0.5
        return Labels(np.concatenate([ends.min(axis=1), ends.max(axis=1)], axis=1), self.classes)


@dataclass(frozen=True)
class Laid:
    """A picture as it lies over a reference."""

    pixels: Grey
    covered: Grey  # 255 for the pixels of the reference that it covers, 0 for others
    inside: Grey  # the same for those that lie in a box
    share: float  # of the picture that lies on the reference
    labels: Labels


class Comparison(NamedTuple):
    """What two pictures have in common."""

    same_ground: bool  # around the boxes
    difference: float  # of the box that differs most, 0 to the limit; infinity if they are not the same picture

    @property
    def is_same(self) -> bool:
        """Whether they are the same picture."""
        return self.difference < np.inf


class _BoxesApart(NamedTuple):
    visible: NDArray[np.float64]  # share of each box, in both
    large: Mask  # enough to tell
    by: NDArray[np.float64]


_NOTHING_IN_COMMON = Comparison(same_ground=False, difference=np.inf)
_OTHER_OBJECTS = Comparison(same_ground=True, difference=np.inf)


def lay(image: Grey, labels: Labels, lie: Transform, reference: Grey) -> Laid:
    """Lay a picture over a reference, whose pixels lie in it so."""
    height, width = image.shape
    ends = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
    back = inverse(lie)
    covered = np.zeros(reference.shape, dtype=np.uint8)
    cv2.fillConvexPoly(covered, (ends @ back[:2, :2].T + back[:2, 2]).round().astype(np.int32), 255)
    share = cv2.countNonZero(covered) * abs(np.linalg.det(lie[:2, :2])) / image.size
    covered = np.asarray(cv2.erode(covered, _BORDER, borderValue=0), dtype=np.uint8)
    pixels = np.asarray(cv2.blur(laid_over(image, lie, reference), (3, 3)), dtype=np.uint8)
    labels = labels.over(lie)
    return Laid(pixels, covered, inside_boxes(labels.boxes, covered.shape), min(share, 1.0), labels)


def compare(one: Laid, other: Laid, limit: float) -> Comparison:
    """Compare two pictures that lie over one reference; limit: difference of a box from which on it is another."""
    both = np.asarray(cv2.bitwise_and(one.covered, other.covered), dtype=np.uint8)
    if cv2.countNonZero(both) < _LEAST_COVERED * both.size or min(one.share, other.share) < _LEAST_COVERED:
        return _NOTHING_IN_COMMON
    ones, others = _equal_contrast(one.pixels, other.pixels, both)
    apart = np.asarray(cv2.bitwise_and(_beyond(ones, others), both), dtype=np.uint8)
    deviation = float(cv2.meanStdDev(others, mask=both)[1][0, 0])
    notable = cv2.threshold(apart, max(_LEAST_NOTABLE, _NOTABLE * deviation), 255, cv2.THRESH_BINARY)[1]
    ground = cv2.subtract(cv2.subtract(both, one.inside), other.inside)
    if cv2.countNonZero(cv2.bitwise_and(notable, ground)) > _MOST_GROUND * cv2.countNonZero(ground):
        return _NOTHING_IN_COMMON
    boxes = np.concatenate([one.labels.boxes, other.labels.boxes])
    if not len(boxes):
        is_same = cv2.countNonZero(notable) <= _MOST_UNLABELLED * cv2.countNonZero(both)
        return Comparison(same_ground=True, difference=0 if is_same else np.inf)
    blown = cv2.bitwise_and(cv2.threshold(cv2.max(one.pixels, other.pixels), _WHITE - 1, 1, cv2.THRESH_BINARY)[1], both)
    visible, large, apart_by = _boxes_apart(boxes, apart, both, (ones, others), blown)
    if _small_ones_missing(one, other, (visible >= _WHOLLY) & ~large):
        return _OTHER_OBJECTS
    seen = (visible >= _VISIBLE) & large
    worse = seen & (apart_by > limit)
    if worse.any() and not _is_logo(one, other, seen, worse, notable):
        return _OTHER_OBJECTS
    return Comparison(same_ground=True, difference=float(apart_by[seen & ~worse].max(initial=0)))


def inside_boxes(boxes: Boxes, shape: tuple[int, ...]) -> Grey:
    """255 for the pixels that lie in a box."""
    inside = np.zeros(shape, dtype=np.uint8)
    for left, top, right, bottom in (
        np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1).astype(int).tolist()
    ):
        cv2.rectangle(inside, (left, top), (right, bottom), 255, cv2.FILLED)
    return inside


def _equal_contrast(one: Grey, other: Grey, both: Grey) -> tuple[Grey, Grey]:
    """Both, the flatter one as steep as the other, so that what is blown out in that is so in both."""
    some = both[::_STEP, ::_STEP] > 0
    ones, others = (pixels[::_STEP, ::_STEP][some].astype(np.float32) for pixels in (one, other))
    inner = (np.minimum(ones, others) > _BLACK) & (np.maximum(ones, others) < _WHITE)
    if inner.sum() > _INNER * len(inner):
        ones, others = ones[inner], others[inner]
    gain, offset = fitted_line(ones, others)
    if gain >= 1:
        return np.asarray(cv2.addWeighted(one, gain, one, 0, offset), dtype=np.uint8), other
    return one, np.asarray(cv2.addWeighted(other, 1 / gain, other, 0, -offset / gain), dtype=np.uint8)


def fitted_line(x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[float, float]:
    """Gain and offset from grey values of one picture to those of another, whatever a part of them are.

    By least squares, in which what lies far off the line counts less (weights of Cauchy). None are left out: a picture
    of two grey values, as a board is, tells no gain without the fewer ones.
    """
    gain, offset = _line(x, y, np.ones_like(x))
    for _ in range(_ROUNDS):
        left = (np.float32(gain) * x + (np.float32(offset) - y)) * np.float32(1 / _FAR_OFF)
        gain, offset = _line(x, y, np.asarray(1 / (1 + left * left), dtype=np.float32))
    return gain, offset


def _line(x: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32]) -> tuple[float, float]:
    total, weighted = float(weight.sum()), weight * x
    mean_x, mean_y = float(weighted.sum()) / total, float(weight @ y) / total
    variance, shared = float(weighted @ x) / total - mean_x**2, float(weighted @ y) / total - mean_x * mean_y
    gain = min(max(shared / variance, 0.3), 3.0) if variance > _LEAST_VARIANCE else 1.0
    return gain, mean_y - gain * mean_x


def _beyond(one: Grey, other: Grey) -> Grey:
    """Grey values by which either goes beyond the other's one pixel around."""
    low, high = cv2.erode(one, _SQUARE), cv2.dilate(one, _SQUARE)
    other_low, other_high = cv2.erode(other, _SQUARE), cv2.dilate(other, _SQUARE)
    beyond_one = cv2.max(cv2.subtract(other, high), cv2.subtract(low, other))
    beyond_other = cv2.max(cv2.subtract(one, other_high), cv2.subtract(other_low, one))
    return np.asarray(cv2.max(beyond_one, beyond_other), dtype=np.uint8)


def _boxes_apart(boxes: Boxes, apart: Grey, both: Grey, equal: tuple[Grey, Grey], blown: Grey) -> _BoxesApart:
    """Compare inside each box. equal: the pixels of both at equal contrast; blown: 1 where one of them is blown out."""
    around = (boxes[:, 2:] - boxes[:, :2]) * _MARGIN + 1
    wide = np.concatenate([np.floor(boxes[:, :2] - around), np.ceil(boxes[:, 2:] + around)], axis=1)
    whole = np.maximum(np.prod(wide[:, 2:] - wide[:, :2], axis=1), 1)
    height, width = both.shape
    wide = np.clip(wide, 0, [width, height, width, height]).astype(np.int64)
    ends = _ends(wide, width)
    x, y = (cv2.bitwise_and(pixels, both) for pixels in equal)
    count = _sums(cv2.integral(both), ends) / 255
    filled = np.maximum(count, 1)
    (sum_x, sum_xx), (sum_y, sum_yy) = cv2.integral2(x), cv2.integral2(y)
    mean_x, mean_y, xx, yy = (_sums(total, ends) / filled for total in (sum_x, sum_y, sum_xx, sum_yy))
    variance_x, variance_y = np.maximum(xx - mean_x**2, 0), np.maximum(yy - mean_y**2, 0)
    contrast = np.sqrt(np.maximum(variance_x, variance_y)) + _NOISE
    square = _sums(cv2.integral2(apart)[1], ends) / filled
    if cv2.countNonZero(blown):
        # Where colours are blown out, one gain for the whole picture does not fit: such boxes have one of their own.
        product = cv2.integral(cv2.multiply(x, y, dtype=cv2.CV_32F), sdepth=cv2.CV_64F)
        shared = _sums(product, ends) / filled - mean_x * mean_y
        gain = np.clip(shared / np.maximum(variance_x, 1), *_GAINS)
        left = np.maximum(variance_y - 2 * gain * shared + gain**2 * variance_x, 0)
        is_blown = _sums(cv2.integral(blown), ends) > _BLOWN * filled
        square = np.where(is_blown, np.minimum(square, left), square)
    large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= _SMALLEST_PX
    return _BoxesApart(count / whole, large, np.sqrt(square) / contrast)


def _ends(boxes: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Where the four sums that make up each box stand in an integral image (4, boxes)."""
    left, top, right, bottom = boxes.T
    top, bottom = top * (width + 1), bottom * (width + 1)
    return np.stack([bottom + right, top + right, bottom + left, top + left])


def _sums(integral: MatLike, ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum of the values in each box."""
    parts = np.asarray(integral, dtype=integral.dtype).ravel()[ends].astype(np.float64)
    sums: NDArray[np.float64] = parts[0] - parts[1] - parts[2] + parts[3]
    return sums


def _matched(one: Labels, other: Labels, share: float) -> Mask:
    """Which boxes of both, one after the other, have a box of their class in the other picture at their place.

    share: of their size, by which the middles of both may be apart; and a pixel.
    """
    (middle, size), (other_middle, other_size) = (
        (labels.boxes[:, :2] / 2 + labels.boxes[:, 2:] / 2, labels.boxes[:, 2:] - labels.boxes[:, :2])
        for labels in (one, other)
    )
    allowed = share * (size[:, None] / 2 + other_size / 2) + _LABELLED_PX
    same = (np.abs(middle[:, None] - other_middle) <= allowed).all(axis=2)
    same &= one.classes[:, None] == other.classes
    return np.concatenate([same.any(axis=1), same.any(axis=0)])


def _small_ones_missing(one: Laid, other: Laid, small: Mask) -> bool:
    """Whether labels say that small objects are elsewhere; a picture without any labels says nothing."""
    if not small.any() or not len(one.labels.boxes) or not len(other.labels.boxes):
        return False
    boxes = np.concatenate([one.labels.boxes, other.labels.boxes])
    small = small & ((boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= _LEAST_PX)
    matched = _matched(one.labels, other.labels, _SAME_PLACE)
    return bool((small & ~matched).sum() > _MOST_MISSING * max(small.sum(), 1))


def _is_logo(one: Laid, other: Laid, seen: Mask, worse: Mask, notable: MatLike) -> bool:
    """Whether all that differs lies close together over few of the boxes, and labels do not tell otherwise.

    In a corner, where logos are set, or over boxes that the labels of both have at the same place.
    """
    if worse.sum() > _LOGO_BOXES * seen.sum():
        return False
    _, _, parts, _ = cv2.connectedComponentsWithStats(cv2.dilate(notable, _BORDER))
    left, top, wide, tall, area = parts[1:][parts[1:, cv2.CC_STAT_AREA].argmax()] if len(parts) > 1 else [0] * 5
    if area < _MOSTLY * parts[1:, cv2.CC_STAT_AREA].sum() or tall * wide > _LOGO_SHARE * notable.size:
        return False
    if len(one.labels.boxes) and len(other.labels.boxes):
        return bool(_matched(one.labels, other.labels, _COPIED_PLACE)[worse].all())
    height, width = notable.shape
    return bool(min(top, height - top - tall) < height / 10 and min(left, width - left - wide) < width / 10)
