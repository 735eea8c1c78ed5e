"""Faults of images: what their measures say."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tasks.checks.findings import Finding, rows
from tasks.checks.rules import RowWords

# Measured on images of three real data sets and on their dark, flat, blurred and moved copies: of the sharp ones 1.4 %
# of one set and none of the others are called blurred; of those blurred by a sigma of 1.5 to 4 pixels at least 98 % are
# found, of those moved by 15 pixels 97 %, by 9 pixels 58 to 96 %. Through a microscope edges are as soft as if blurred,
# but for the grain of the sensor, which a blur takes away.
_LEAST_DETAIL = 0.042
_SOFT_WHATEVER = 0.15, 0.115  # in all, across one direction: as by a Gaussian with a sigma of 2.5 or more
_MOVED, _MOVED_AGAINST_ALL = 0.2, 0.62  # edges so soft across one direction, and so much softer than those across all
_MOVED_DETAIL, _MOVED_EDGES = 0.2, 0.25  # more detail is grain; where hardly an edge is sharp no direction stands out
# A size that a larger share of images has is another camera, and many odd sizes are a mixed collection: no outliers.
_DEPTH_BITS = 16
_ODD_SIZE_SHARE = 0.01
_ODD_IMAGES_SHARE = 0.05
_ODD_AREA_FACTOR = 4
_ODD_ASPECT_FACTOR = 2


def undecodable_images(images: pd.DataFrame, limit: float, max_megapixels: float | None = None) -> Iterator[Finding]:
    """Files that cannot be decoded to their end: warnings, and errors if their share of all files is over `limit`.

    So are those that parse has left out for having more than `max_megapixels`.

    `images` is the images table with the columns of ImageMeasures.
    """
    found = images[images["file"].notna()]
    faulty = found[found["fault"].notna()]
    for row in rows(faulty):
        rule, words = _FAULTS[row.fault]
        megapixels = (row.width or 0) * (row.height or 0) / 1e6  # files without a size have other faults
        words = words.format(row=row, megapixels=megapixels, limit=max_megapixels)
        yield Finding(rule, "warning", f"{row.name} {words}; it is left out", row.image_id)
    yield from _too_many(faulty["fault"] == "too_large", len(found), limit, max_megapixels)


def _too_many(
    are_too_large: "pd.Series[bool]", files: int, limit: float, max_megapixels: float | None
) -> Iterator[Finding]:
    """An error for each reason why images are left out, if their share of all files is over the limit."""
    share = len(are_too_large) / max(1, files)
    if share <= limit:
        return
    too_large = int(are_too_large.sum())
    broken = len(are_too_large) - too_large
    for rule, count, why in (
        ("image_too_large", too_large, "have more megapixels than parse.max_megapixels, {limit:g}"),
        ("unreadable_image", broken, "cannot be decoded"),
    ):
        if count:
            words = why.format(limit=max_megapixels)
            of_all = f"{len(are_too_large):,} are left out, " if count < len(are_too_large) else ""
            shares = f"{of_all}{share:.1%}, and check.max_unreadable_share is {limit:.1%}"
            yield Finding(rule, "error", f"{count:,} of {files:,} image files {words}: {shares}", value=share)


_FAULTS = {
    "unreadable": ("unreadable_image", "cannot be decoded"),
    "float": (
        "unreadable_image",
        "has numbers with fractions for pixels: float TIFF is not read, save it with 8 or 16 bits",
    ),
    "wide": ("unreadable_image", "has 32 or more bits a channel, which are not read: save it with 8 or 16"),
    "heic": ("unreadable_image", "is HEIC, for which there is no decoder: save it as JPEG or PNG"),
    "jxl": ("unreadable_image", "is JPEG XL, for which there is no decoder: save it as JPEG or PNG"),
    "too_large": (
        "image_too_large",
        "is {row.width} x {row.height}, {megapixels:,.0f} megapixels, and parse.max_megapixels is {limit:g}",
    ),
    "truncated": ("truncated_image", "ends before its image does, or is damaged"),
}


def damaged_images(images: pd.DataFrame) -> Iterator[Finding]:
    """Files that decode although their data are damaged: they stay in, since some cameras write such JPEGs."""
    for row in rows(images[images["damage"].notna()]):
        yield Finding("damaged_image", "warning", f"{row.name}: {row.damage}", row.image_id)


def missing_images(images: pd.DataFrame, limit: float) -> Iterator[Finding]:
    """Per export, how many of its images have no file: an error if their share is over `limit`."""
    for source, members in images.groupby("source"):
        missing = members[members["file"].isna()]
        if missing.empty:
            continue
        share = len(missing) / len(members)
        message = f"{len(missing):,} of {len(members):,} images of {source} have no file ({share:.1%}): "
        yield Finding(
            "missing_images",
            "error" if share > limit else "warning",
            message + _some(missing["name"]),
            missing["image_id"].iloc[0],
            value=share,
            where=str(source),
        )


def image_columns(images: pd.DataFrame) -> pd.DataFrame:
    """Images with `labelled_size` and `decoded_size`, and `softness` of edges; nulls where nothing was decoded."""
    decoded = images["fault"].isna() & images["file"].notna()
    sizes = {
        name: (images[wide].astype("Int64").astype("string") + " x " + images[tall].astype("Int64").astype("string"))
        for name, wide, tall in (
            ("labelled_size", "width", "height"),
            ("decoded_size", "decoded_width", "decoded_height"),
        )
    }
    softness = images["softest_direction"].astype(float).where(_are_soft(images))
    return images.assign(**{name: size.where(decoded) for name, size in sizes.items()}, softness=softness)


def _are_soft(images: pd.DataFrame) -> "pd.Series[bool]":
    """Whether edges are softer than a lens in focus explains; never where there are too few edges."""
    soft, sharp, detail = (images[name].astype(float) for name in ("softest_direction", "sharpness", "detail"))
    out_of_focus = (detail < _LEAST_DETAIL) | (sharp < _SOFT_WHATEVER[0]) | (soft < _SOFT_WHATEVER[1])
    moved = (soft < _MOVED) & (soft < _MOVED_AGAINST_ALL * sharp) & (detail < _MOVED_DETAIL) & (sharp > _MOVED_EDGES)
    are_soft: pd.Series[bool] = out_of_focus | moved
    return are_soft


def odd_sizes(images: pd.DataFrame) -> Iterator[Finding]:
    """Sizes that hardly any other image has."""
    area, aspect = images["width"] * images["height"], images["width"] / images["height"]
    alike = images.groupby(["width", "height"])["image_id"].transform("size")
    rare = alike <= max(1, _ODD_SIZE_SHARE * len(images))
    # An upright photo is not odd among others.
    odd = rare & (_beyond(area, _ODD_AREA_FACTOR) | _beyond(aspect.where(aspect > 1, 1 / aspect), _ODD_ASPECT_FACTOR))
    if odd.mean() > _ODD_IMAGES_SHARE:
        return
    usual = f"{images['width'].median():.0f} x {images['height'].median():.0f}"
    for row in rows(images[odd]):
        message = f"{row.width} x {row.height}, the median is {usual}"
        yield Finding("odd_image_size", "note", message, row.image_id, value=float(row.width * row.height))


def _beyond(values: pd.Series, factor: float) -> pd.Series:
    """Values further than `factor` from the median, or than is usual where values vary much."""
    distance: pd.Series = np.log(values / values.median()).abs()
    beyond: pd.Series = distance > max(float(np.log(factor)), 5 * distance.median())
    return beyond


def _some(names: pd.Series, shown: int = 3) -> str:
    rest = len(names) - shown
    return ", ".join(names.head(shown)) + (f" and {rest:,} more" if rest > 0 else "")


def _unused_bits(row: Any, _: Mapping[str, Any]) -> str:
    times = 2 ** (_DEPTH_BITS - int(row.peak).bit_length())
    return f"16 bits with a maximum of {row.peak:,.0f}: read at 1/{times} of its brightness"


IMAGE_WORDS = {
    "unused_bits": RowWords("peak", _unused_bits),
    "dark_image": RowWords("brightness", lambda row, _: f"mean grey value {row.brightness:.1f} of 255"),
    "low_contrast_image": RowWords("contrast", lambda row, _: f"grey values deviate by {row.contrast:.1f} of 255 only"),
    "blurred_image": RowWords(
        "softness",
        lambda row, limits: (
            f"its edges rise by {row.softness:.2f} of their contrast per pixel, a sharp step by 0.5, and "
            f"at least {limits['min_value']:g} is expected"
        ),
    ),
    "image_size_differs": RowWords(
        None, lambda row, _: f"the file is {row.decoded_size}, its labels say {row.labelled_size}"
    ),
}
