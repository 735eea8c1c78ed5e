"""CreateML's JSON: a list of images, each with boxes by their centre and size in pixels."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.contracts.errors import PipelineError
from tasks.formats.geometry import Box
from tasks.formats.labelled_image import NO_PLACE, NOT_NUMBERS, Details, LabelledImage, LabelledObject, Origin

_IMAGE, _OBJECTS, _LABEL = ("image", "imagefilename"), ("annotations", "annotation"), ("label", "class")
_SIDES = ("x", "y", "width", "height")
_NOWHERE: Box = (math.nan, math.nan, math.nan, math.nan)


def is_createml(content: object) -> bool:
    """Whether a JSON's content is CreateML's: some image has a box, or none has anything at all."""
    if not isinstance(content, list) or not content or not all(isinstance(entry, dict) for entry in content):
        return False
    found = [(_first(entry, _IMAGE), _first(entry, _OBJECTS)) for entry in content]
    if not all(isinstance(name, str) and isinstance(objects, list) for name, objects in found):
        return False
    objects = [one for _, listed in found for one in listed]
    return all(isinstance(one, dict) for one in objects) and (
        not objects or any("coordinates" in one for one in objects)
    )


def createml_names(content: list[dict[str, Any]]) -> list[str]:
    """The file names of all images, as the entries give them."""
    return [_first(entry, _IMAGE) for entry in content]


def createml_to_labels(path: Path, content: list[dict[str, Any]], export: Origin) -> Iterator[LabelledImage]:
    """The images of a file, in its order. Raises PipelineError if one is listed without a name."""
    for number, entry in enumerate(content):
        name = _first(entry, _IMAGE)
        if not name:
            raise PipelineError("image without a name", f"{path}: entry {number}", "Export the labels again")
        yield LabelledImage(name, export, None, None, objects=[_object(one) for one in _first(entry, _OBJECTS)])


def _object(one: dict[str, Any]) -> LabelledObject:
    box, refused = _NOWHERE, None
    given: Any = one.get("coordinates")
    try:
        x, y, width, height = (float(given[side]) for side in _SIDES)
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    except (KeyError, TypeError, ValueError):
        refused = NOT_NUMBERS if given else NO_PLACE
    label = _first(one, _LABEL)
    return LabelledObject("" if label is None else str(label), "box", *box, details=Details(refused=refused))


def _first(entry: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((entry[key] for key in keys if key in entry), None)
