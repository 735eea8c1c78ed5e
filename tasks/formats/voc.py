"""Pascal VOC: one XML per image in `Annotations/`, subsets in `ImageSets/Main/`; and its kin of LabelMe and roLabelImg.

Coordinates are taken as CVAT writes them: from 0, the edges of the box. (Files of the original challenge count pixels
from 1 and include the last one, so that their boxes come out up to one pixel off.)
"""

from collections.abc import Callable, Collection, Iterator, Sequence, Set
from pathlib import Path, PurePosixPath

from lxml import etree

from tasks.contracts.errors import PipelineError
from tasks.contracts.tables import DIFFICULT
from tasks.formats import xml_stream
from tasks.formats.image_paths import is_image, near, path_parts
from tasks.formats.labelled_image import DELETED, Details, LabelledImage, LabelledObject, Origin
from tasks.formats.text_files import read_text
from tasks.formats.voc_objects import GEOMETRIES, object_elements, object_extent, read_annotation

_ANNOTATIONS, _IMAGES, _SUBSETS = "annotations", "jpegimages", ("imagesets", "main")  # in any case
_MOST_PIXELS = 2**31  # of a side
_LABEL_MAP = "labelmap.txt"
_YES = ("1", "true")
# Their own columns, or of no meaning without the picture.
_NO_ATTRIBUTES = frozenset(
    {
        *GEOMETRIES,
        *("name", "attributes", "truncated", "occluded", "part"),
        *("parts", "deleted", "verified", "id", "date"),  # of LabelMe
    }
)


def is_voc(folder: Path) -> bool:
    """Whether a folder holds Pascal VOC as its challenge lays it out."""
    annotations = _folder(folder, _ANNOTATIONS)
    return annotations is not None and (
        _folder(folder, *_SUBSETS) is not None or any(map(_is_voc_file, _xml_files(annotations)))
    )


def voc_files(folder: Path) -> Iterator[Path]:
    """The label files of a folder, its label map and its subsets."""
    yield from _xml_files(_annotations(folder))
    yield from (path for path in folder.iterdir() if path.name.lower() == _LABEL_MAP)
    sets = _folder(folder, _SUBSETS[0])
    yield from _with_suffix(sets, ".txt") if sets else ()


def voc_labels(folder: Path) -> tuple[str, ...]:
    """Labels that CVAT declares in `labelmap.txt`, without the background; none where there is no such file."""
    path = next((path for path in sorted(folder.iterdir()) if path.name.lower() == _LABEL_MAP), None)
    if path is None:
        return ()
    lines = read_text(path).splitlines()
    names = [line.split(":")[0] for line in lines if line.strip() and not line.startswith("#")]
    return tuple(name for name in names if name != "background")


def voc_notes(folder: Path) -> list[str]:
    """What a VOC folder holds that is not read."""
    masks = len(list((folder / "SegmentationObject").glob("*.png")))
    return [f"{masks:,} instance masks in SegmentationObject are not read, only boxes are"] if masks else []


def voc_to_labels(
    folder: Path,
    export: Origin,
    raw: Path,
    is_ignored: Callable[[Path], bool] = lambda _: False,
    *,
    ignores: Set[str] = frozenset(),
) -> Iterator[LabelledImage]:
    """Read the images of a folder, sorted by name; those that a subset lists without labels are negatives.

    raw: the ingest folder. is_ignored: label files to pass over. ignores: DIFFICULT where objects that are marked so
    are ignored.
    """
    annotations = _annotations(folder)
    files = [path for path in _xml_files(annotations) if not is_ignored(path)]
    paths = {path.relative_to(annotations).with_suffix("").as_posix(): path for path in files}
    subsets = _subsets(folder, paths)
    places = [place for name in (_IMAGES, "images") if (place := _folder(folder, name)) is not None]
    for stem in sorted(paths.keys() | subsets.keys()):
        if stem not in paths:
            yield LabelledImage(stem, export, None, None, subsets[stem])
            continue
        root = read_annotation(paths[stem])
        image_name = _text(root, "filename")
        file = _image_file([*places, folder], paths[stem], stem, image_name)
        yield LabelledImage(
            # What people copied or renamed beside its image may still have another file's name within.
            name=stem + _suffix(image_name),
            origin=export,
            width=_whole(_text(root, "size/width") or _text(root, "imagesize/ncols")),
            height=_whole(_text(root, "size/height") or _text(root, "imagesize/nrows")),
            subset=subsets.get(stem),
            file=None if file is None else f"raw/{file.relative_to(raw).as_posix()}",
            objects=[_object(element, ignores) for element in object_elements(root)],
        )


def _annotations(folder: Path) -> Path:
    found = _folder(folder, _ANNOTATIONS) if is_voc(folder) else None
    return found or folder


def _folder(folder: Path, *names: str) -> Path | None:
    """A folder below, whatever its capitals."""
    place: Path | None = folder
    for name in names:
        found = sorted(path for path in place.iterdir() if path.name.lower() == name and path.is_dir()) if place else []
        place = found[0] if found else None
    return place


def _xml_files(folder: Path) -> Iterator[Path]:
    return _with_suffix(folder, ".xml")


def _with_suffix(folder: Path, suffix: str) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix.lower() == suffix)


def _is_voc_file(path: Path) -> bool:
    try:
        return xml_stream.root_tag(path) == "annotation"
    except PipelineError:
        return False  # it is named when its turn comes to be read


def _subsets(folder: Path, stems: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    # Of `train` and `trainval` the narrower one is meant.
    place = _folder(folder, *_SUBSETS)
    lists = [path for path in place.iterdir() if path.suffix.lower() == ".txt"] if place else []
    nearly = {near(stem): stem for stem in stems}
    for path in sorted(lists, key=lambda path: (path.stem.lower() == "trainval", path)):
        names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
        # Lists per class have a second column.
        if not all(name.endswith((" 1", " 0", " -1")) and name not in stems for name in names):
            names = [name if name in stems else nearly.get(near(name), name) for name in names]
            found |= {name: path.stem for name in names if name not in found}
    return found


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix if is_image(name) else ""


def _image_file(places: Sequence[Path], path: Path, stem: str, image_name: str) -> Path | None:
    """The image in the usual places, by the name of its XML or else by the one that stands in it."""
    if not _suffix(image_name):
        return None
    names = [stem + _suffix(image_name)]
    # An equal one is not of this folder, or was found by the first.
    if PurePosixPath(path_parts(image_name)[-1]).stem != path.stem:
        names += ["/".join(path_parts(image_name)), path_parts(image_name)[-1]]
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
    # LabelMe has them as text: `colour=red, parked`.
    for pair in filter(None, map(str.strip, _text(element, "attributes").split(","))):
        attributes[pair.partition("=")[0].strip()] = pair.partition("=")[2].strip()
    is_deleted = _text(element, "deleted") == "1"  # by LabelMe, which keeps it
    found = object_extent(element, _take_rotation(attributes))
    return LabelledObject(
        _text(element, "name"),
        found.shape,
        *found.box,
        occluded=_text(element, "occluded") in ("1", "yes"),
        details=Details(
            found.rotation,
            _text(element, "truncated") == "1",
            None,
            attributes,
            found.points,
            DELETED if is_deleted else found.refused,
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
