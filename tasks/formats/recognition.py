"""Which label formats a folder holds, and what reads each."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path

from tasks.contracts.errors import PipelineError
from tasks.formats import xml_stream
from tasks.formats.coco import coco_parts, coco_subset, coco_to_labels, read_coco
from tasks.formats.crowds import CrowdMarks
from tasks.formats.cvat_images import cvat_images_to_labels
from tasks.formats.cvat_meta import read_meta
from tasks.formats.cvat_video import cvat_video_to_labels
from tasks.formats.labels import CrowdAndDifficult, LabelledImage, Origin, PointShapes
from tasks.formats.voc import is_voc, voc_labels, voc_notes, voc_to_labels
from tasks.formats.yolo import yolo_to_labels
from tasks.formats.yolo_layout import YoloLayout, read_data_yaml, read_obj_data

READS = "CVAT for images 1.1, CVAT for video 1.1, COCO 1.0, Ultralytics YOLO, YOLO 1.1 and Pascal VOC"


@dataclass(frozen=True, slots=True)
class Reading:
    """How labels are read."""

    raw: Path  # the ingest folder
    points: PointShapes
    frame_step: int
    crowd_and_difficult: CrowdAndDifficult
    ignores: frozenset[str] = frozenset()  # CROWD, DIFFICULT: what `crowd_and_difficult` means for an export


@dataclass(frozen=True, slots=True)
class Recognised:
    """A body of labels."""

    format: str
    path: Path  # what the reader opens
    folder: Path  # that its images lie below, if they came along
    labels: tuple[str, ...]  # declared
    read: Callable[[Origin, Reading], Iterator[LabelledImage]]  # the origin stands for images without one of their own
    written: datetime | None = None
    is_video: bool = False  # its images, if they came along, are frames of one video
    subsets: frozenset[str] = frozenset()
    crowds: CrowdMarks = field(default_factory=CrowdMarks)
    notes: list[str] = field(default_factory=list)


def recognise(folder: Path, faults: list[str]) -> Iterator[Recognised]:
    """All label files below a folder, sorted by path. What is broken or of another format is added to `faults`."""
    for place, folders, files in os.walk(folder):
        folders.sort()
        if is_voc(Path(place)):
            yield _voc(Path(place))
            folders.clear()
            continue
        for path in sorted(Path(place, name) for name in files):
            probe = _PROBES.get(path.suffix.lower())
            try:
                found = probe(path, folder) if probe else None
            except PipelineError as error:
                faults.append(str(error))
                continue
            if found is not None:
                yield found
                # One file of these stands for all others in and below its folder.
                if found.format in _OWN_FOLDER:
                    folders.clear()
                    break


def _xml(path: Path, _export: Path) -> Recognised | None:
    root = xml_stream.root_tag(path)
    if root == "annotation":
        return _voc(path.parent)
    return _cvat(path) if root == "annotations" else None


def _cvat(path: Path) -> Recognised:
    meta = read_meta(path)

    def read(origin: Origin, reading: Reading) -> Iterator[LabelledImage]:
        if meta.is_video:
            return cvat_video_to_labels(path, meta, origin, reading.points, reading.frame_step)
        return cvat_images_to_labels(path, meta, origin, reading.points)

    kind = "cvat_video" if meta.is_video else "cvat_images"
    origins = [task.origin for task in (meta.task, *meta.tasks.values()) if task.origin is not None]
    is_video = meta.is_video or any(origin.is_video for origin in origins)
    return Recognised(kind, path, path.parent, meta.labels, read, meta.written, is_video)


def _json(path: Path, export: Path) -> Recognised | None:
    if path.name == "annotations.json" and (path.parent / "task.json").is_file():
        raise PipelineError(
            "backup of a CVAT task", str(path.parent), 'Export its annotations as "CVAT for images 1.1"'
        )
    parts = coco_parts(path)
    # Read with the first one.
    return _coco(parts, export) if path == parts[0] else None


def _coco(parts: list[Path], export: Path) -> Recognised | None:
    labels, notes, crowds = dict[Path, tuple[str, ...]](), list[str](), CrowdMarks()
    for part in parts:
        read = read_coco(part)
        if read is not None:
            labels[part] = tuple(read.labels.values())
            crowds.add(read.crowds)
            notes += [] if read.images else [f"{part.name} lists no image"]
    if not labels:
        return None
    path = next(iter(labels))
    return Recognised(
        "coco",
        path,
        path.parent.parent if path.parent.name.lower() == "annotations" and path.parent != export else path.parent,
        tuple(dict.fromkeys(chain.from_iterable(labels.values()))),
        lambda origin, reading: coco_to_labels(list(labels), origin, notes, ignores=reading.ignores),
        subsets=frozenset(filter(None, map(coco_subset, path.parent.glob("*.json")))),
        crowds=crowds,
        notes=notes,
    )


def _yolo(kind: str, path: Path, layout: YoloLayout) -> Recognised:
    if not layout.is_found:
        raise PipelineError(
            "neither an image nor a label file is where the export says",
            "; ".join([str(path), *layout.notes]),
            "Mend the paths of its subsets, or export the labels again",
        )
    return Recognised(
        kind,
        path,
        path.parent,
        tuple(layout.labels.values()),
        lambda origin, reading: yolo_to_labels(layout, origin, reading.raw),
        subsets=frozenset(entry.subset for entry in layout.entries),
        notes=layout.notes,
    )


def _voc(folder: Path) -> Recognised:
    return Recognised(
        "voc",
        folder,
        folder,
        voc_labels(folder),
        lambda origin, reading: voc_to_labels(folder, origin, reading.raw, ignores=reading.ignores),
        notes=voc_notes(folder),
    )


def _obj_data(path: Path, _export: Path) -> Recognised | None:
    return _yolo("yolo", path, read_obj_data(path)) if path.name.lower() == "obj.data" else None


def _yaml(path: Path, export: Path) -> Recognised | None:
    layout = read_data_yaml(path, export)
    return None if layout is None else _yolo("ultralytics_yolo", path, layout)


_PROBES: dict[str, Callable[[Path, Path], Recognised | None]] = {
    ".data": _obj_data,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".xml": _xml,
    ".json": _json,
}
_OWN_FOLDER = frozenset({"ultralytics_yolo", "yolo", "voc"})
