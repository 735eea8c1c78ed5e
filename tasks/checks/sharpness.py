"""How sharp the edges of an image are, whatever their contrast and however many there are.

Across an edge grey values rise by its contrast within a few pixels: the steepest rise per pixel, as a share of the
contrast around, tells how wide it is. A step from one pixel to the next has 0.5, one blurred by a Gaussian of sigma
pixels about 0.37 / sigma. Dark and flat images keep it, since both shrink alike; an image without edges has none.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]

LEAST_SIDE = 640  # networks see no finer, and the edges of larger photographs are softer than their pixels
# Only the parts with the clearest edges are looked at: the whole image would take as long as decoding it.
_PARTS = 24  # half of them for edges across, half for edges down the image: a movement leaves those along it sharp
_PART, _MARGIN = 48, 8  # pixels; edges in the margin do not count, for there the next part begins
_AROUND = 13  # pixels; as wide as an edge blurred by a sigma of 3
_BESIDE = 5  # an edge is where no neighbour so near is steeper
_LEAST_CONTRAST = 12  # grey values; compression alone makes steps of less
_LEAST_RISE = 0.04  # of the contrast; what is flatter is shading
_FEWEST_EDGES = 40  # pixels of edges; fewer say nothing
_COARSE = 4  # times
_SHARPEST = 0.9  # quantile: an image has soft edges too, of shadows and of what is out of focus on purpose
_DIRECTIONS = 8
_FEWEST_IN_A_DIRECTION, _SHARE_OF_A_DIRECTION = 15, 0.03
_INSIDE = np.zeros((_PART, _PART), dtype=np.uint8)
_INSIDE[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = 1


class Sharpness(NamedTuple):
    """Of one image; nulls where it has too few edges to tell."""

    edges: float | None = None  # rise per pixel over contrast, of the sharper edges
    softest_direction: float | None = None  # the same of edges across one direction: a movement blurs along its own
    detail: float | None = None  # variance of the Laplacian over that at a quarter of the size


def sharpness(image: Grey, small: Grey) -> Sharpness:
    """Measure a `halved` image of grey values. small: the same, shrunk further if it is large."""
    parts = _parts(image, small)
    across, down = (slope.astype(np.float32) for slope in cv2.spatialGradient(parts))
    rise = cv2.magnitude(across, down)  # eight times that of a pixel
    around, beside = (np.ones((side, side), dtype=np.uint8) for side in (_AROUND, _BESIDE))
    contrast = cv2.subtract(cv2.dilate(parts, around), cv2.erode(parts, around))
    inside = np.tile(_INSIDE, (len(parts) // _PART, 1)).view(np.bool_)
    least = max(_LEAST_CONTRAST, int(contrast[inside].max()) // 3)
    is_edge = inside & (contrast >= least) & (rise >= cv2.dilate(rise, beside)) & (rise >= 8 * _LEAST_RISE * contrast)
    at = np.flatnonzero(is_edge)
    if len(at) < _FEWEST_EDGES:
        return Sharpness()
    share = rise.ravel()[at] / 8 / contrast.ravel()[at]
    angle = np.arctan2(down.ravel()[at], across.ravel()[at])
    edges = _sharper(share)
    softest = min(map(_sharper, _by_direction(share, angle)), default=edges)
    return Sharpness(edges, softest, _variation(parts, 1) / max(_variation(parts, _COARSE), 1e-3))


def halved(grey: Grey) -> Grey:
    """The image as often by half smaller as its longer side is over what is measured: 640 to 1,280 pixels are left."""
    while max(grey.shape) >= 2 * LEAST_SIDE:
        size_wh = (max(1, grey.shape[1] // 2), max(1, grey.shape[0] // 2))
        # Half of even sizes takes OpenCV a seventh of the time of another size.
        grey = np.asarray(cv2.resize(grey[: 2 * size_wh[1], : 2 * size_wh[0]], size_wh, interpolation=cv2.INTER_AREA))
    return grey


def _parts(image: Grey, small: Grey) -> Grey:
    """The parts of the image with the strongest edges, one below the other: (parts * _PART, _PART)."""
    scale = image.shape[1] / small.shape[1]
    cell = max(1, round((_PART - 2 * _MARGIN) / scale))
    shortfall = [max(0, _PART - length) for length in image.shape]
    if any(shortfall):
        image = np.asarray(cv2.copyMakeBorder(image, 0, shortfall[0], 0, shortfall[1], cv2.BORDER_REPLICATE))
    corners = ((_strongest_cells(small, cell) + 0.5) * cell * scale - _PART / 2).round().astype(int)
    corners = np.clip(corners, 0, np.array(image.shape) - _PART)
    return np.concatenate([image[y : y + _PART, x : x + _PART] for y, x in corners.tolist()])


def _strongest_cells(small: Grey, cell: int) -> NDArray[np.int64]:
    """(cells, 2): rows and columns of squares of `cell` pixels, the steepest half across and the steepest half down."""
    chosen: list[int] = []
    square = np.ones((cell, cell), dtype=np.uint8)
    columns = -(-small.shape[1] // cell)
    for slope in cv2.spatialGradient(small):
        # At its corner, each cell has its greatest value.
        steepest = (
            cv2.dilate(cv2.convertScaleAbs(slope, alpha=1 / 4), square, anchor=(0, 0))[::cell, ::cell]
            .ravel()
            .astype(np.int16)
        )
        steepest[chosen] = -1
        chosen += np.argsort(-steepest, kind="stable")[: min(_PARTS // 2, len(steepest) - len(chosen))].tolist()
    return np.stack(np.divmod(np.array(chosen), columns), axis=1)


def _by_direction(share: Floats, angle: Floats) -> list[Floats]:
    """The edges across each direction within 45 degrees, of those directions that have enough."""
    sector = np.round(angle * (_DIRECTIONS / np.pi)).astype(int) % _DIRECTIONS
    enough = max(_FEWEST_IN_A_DIRECTION, _SHARE_OF_A_DIRECTION * len(share))
    found = (share[(sector == first) | (sector == (first + 1) % _DIRECTIONS)] for first in range(_DIRECTIONS))
    return [of for of in found if len(of) >= enough]


def _sharper(share: Floats) -> float:
    place = int(_SHARPEST * (len(share) - 1))
    return float(np.partition(share, place)[place])


def _variation(parts: Grey, factor: int) -> float:
    """Variance of the Laplacian inside the parts, shrunk by the factor."""
    size_wh = (parts.shape[1] // factor, parts.shape[0] // factor)
    shrunk = parts if factor == 1 else cv2.resize(parts, size_wh, interpolation=cv2.INTER_AREA)
    inside = np.tile(_INSIDE[::factor, ::factor], (len(parts) // _PART, 1))
    _, deviation = cv2.meanStdDev(cv2.Laplacian(shrunk, cv2.CV_16S), mask=inside)
    return float(deviation[0, 0] ** 2)
