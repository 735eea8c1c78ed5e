"""Pascal VOC: one XML per image in `Annotations/`, subsets in `ImageSets/Main/`.

Coordinates are taken as CVAT writes them: from 0, the edges of the box. (Files of the original challenge count pixels
from 1 and include the last one, so that their boxes come out up to one pixel off.)
"""

import math
from collections.abc import Collection, Iterator, Set
from pathlib import Path, PurePosixPath

from lxml import etree

from tasks.contracts.errors import PipelineError
from tasks.contracts.tables import DIFFICULT
from tasks.formats import geometry, xml_stream
from tasks.formats.geometry import Box
from tasks.formats.labels import NOT_NUMBERS, Details, LabelledImage, LabelledObject, Origin
from tasks.formats.text_files import read_text
from tasks.formats.written_paths import is_image, path_parts

_ANNOTATIONS, _IMAGES, _SUBSETS = "Annotations", "JPEGImages", "ImageSets/Main"
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_MOST_PIXELS = 2**31  # of a side
_YES = ("1", "true")
_NOWHERE: Box = (math.nan, math.nan, math.nan, math.nan)
# Their own columns, or of no meaning without the picture.
_NO_ATTRIBUTES = frozenset({"name", "bndbox", "attributes", "truncated", "occluded", "part"})


def is_voc(folder: Path) -> bool:
    """Whether a folder holds Pascal VOC as its challenge lays it out."""
    annotations = folder / _ANNOTATIONS
    return annotations.is_dir() and ((folder / _SUBSETS).is_dir() or any(map(_is_voc_file, _xml_files(annotations))))


def voc_labels(folder: Path) -> tuple[str, ...]:
    """Labels that CVAT declares in `labelmap.txt`, without the background; none where there is no such file."""
    path = folder / "labelmap.txt"
    if not path.is_file():
        return ()
    lines = read_text(path).splitlines()
    names = [line.split(":")[0] for line in lines if line.strip() and not line.startswith("#")]
    return tuple(name for name in names if name != "background")


def voc_notes(folder: Path) -> list[str]:
    """What a VOC folder holds that is not read."""
    masks = len(list((folder / "SegmentationObject").glob("*.png")))
    return [f"{masks:,} instance masks in SegmentationObject are not read, only boxes are"] if masks else []


def voc_to_labels(
    folder: Path, export: Origin, raw: Path, *, ignores: Set[str] = frozenset()
) -> Iterator[LabelledImage]:
    """Read the images of a folder, sorted by name; those that a subset lists without labels are negatives.

    raw: the ingest folder. ignores: DIFFICULT where objects that are marked so are ignored.
    """
    annotations = folder / _ANNOTATIONS if is_voc(folder) else folder
    paths = {path.relative_to(annotations).with_suffix("").as_posix(): path for path in _xml_files(annotations)}
    subsets = _subsets(folder, paths)
    for stem in sorted(paths.keys() | subsets.keys()):
        if stem not in paths:
            yield LabelledImage(stem, export, None, None, subsets[stem])
            continue
        root = _tree(paths[stem])
        image_name = _text(root, "filename")
        file = _image_file(folder, paths[stem], stem, image_name)
        yield LabelledImage(
            # What people copied or renamed beside its image may still have another file's name within.
            name=stem + _suffix(image_name),
            origin=export,
            width=_whole(_text(root, "size/width")),
            height=_whole(_text(root, "size/height")),
            subset=subsets.get(stem),
            file=None if file is None else f"raw/{file.relative_to(raw).as_posix()}",
            objects=[_object(element, ignores) for element in root.iterfind("object")],
        )


def _xml_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix.lower() == ".xml")


def _is_voc_file(path: Path) -> bool:
    try:
        return xml_stream.root_tag(path) == "annotation"
    except PipelineError:
        return False  # it is named when its turn comes to be read


def _subsets(folder: Path, stems: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    # Of `train` and `trainval` the narrower one is meant.
    for path in sorted((folder / _SUBSETS).glob("*.txt"), key=lambda path: (path.stem == "trainval", path)):
        names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
        # Lists per class have a second column.
        if not all(name.endswith((" 1", " 0", " -1")) and name not in stems for name in names):
            found |= {name: path.stem for name in names if name not in found}
    return found


def _tree(path: Path) -> etree._Element:
    root = xml_stream.read_tree(path)
    if root.tag != "annotation":
        raise PipelineError(f"<{root.tag}> is not Pascal VOC", str(path), "Put other files into an export of their own")
    return root


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix if is_image(name) else ""


def _image_file(folder: Path, path: Path, stem: str, image_name: str) -> Path | None:
    """The image in the usual places, by the name of its XML or else by the one that stands in it."""
    if not _suffix(image_name):
        return None
    names = [stem + _suffix(image_name)]
    # An equal one is not of this folder, or was found by the first.
    if PurePosixPath(path_parts(image_name)[-1]).stem != path.stem:
        names += ["/".join(path_parts(image_name)), path_parts(image_name)[-1]]
    places = (folder / _IMAGES, folder / "images", folder)
    found = [place / name for name in names for place in places] + [
        path.with_name(PurePosixPath(name).name) for name in names
    ]
    return next(filter(Path.is_file, found), None)


def _object(element: etree._Element, ignores: Set[str]) -> LabelledObject:
    attributes: dict[str, object] = {
        child.tag: child.text or "" for child in element if child.tag not in _NO_ATTRIBUTES
    }
    for attribute in element.iterfind("attributes/attribute"):
        attributes[_text(attribute, "name")] = _text(attribute, "value")
    shape, box, points, refused, rotation = "box", _NOWHERE, None, None, _take_rotation(attributes)
    try:
        x_min, y_min, x_max, y_max = (float(_text(element, f"bndbox/{side}")) for side in _SIDES)
        box = (x_min, y_min, x_max, y_max)
    except ValueError:
        refused = NOT_NUMBERS
    if not math.isfinite(rotation):
        rotation, refused = 0.0, NOT_NUMBERS
    if rotation:
        # CVAT writes the box as it was before it was turned.
        shape, points = "rotated_box", geometry.rotated_corners(box, rotation)
        box = geometry.points_box(points)
    return LabelledObject(
        _text(element, "name"),
        shape,
        *box,
        occluded=_text(element, "occluded") == "1",
        details=Details(
            rotation=rotation,
            truncated=_text(element, "truncated") == "1",
            attributes=attributes,
            points=points,
            refused=refused,
            ignored=DIFFICULT if DIFFICULT in ignores and _text(element, "difficult").lower() in _YES else None,
        ),
    )


def _take_rotation(attributes: dict[str, object]) -> float:
    """Degrees, out of the attributes; what is no number is somebody's own attribute and stays."""
    try:
        rotation = float(str(attributes.get("rotation") or 0))
    except ValueError:
        return 0.0
    attributes.pop("rotation", None)
    return rotation


def _text(element: etree._Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _whole(text: str) -> int | None:
    try:
        pixels = float(text)
    except ValueError:
        return None
    return int(pixels) if 1 <= pixels <= _MOST_PIXELS else None
