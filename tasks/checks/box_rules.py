"""Faults of single boxes and of pairs of boxes in one image."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.checks.findings import Finding, rows
from tasks.contracts.check_report import Severity
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


def box_sizes(objects: pd.DataFrame, tiny_px: float, huge_share: float) -> Iterator[Finding]:
    """Boxes narrower or lower than `tiny_px`, and boxes over more than `huge_share` of their image.

    `objects` here and below is what `with_image_size` gives, without objects that have no image.
    """
    width, height = objects["x_max"] - objects["x_min"], objects["y_max"] - objects["y_min"]
    side = width.where(width < height, height)
    for row, side_px in _with(objects, side, side < tiny_px):
        message = f"{row.label} box of {row.x_max - row.x_min:.1f} x {row.y_max - row.y_min:.1f} px {_at(row)}"
        yield _box_finding("tiny_box", "note", message, row, side_px)
    share = width * height / (objects["width"] * objects["height"])
    for row, image_share in _with(objects, share, share > huge_share):
        message = f"{row.label} box over {image_share:.0%} of the image"
        yield _box_finding("huge_box", "note", message, row, image_share)


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


def aspect_ratios(objects: pd.DataFrame, max_deviations: float) -> Iterator[Finding]:
    """Boxes whose aspect ratio is more than so many robust standard deviations from its class's median.

    Ratios are compared as logarithms; the deviation is 1.4826 times the median absolute deviation. Boxes at the border
    and occluded ones show a part of their object and are left out.
    """
    whole = objects[~_at_border(objects) & ~objects["occluded"] & ~objects["truncated"]]
    ratio = (whole["x_max"] - whole["x_min"]) / (whole["y_max"] - whole["y_min"])
    logarithm = np.log(ratio)
    by_class = logarithm.groupby(whole["label"])
    median = by_class.transform("median")
    distance = (logarithm - median).abs()
    spread = (1.4826 * distance.groupby(whole["label"]).transform("median")).clip(lower=_LEAST_SPREAD)
    odd = (distance / spread > max_deviations) & (by_class.transform("size") >= _ASPECT_OBJECTS)
    for row, aspect in _with(whole, ratio, odd):
        usual = float(np.exp(median[row.Index]))
        message = f"{row.label} box {aspect:.2f} times as wide as high {_at(row)}, usual is {usual:.2f}"
        yield _box_finding("odd_aspect_ratio", "note", message, row, aspect)


def box_pairs(objects: pd.DataFrame, min_iou: float) -> Iterator[Finding]:
    """Boxes of one image that overlap by more than `min_iou`: one object labelled twice, or under two labels."""
    ordered = objects.sort_values("image_id", kind="stable")
    boxes = ordered[BOX].to_numpy(dtype=np.float64)
    for one, other in _index_pairs(ordered["image_id"].to_numpy()):
        iou = _iou(boxes[one], boxes[other])
        hit = iou > min_iou
        pairs = zip(rows(ordered.iloc[one[hit]]), rows(ordered.iloc[other[hit]]), iou[hit].tolist(), strict=True)
        for first, second, overlap in pairs:
            same = first.label == second.label
            boxes_named = f"two {first.label} boxes" if same else f"{first.label} and {second.label} box"
            message = f"{boxes_named} {_at(first)} overlap by {overlap:.2f}"
            rule = "duplicate_box" if same else "box_under_two_labels"
            yield _box_finding(rule, "warning", message, second, overlap)


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


def _with(objects: pd.DataFrame, values: pd.Series, chosen: pd.Series) -> Iterator[tuple[Any, float]]:
    """The rows that were chosen, each with its value."""
    for row, value in zip(rows(objects[chosen]), values[chosen], strict=True):
        yield row, float(value)


def _at(row: Any) -> str:
    return f"at ({row.x_min:.0f}, {row.y_min:.0f})"


def _box_finding(rule: str, severity: Severity, message: str, row: Any, value: float) -> Finding:
    return Finding(rule, severity, message, row.image_id, row.object_id, row.label, value=value)
