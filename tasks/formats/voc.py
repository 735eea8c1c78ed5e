"""Pascal VOC: one XML per image in `Annotations/`, subsets in `ImageSets/Main/`.

Coordinates are taken as CVAT writes them: from 0, the edges of the box. (Files of the original challenge count pixels
from 1 and include the last one, so that their boxes come out up to one pixel off.)
"""

import math
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from tasks.contracts.errors import PipelineError
from tasks.formats import geometry, xml_stream
from tasks.formats.geometry import Box
from tasks.formats.labels import NOT_NUMBERS, Details, LabelledImage, LabelledObject, Origin

ANNOTATIONS = "Annotations"
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_NOWHERE: Box = (math.nan, math.nan, math.nan, math.nan)
# Their own columns, or of no meaning without the picture.
_NO_ATTRIBUTES = frozenset({"name", "bndbox", "attributes", "truncated", "occluded", "part"})


def voc_labels(folder: Path) -> tuple[str, ...]:
    """Labels that CVAT declares in `labelmap.txt`, without the background; none where there is no such file."""
    path = folder / "labelmap.txt"
    if not path.is_file():
        return ()
    lines = path.read_text(encoding="utf-8").splitlines()
    names = [line.split(":")[0] for line in lines if line.strip() and not line.startswith("#")]
    return tuple(name for name in names if name != "background")


def voc_notes(folder: Path) -> list[str]:
    """What a VOC folder holds that is not read."""
    masks = len(list((folder / "SegmentationObject").glob("*.png")))
    return [f"{masks:,} instance masks in SegmentationObject are not read, only boxes are"] if masks else []


def voc_to_labels(folder: Path, export: Origin) -> Iterator[LabelledImage]:
    """Read the images of a folder, sorted by name; those that a subset lists without labels are negatives."""
    annotations = folder / ANNOTATIONS if (folder / ANNOTATIONS).is_dir() else folder
    subsets = _subsets(folder)
    paths = {path.relative_to(annotations).with_suffix("").as_posix(): path for path in annotations.rglob("*.xml")}
    for stem in sorted(paths.keys() | subsets.keys()):
        if stem in paths:
            yield _image(paths[stem], stem, subsets.get(stem), export)
        else:
            yield LabelledImage(stem, export, None, None, subsets[stem])


def _subsets(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    # Of `train` and `trainval` the narrower one is meant; lists per class have a second column.
    for path in sorted((folder / "ImageSets" / "Main").glob("*.txt"), key=lambda path: (path.stem == "trainval", path)):
        for line in path.read_text(encoding="utf-8-sig").splitlines():
            name = line.strip()
            if name and not name.endswith((" 1", " 0", " -1")):
                found.setdefault(name, path.stem)
    return found


def _image(path: Path, stem: str, subset: str | None, export: Origin) -> LabelledImage:
    root = xml_stream.read_tree(path)
    if root.tag != "annotation":
        raise PipelineError(f"<{root.tag}> is not Pascal VOC", str(path), "Put other files into an export of their own")
    return LabelledImage(
        name=_text(root, "filename") or stem,
        origin=export,
        width=_whole(_text(root, "size/width")),
        height=_whole(_text(root, "size/height")),
        subset=subset,
        objects=[_object(element) for element in root.iterfind("object")],
    )


def _object(element: etree._Element) -> LabelledObject:
    attributes: dict[str, object] = {
        child.tag: child.text or "" for child in element if child.tag not in _NO_ATTRIBUTES
    }
    for attribute in element.iterfind("attributes/attribute"):
        attributes[_text(attribute, "name")] = _text(attribute, "value")
    shape, box, points, refused, rotation = "box", _NOWHERE, None, None, 0.0
    try:
        rotation = float(str(attributes.pop("rotation", 0) or 0))
        x_min, y_min, x_max, y_max = (float(_text(element, f"bndbox/{side}")) for side in _SIDES)
        box = (x_min, y_min, x_max, y_max)
    except ValueError:
        refused = NOT_NUMBERS
    if rotation:
        # CVAT writes the box as it was before it was turned.
        shape, points = "rotated_box", geometry.rotated_corners(box, rotation)
        box = geometry.points_box(points)
    return LabelledObject(
        _text(element, "name"),
        shape,
        *box,
        occluded=_text(element, "occluded") == "1",
        details=Details(rotation, _text(element, "truncated") == "1", None, attributes, points, refused),
    )


def _text(element: etree._Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _whole(text: str) -> int | None:
    try:
        return int(float(text)) or None
    except ValueError:
        return None
