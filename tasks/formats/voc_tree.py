"""The tree of a Pascal VOC file, as tools and people vary it: capitals, wrappers such as `objects`, namespaces."""

from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from tasks.contracts.errors import PipelineError
from tasks.formats import xml_stream

OBJECT = "object"
GEOMETRIES = ("bndbox", "robndbox", "polygon", "segm")
# Read in any case. Whatever else an object has is an attribute of somebody's own, and keeps its name.
_KNOWN = frozenset(
    {
        *("annotation", "filename", "size", "width", "height", "imagesize", "nrows", "ncols", OBJECT, *GEOMETRIES),
        *("name", "xmin", "ymin", "xmax", "ymax", "cx", "cy", "w", "h", "angle", "type", "pt", "x", "y", "box"),
        *("truncated", "occluded", "difficult", "deleted", "attributes", "attribute", "value", "part", "parts"),
    }
)


def read_annotation(path: Path) -> etree._Element:
    """Read a file. Raises PipelineError naming it if it is no Pascal VOC, or tells of several images."""
    root = xml_stream.read_tree(path)
    if root.tag != "annotation":
        raise PipelineError(f"<{root.tag}> is not Pascal VOC", str(path), "Put other files into an export of their own")
    for element in root.iter():
        name = str(element.tag).rpartition("}")[2].lower()
        if name in _KNOWN:
            element.tag = name
    names = {text for one in root.iterfind("filename") if (text := (one.text or "").strip())}
    # Within `source` the challenge writes who annotated.
    if len(names) > 1 or any(map(len, root.iterfind(".//annotation"))):
        told = f": {', '.join(sorted(names))}" if len(names) > 1 else ""
        raise PipelineError(
            f"Pascal VOC of several images in one file{told}", str(path), "Divide it into one file per image"
        )
    return root


def object_elements(root: etree._Element) -> Iterator[etree._Element]:
    """Every `object` at any depth, and every other element that has a box of its own and is no part of an object."""
    for element in root.iter():
        is_placed = any(element.find(name) is not None for name in GEOMETRIES)
        if element.tag == OBJECT:
            # Around others it is a wrapper.
            if is_placed or element.find(f".//{OBJECT}") is None:
                yield element
        elif is_placed and next(element.iterancestors(OBJECT), None) is None:
            yield element
