"""The faults that real exports have and the sample plants, so that there is something to find."""

from dataclasses import replace

import cv2
import numpy as np

from tasks.dataset.decoding import Image
from tasks.sample.cvat_export import ImageFile
from tasks.sample.labelling import Shape

MISTYPED = "wahser"


def plant(pictures: list[ImageFile]) -> None:
    """Spoil some of the pictures, spread over the sequences.

    A mistyped label, a duplicate, a truncated file, a lamp that failed, a lens out of focus, a box over the border and
    one without area, a box drawn twice.
    """
    mistyped, original, copied, truncated, dark, blurred, boxed, twice = _spread(pictures, 8)
    at = next(index for index, shape in enumerate(mistyped.shapes) if shape.label == "washer")
    mistyped.shapes[at] = replace(mistyped.shapes[at], label=MISTYPED)
    copied.data, copied.shapes = original.data, list(original.shapes)
    truncated.data = truncated.data[: len(truncated.data) * 6 // 10]
    dark.data = encoded(decoded(dark.data) // 14)
    blurred.data = encoded(cv2.GaussianBlur(decoded(blurred.data), (0, 0), 4.5))
    boxed.shapes.append(_box("nut", "-9.40", "58.20", "14.10", "88.00"))
    boxed.shapes.append(_box("bolt", "96.00", "40.50", "96.00", "71.25"))
    twice.shapes.append(twice.shapes[0])


def _spread(pictures: list[ImageFile], count: int) -> list[ImageFile]:
    """The first picture with a washer in each of so many stretches, of equal length if they can be."""
    showing = [picture for picture in pictures if any(shape.label == "washer" for shape in picture.shapes)]
    return [showing[len(showing) * stretch // count] for stretch in range(count)]


def _box(label: str, xtl: str, ytl: str, xbr: str, ybr: str) -> Shape:
    return Shape("box", label, {"xtl": xtl, "ytl": ytl, "xbr": xbr, "ybr": ybr}, {"surface": "matt"})


def encoded(image: Image, suffix: str = ".jpg") -> bytes:
    """An RGB image as the bytes of a file."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 92] if suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 6]
    data: bytes = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1].tobytes()
    return data


def decoded(data: bytes) -> Image:
    """The RGB image that the bytes of a file hold."""
    return np.asarray(
        cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8
    )
