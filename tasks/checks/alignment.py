"""How one picture lies over another, to a fraction of a thumbnail's pixel."""

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.checks.descriptors import Grey, Transform

Points = NDArray[np.float32]  # (points, 1, 2), x and y

_POINTS, _APART = 40, 5  # corners to follow, and pixels between them
_ENOUGH_OF_GROUND = 20
_FEWEST = 8  # corners that have to agree
_LEAST_SHARE = 0.3  # of the corners; the others lie on what moved
_ROUNDS = 3
_WINDOW = (11, 11)
_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 8, 0.05)
_COARSE_PX, _FINE_PX = 2.0, 1.0  # from where a corner should be
_STILL_PX = 0.5
_ENOUGH_FOR_AFFINE = 20
_EDGE, _AS_GOOD = 40, 1.05  # grey values; times as much as is left by another transform


def corners(grey: Grey, inside: Grey) -> Points:
    """The clearest corners of a thumbnail: of the ground, as objects move, unless it has few. inside: 255 in boxes."""
    ground = cv2.goodFeaturesToTrack(grey, _POINTS, 0.01, _APART, mask=cv2.bitwise_not(inside), blockSize=5)
    if ground is not None and len(ground) >= _ENOUGH_OF_GROUND:
        return np.asarray(ground, dtype=np.float32)
    found = cv2.goodFeaturesToTrack(grey, _POINTS, 0.01, _APART, blockSize=5)
    return np.zeros((0, 1, 2), dtype=np.float32) if found is None else np.asarray(found, dtype=np.float32)


def align(image: Grey, reference: Grey, points: Points, first: Transform) -> Transform | None:
    """Where each pixel of the reference lies in the image, from a first guess; None if they have little in common.

    points: corners of the reference. They are followed into the image, laid over it by what is known so far
    (Lucas-Kanade), and the movement that most of them agree on (RANSAC) tells more.
    """
    lie = first
    if len(points) < _FEWEST:
        return None
    for number in range(_ROUNDS):
        laid = _same_contrast(laid_over(image, lie, reference), reference)
        found, tracked, _ = cv2.calcOpticalFlowPyrLK(
            reference, laid, points, np.empty_like(points), winSize=_WINDOW, maxLevel=1 if number else 2, criteria=_STOP
        )
        inside = _within(found[:, 0], lie, image) & tracked[:, 0].astype(np.bool_)
        if inside.sum() < _FEWEST:
            return None
        movement = _movement(points[inside, 0], found[inside, 0], fine=number > 0)
        if movement is None:
            return None
        lie = lie @ movement
        if _apart(movement, np.eye(3), reference) < _STILL_PX:
            break
    # Most copies lie exactly as guessed, and so do the pictures of a fixed camera: no errors may add up there.
    if _apart(lie, first, reference) < _STILL_PX:
        return first
    return first if _left(image, first, reference) <= _AS_GOOD * _left(image, lie, reference) else lie


def _left(image: Grey, lie: Transform, reference: Grey) -> float:
    """Mean difference of grey values, in which what moved counts no more than an edge does."""
    apart = cv2.absdiff(_same_contrast(laid_over(image, lie, reference), reference), reference)
    return float(np.minimum(apart, _EDGE).mean())


def _apart(one: Transform, other: Transform, reference: Grey) -> float:
    """Pixels between where two transforms bring the corners of the reference, at most."""
    height, width = reference.shape
    ends = np.array([[0, 0, 1], [width, height, 1], [width, 0, 1], [0, height, 1]])
    return float(np.abs(ends @ (one - other).T).max())


def laid_over(image: Grey, lie: Transform, reference: Grey) -> Grey:
    """The image as it lies over the reference; what it does not cover repeats its border."""
    height, width = reference.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(image, lie[:2], (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(laid, dtype=np.uint8)


def _same_contrast(laid: Grey, reference: Grey) -> Grey:
    (mean, deviation), (aim, aimed) = cv2.meanStdDev(laid), cv2.meanStdDev(reference)
    gain = float(aimed[0, 0] / max(deviation[0, 0], 1))
    return np.asarray(cv2.addWeighted(laid, gain, laid, 0, float(aim[0, 0] - gain * mean[0, 0])), dtype=np.uint8)


def _within(places: NDArray[np.float32], lie: Transform, image: Grey) -> NDArray[np.bool_]:
    there = places @ lie[:2, :2].T + lie[:2, 2]
    return np.asarray(((there >= 0) & (there <= np.array(image.shape[::-1]) - 1)).all(axis=1), dtype=np.bool_)


def _movement(before: NDArray[np.float32], after: NDArray[np.float32], *, fine: bool) -> Transform | None:
    limit = _FINE_PX if fine else _COARSE_PX
    similar, agree = cv2.estimateAffinePartial2D(
        before, after, method=cv2.RANSAC, ransacReprojThreshold=limit, maxIters=200, confidence=0.99
    )
    if similar is None or agree.sum() < max(_FEWEST, _LEAST_SHARE * len(before)):
        return None
    if fine and agree.sum() >= _ENOUGH_FOR_AFFINE:
        chosen = agree[:, 0] == 1
        affine, _ = cv2.estimateAffine2D(
            before[chosen], after[chosen], method=cv2.RANSAC, ransacReprojThreshold=limit, maxIters=100
        )
        similar = similar if affine is None else affine
    return np.vstack([similar, [0, 0, 1]])
