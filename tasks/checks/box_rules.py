"""What single boxes and pairs of boxes in one image are judged by, and what is said of those that fail."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.checks.findings import Finding
from tasks.checks.rules import RowWords
from tasks.contracts.tables import BOX

_BORDER_PX = 2.0  # a box this close to the border may show a part of its object only
_ASPECT_OBJECTS = 20  # fewer of a class say nothing about its usual shape
_LEAST_SPREAD = 0.15  # of log aspect ratios: a class of one shape still varies by the labeller's hand
_MOST = 0.5  # a larger share is most of them
_PAIRS_AT_ONCE = 2_000_000


def with_image_size(objects: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The objects table with the `width` and `height` of each object's image, null where there is none."""
    sizes = images.drop_duplicates("image_id")[["image_id", "width", "height"]]
    return objects.merge(sizes, on="image_id", how="left")


def box_measures(objects: pd.DataFrame) -> pd.DataFrame:
    """What single boxes are judged by, on their index; docs/checks.md lists it.

    `objects` here and below is what `with_image_size` gives, without objects that have no image.
    """
    width, height = objects["x_max"] - objects["x_min"], objects["y_max"] - objects["y_min"]
    share = width * height / (objects["width"] * objects["height"])
    sizes = pd.DataFrame({"shorter_side_px": width.where(width < height, height), "image_share": share})
    return pd.concat([sizes, _aspect_ratios(objects), _overlaps(objects)], axis=1)


def small_for_network(objects: pd.DataFrame, image_size: int, least_px: float) -> Iterator[Finding]:
    """Whether most objects, of all or of one class, are smaller than `least_px` when images are fitted into the square.

    What is compared is the root of the box's area, in pixels of the network's input of `image_size` a side.
    """
    width, height = objects["x_max"] - objects["x_min"], objects["y_max"] - objects["y_min"]
    longest = objects[["width", "height"]].max(axis=1)
    share_of_image = np.sqrt((width * height).clip(lower=0)) / longest.where(longest > 0)
    small = share_of_image * image_size < least_px
    if small.mean() > _MOST:
        yield _small_finding(share_of_image, small, None, image_size, least_px)
        return
    for label, members in small.groupby(objects["label"]):
        if len(members) >= _ASPECT_OBJECTS and members.mean() > _MOST:
            yield _small_finding(share_of_image[members.index], members, str(label), image_size, least_px)


def _small_finding(
    share_of_image: pd.Series, small: pd.Series, label: str | None, image_size: int, least_px: float
) -> Finding:
    median = float(share_of_image.median())
    of = "" if label is None else f" {label}"
    enough = math.ceil(least_px / median / 32) * 32 if median else None
    hint = f"; for half of them to reach that it takes an image_size of {enough:,}" if enough else ""
    message = (
        f"{small.mean():.0%} of {len(small):,}{of} objects are under {least_px:g} px a side at train.image_size "
        f"{image_size}, the median is {median * image_size:.1f} px{hint}"
    )
    return Finding("small_for_network", "warning", message, label=label, value=float(small.mean()))


def _aspect_ratios(objects: pd.DataFrame) -> pd.DataFrame:
    """How wide boxes are per height, what is usual in their class, and how far from it they are.

    That is in robust standard deviations, 1.4826 times the median absolute deviation of the logarithms. Boxes at the
    border and occluded ones show a part of their object, and few of a class say nothing: nulls.
    """
    whole = objects[~_at_border(objects) & ~objects["occluded"] & ~objects["truncated"]]
    ratio = (whole["x_max"] - whole["x_min"]) / (whole["y_max"] - whole["y_min"])
    logarithm = np.log(ratio.where((ratio > 0) & np.isfinite(ratio)))  # one without area has a fault of its own
    by_class = logarithm.groupby(whole["label"])
    median = by_class.transform("median")
    distance = (logarithm - median).abs()
    spread = (1.4826 * distance.groupby(whole["label"]).transform("median")).clip(lower=_LEAST_SPREAD)
    deviations = (distance / spread).where(by_class.transform("size") >= _ASPECT_OBJECTS)
    columns = {"aspect_ratio": ratio, "usual_aspect_ratio": np.exp(median), "aspect_deviations": deviations}
    return pd.DataFrame(columns, index=objects.index)


