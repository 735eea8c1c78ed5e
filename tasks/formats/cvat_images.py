"""CVAT for images 1.1: `<image>` elements with their shapes, from task, job and project exports."""

import mmap
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from operator import itemgetter
from pathlib import Path

from tasks.formats import xml_stream
from tasks.formats.cvat_meta import CvatMeta, CvatTask
from tasks.formats.cvat_shapes import Attributes, shape_to_object
from tasks.formats.labelled_image import LabelledImage, Origin, PointShapes

_text_box = itemgetter("label", "xtl", "ytl", "xbr", "ybr", "occluded", "z_order", "source")


def cvat_images_to_labels(path: Path, meta: CvatMeta, export: Origin, points: PointShapes) -> Iterator[LabelledImage]:
    """Read a file image by image, in its order; memory does not grow with it.

    export: stands for images whose task the file does not name.
    """
    target = (_FlatImages if _is_flat(path) else _NestedImages)(meta, export, points)
    for _ in xml_stream.feed(path, target):
        yield from target.images
        target.images.clear()
    yield from target.last()


def _is_flat(path: Path) -> bool:
    """Whether no shape has anything inside, neither attributes nor points of a skeleton.

    Then it is enough to hear of elements that open, which saves a third of the time. Only UTF-8 can be searched.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if not re.match(rb"(\xef\xbb\xbf)?\s*(<annotations|<\?xml[^>]*encoding=.utf-8)", content[:200], re.IGNORECASE):
            return False
        # Labels in <meta> declare attributes.
        body = max(0, content.find(b"</meta>"))
        return content.find(b"<attribute", body) < 0 and content.find(b"<skeleton", body) < 0


class _Images:
    """What both ways of reading share."""

    def __init__(self, meta: CvatMeta, export: Origin, points: PointShapes) -> None:
        self.images: list[LabelledImage] = []  # complete ones, not yet taken
        self._meta = meta
        self._export = export
        self._object = partial(shape_to_object, points=points)
        self._origins: dict[str | None, Origin] = {}
        self._shifts: dict[Origin, int] = {}
        self._image: LabelledImage | None = None  # the one that is open

    def last(self) -> list[LabelledImage]:
        """What is still open at the end of the document."""
        return [] if self._image is None else [self._image]

    def _opened(self, given: Mapping[str, str]) -> LabelledImage:
        task = self._meta.tasks.get(given.get("task_id", ""), self._meta.task)
        image = LabelledImage(
            given.get("name", ""),
            task.origin or self._unnamed(given.get("task_id")),
            *_size(given.get("width"), given.get("height")),
            given.get("subset") or task.subset,
            _whole(given.get("id")),
        )
        if task.offset and image.frame is not None:
            self._unshift(image, image.frame, task)
        return image

    def _unshift(self, image: LabelledImage, number: int, task: CvatTask) -> None:
        # By the first image of the task, so that all are treated alike.
        shift = self._shifts.setdefault(image.origin, task.shift([number]))
        image.frame = number - shift
        if shift and image.name == f"frame_{number:06d}":
            image.name, image.stored_as = f"frame_{image.frame:06d}", image.name

    def _unnamed(self, task_id: str | None) -> Origin:
        # A project export whose <meta> was lost still tells its tasks apart.
        if task_id not in self._origins:
            self._origins[task_id] = replace(self._export, task_id=task_id)
        return self._origins[task_id]


class _FlatImages(_Images):
    """Puts images together from elements that open: an image, and all shapes up to the next one."""

    def start(self, tag: str, given: Mapping[str, str]) -> None:
        """Open an image, or read a shape of the one that is open."""
        if tag == "image":
            self.images.extend(self.last())
            self._image = self._opened(given)
            self._add = self._image.objects.append
        elif self._image is None:
            return
        elif tag == "box" and "rotation" not in given:
            try:
                self._add(_text_box(given))
            except KeyError:
                # Older files leave some out.
                self._add(self._object(tag, given, None, None))
        else:
            self._add(self._object(tag, given, None, None))


class _NestedImages(_Images):
    """Puts images together from elements that open and close."""

    def __init__(self, meta: CvatMeta, export: Origin, points: PointShapes) -> None:
        super().__init__(meta, export, points)
        self._shape: str | None = None  # the shape that is open
        self._given: Attributes = {}
        self._attributes: dict[str, object] | None = None
        self._elements: list[Attributes] | None = None  # of a skeleton
        self._attribute: str | None = None  # the attribute that is open
        self._text: list[str] = []

    def start(self, tag: str, given: Mapping[str, str]) -> None:
        """An image opens; within it every element is a shape; within that there are attributes and skeleton points."""
        if self._shape is not None:
            if tag == "attribute":
                self._attribute, self._text = given.get("name", ""), []
            else:
                self._elements = [*(self._elements or ()), given]
        elif self._image is not None:
            self._shape, self._given = tag, given
        elif tag == "image":
            self._image = self._opened(given)

    def data(self, text: str) -> None:
        """Add text to that of the open attribute."""
        if self._attribute is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        """Finish the attribute, shape or image that the tag closes."""
        if self._attribute is not None:
            self._attributes = (self._attributes or {}) | {self._attribute: "".join(self._text)}
            self._attribute = None
        elif tag == self._shape:
            assert self._image is not None
            self._image.objects.append(self._object(tag, self._given, self._attributes, self._elements))
            self._shape = self._attributes = self._elements = None
        elif self._image is not None and self._shape is None:
            self.images.append(self._image)
            self._image = None


@lru_cache
def _size(width: str | None, height: str | None) -> tuple[int | None, int | None]:
    # Kept, since the images of a camera have one size.
    return _whole(width) or None, _whole(height) or None


def _whole(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None
