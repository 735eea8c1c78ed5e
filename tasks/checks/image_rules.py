"""Faults of images: what their measures say."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from tasks.checks.findings import Finding, rows

# Blur stands out against the other images of its scene: measured on real scenes, sharp images vary within a factor of
# 6 around their median, a blur of two pixels (at 320) lowers sharpness by 5 to 25.
_BLUR_AGAINST_SCENE = 8
_SCENE_IMAGES = 10  # fewer say nothing about what is usual
# A size that a larger share of images has is another camera, and many odd sizes are a mixed collection: no outliers.
_ODD_SIZE_SHARE = 0.01
_ODD_IMAGES_SHARE = 0.05
_ODD_AREA_FACTOR = 4
_ODD_ASPECT_FACTOR = 2


def undecodable_images(images: pd.DataFrame, limit: float, max_megapixels: float | None = None) -> Iterator[Finding]:
    """Files that cannot be decoded to their end: warnings, and one error if their share of held images is over `limit`.

    So are those that parse has left out for having more than `max_megapixels`.

    `images` is the images table with the columns of ImageMeasures.
    """
    held = images[images["file"].notna()]
    faulty = held[held["fault"].notna()]
    for row in rows(faulty):
        rule, words = _FAULTS[row.fault]
        words = words.format(row=row, megapixels=row.width * row.height / 1e6, limit=max_megapixels)
        yield Finding(rule, "warning", f"{row.name} {words}; it is left out", row.image_id)
    share = len(faulty) / max(1, len(held))
    if share > limit:
        message = (
            f"{len(faulty):,} of {len(held):,} image files cannot be decoded: {share:.1%}, the limit is {limit:.1%}"
        )
        yield Finding("unreadable_image", "error", message, value=share)


_FAULTS = {
    "unreadable": ("unreadable_image", "cannot be decoded"),
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
    """Per export, how many of its images are not held: an error if their share is over `limit`."""
    for source, members in images.groupby("source"):
        missing = members[members["file"].isna()]
        if missing.empty:
            continue
        share = len(missing) / len(members)
        message = f"{len(missing):,} of {len(members):,} images of {source} are not held ({share:.1%}): "
        yield Finding(
            "missing_images",
            "error" if share > limit else "warning",
            message + _some(missing["name"]),
            missing["image_id"].iloc[0],
            value=share,
            where=str(source),
        )


def image_quality(
    images: pd.DataFrame, min_sharpness: float, min_brightness: float, min_contrast: float
) -> Iterator[Finding]:
    """Images that are blurred, dark or without contrast; one finding each, since a dark image is never sharp."""
    decoded = images[images["fault"].isna() & images["file"].notna()]
    usual = decoded.groupby("group")["sharpness"].transform("median")
    enough = decoded.groupby("group")["sharpness"].transform("size") >= _SCENE_IMAGES
    least = np.where(enough, np.maximum(min_sharpness, usual / _BLUR_AGAINST_SCENE), min_sharpness)
    for row, least_sharpness in zip(rows(decoded), least, strict=True):
        if row.brightness < min_brightness:
            message = f"mean grey value {row.brightness:.1f} of 255"
            yield Finding("dark_image", "warning", message, row.image_id, value=row.brightness)
        elif row.contrast < min_contrast:
            message = f"grey values deviate by {row.contrast:.1f} of 255 only"
            yield Finding("low_contrast_image", "warning", message, row.image_id, value=row.contrast)
        elif row.sharpness < least_sharpness:
            message = f"sharpness {row.sharpness:.3f}, expected at least {least_sharpness:.3f}"
            yield Finding("blurred_image", "warning", message, row.image_id, value=row.sharpness)


def image_sizes(images: pd.DataFrame) -> Iterator[Finding]:
    """Files of another size than the tables say, and sizes that hardly any other image has."""
    decoded = images[images["fault"].isna() & images["file"].notna()]
    differs = (decoded["decoded_width"] != decoded["width"]) | (decoded["decoded_height"] != decoded["height"])
    for row in rows(decoded[differs]):
        message = (
            f"the file is {row.decoded_width:.0f} x {row.decoded_height:.0f}, its labels say {row.width} x {row.height}"
        )
        yield Finding("image_size_differs", "warning", message, row.image_id)
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