def _overlaps(objects: pd.DataFrame) -> pd.DataFrame:
    """How much each box overlaps those before it in its image: the most of one with its label, and of any other."""
    ordered = objects.sort_values("image_id", kind="stable")
    boxes, labels = ordered[BOX].to_numpy(dtype=np.float64), ordered["label"].to_numpy()
    most = {same: np.full(len(ordered), np.nan) for same in (True, False)}
    other_label = np.full(len(ordered), None, dtype=object)
    for one, other in _index_pairs(ordered["image_id"].to_numpy()):
        iou = _iou(boxes[one], boxes[other])
        are_same = labels[one] == labels[other]
        for same, overlap in most.items():
            hit = np.flatnonzero((are_same == same) & (iou > np.nan_to_num(overlap[other])))
            # Of several for one box, the last that is assigned stays.
            hit = hit[np.argsort(iou[hit], kind="stable")]
            overlap[other[hit]] = iou[hit]
            if not same:
                other_label[other[hit]] = labels[one[hit]]
    columns = {"same_label_overlap": most[True], "other_label_overlap": most[False], "overlapped_label": other_label}
    return pd.DataFrame(columns, index=ordered.index).reindex(objects.index)


def _index_pairs(image_ids: NDArray[np.object_]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs of positions with equal ids, in blocks; `image_ids` is sorted."""
    _, starts, counts = np.unique(image_ids, return_index=True, return_counts=True)
    # Every position pairs with those behind it in its image.
    behind = np.repeat(starts + counts, counts) - np.arange(len(image_ids)) - 1
    ends = np.cumsum(behind)
    start = 0
    while start < len(image_ids):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, side="right")))
        counts_here = behind[start:stop]
        one = np.repeat(np.arange(start, stop), counts_here)
        offsets = np.arange(counts_here.sum()) - np.repeat(np.cumsum(counts_here) - counts_here, counts_here)
        yield one, one + 1 + offsets
        start = stop


def _iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes (n, 4) row by row."""
    overlap = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    intersection = np.clip(overlap, 0, None).prod(axis=1)
    union = (one[:, 2:] - one[:, :2]).prod(axis=1) + (other[:, 2:] - other[:, :2]).prod(axis=1) - intersection
    iou: NDArray[np.float64] = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    return iou


def _at_border(objects: pd.DataFrame) -> pd.Series:
    start = objects[["x_min", "y_min"]].min(axis=1) < _BORDER_PX
    return (
        start | (objects["x_max"] > objects["width"] - _BORDER_PX) | (objects["y_max"] > objects["height"] - _BORDER_PX)
    )


def _at(row: Any) -> str:
    return f"at ({row.x_min:.0f}, {row.y_min:.0f})"


BOX_WORDS = {
    "tiny_box": RowWords(
        "shorter_side_px",
        lambda row, _: f"{row.label} box of {row.x_max - row.x_min:.1f} x {row.y_max - row.y_min:.1f} px {_at(row)}",
    ),
    "huge_box": RowWords("image_share", lambda row, _: f"{row.label} box over {row.image_share:.0%} of the image"),
    "odd_aspect_ratio": RowWords(
        "aspect_ratio",
        lambda row, _: (
            f"{row.label} box {row.aspect_ratio:.2f} times as wide as high {_at(row)}, "
            f"usual is {row.usual_aspect_ratio:.2f}"
        ),
    ),
    "duplicate_box": RowWords(
        "same_label_overlap",
        lambda row, _: f"two {row.label} boxes {_at(row)} overlap by {row.same_label_overlap:.2f}",
    ),
    "box_under_two_labels": RowWords(
        "other_label_overlap",
        lambda row, _: (
            f"{row.overlapped_label} and {row.label} box {_at(row)} overlap by {row.other_label_overlap:.2f}"
        ),
    ),
}
