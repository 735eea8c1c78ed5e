"""CVAT for images 1.1: `<image>` elements with their shapes, from task, job and project exports."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

from tasks.formats import xml_stream
from tasks.formats.cvat_meta import CvatMeta
from tasks.formats.cvat_shapes import Attributes, shape_to_object
from tasks.formats.labels import LabelledImage, LabelledObject, Origin, PointShapes, TextBox

_TEXT_BOX = itemgetter("label", "xtl", "ytl", "xbr", "ybr", "occluded", "z_order", "source")


def cvat_images_to_labels(path: Path, meta: CvatMeta, export: Origin, points: PointShapes) -> Iterator[LabelledImage]:
    """Read a file image by image, in its order; memory does not grow with it.

    export: stands for images whose task the file does not name.
    """
    target = _Images(meta, export, points)
    for _ in xml_stream.feed(path, target):
        yield from target.images
        target.images.clear()


class _Images:
    """Puts images together from elements."""

    def __init__(self, meta: CvatMeta, export: Origin, points: PointShapes) -> None:
        self.images: list[LabelledImage] = []  # complete ones, not yet taken
        self._meta = meta
        self._export = export
        self._points = points
        self._origins: dict[str | None, Origin] = {}
        self._image: LabelledImage | None = None
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
        """Only attributes have text."""
        if self._attribute is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        """Close what is open."""
        if self._attribute is not None:
            self._attributes = (self._attributes or {}) | {self._attribute: "".join(self._text)}
            self._attribute = None
        elif tag == self._shape:
            assert self._image is not None
            self._image.objects.append(self._object(tag))
            self._shape = self._attributes = self._elements = None
        elif self._image is not None and self._shape is None:
            self.images.append(self._image)
            self._image = None

    def _object(self, tag: str) -> LabelledObject | TextBox:
        given = self._given
        if tag == "box" and self._attributes is None and "rotation" not in given:
            # Older files leave some out.
            with contextlib.suppress(KeyError):
                box: TextBox = _TEXT_BOX(given)
                return box
        return shape_to_object(tag, given, self._attributes, self._elements, points=self._points)

    def _opened(self, given: Mapping[str, str]) -> LabelledImage:
        task = self._meta.tasks.get(given.get("task_id", ""), self._meta.task)
        return LabelledImage(
            name=given.get("name", ""),
            origin=task.origin or self._unnamed(given.get("task_id")),
            width=_whole(given.get("width")) or None,
            height=_whole(given.get("height")) or None,
            subset=given.get("subset") or task.subset,
            frame=_whole(given.get("id")),
        )

    def _unnamed(self, task_id: str | None) -> Origin:
        # A project export whose <meta> was lost still tells its tasks apart.
        if task_id not in self._origins:
            self._origins[task_id] = replace(self._export, task_id=task_id)
        return self._origins[task_id]


def _whole(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None
