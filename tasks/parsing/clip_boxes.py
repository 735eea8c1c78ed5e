"""Whether an object has a box, in columns: clipped at the image's border, or a reason why there is none."""

import numpy as np
from numpy.typing import NDArray

from tasks.formats.labelled_image import INVERTED, NO_AREA, NOT_NUMBERS, OUTSIDE_IMAGE

Boxes = NDArray[np.float64]  # (n, 4): x_min, y_min, x_max, y_max

# Label files round coordinates to 0.01 px or to a millionth of the image: less than this is no crossing of the border.
_ROUNDING_PX = 0.02


def clip_boxes(boxes: Boxes, sizes_wh: NDArray[np.float64]) -> tuple[Boxes, NDArray[np.bool_], dict[int, str]]:
    """Clip boxes at the border of their images.

    sizes_wh: (n, 2) pixels, infinite where the size is not known. Returns the boxes, which of them went over the
    border, and by row the reason why an object has no box.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    if (low >= 0).all() and (high > low).all() and (high <= sizes_wh).all() and np.isfinite(high).all():
        return boxes, np.zeros(len(boxes), dtype=np.bool_), {}
    clipped = np.concatenate([np.clip(low, 0, sizes_wh), np.clip(high, 0, sizes_wh)], axis=1)
    over = ((low < -_ROUNDING_PX) | (high > sizes_wh + _ROUNDING_PX)).any(axis=1)
    is_finite = np.isfinite(boxes).all(axis=1)
    faults = {
        # The last reason that is true stands.
        OUTSIDE_IMAGE: (clipped[:, 2:] <= clipped[:, :2]).any(axis=1),
        NO_AREA: (high == low).any(axis=1),
        INVERTED: (high < low).any(axis=1),
        NOT_NUMBERS: ~is_finite,
    }
    reasons = {int(row): reason for reason, is_so in faults.items() for row in np.flatnonzero(is_so)}
    return clipped, np.asarray(over & is_finite), reasons
