"""Which label formats a folder holds, and what reads each."""

import json
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path

from tasks.contracts.errors import PipelineError
from tasks.formats import xml_stream
from tasks.formats.box_csv import box_table_to_labels, read_box_table
from tasks.formats.coco import coco_parts, coco_subset, coco_to_labels, read_coco
from tasks.formats.createml import createml_names, createml_to_labels, is_createml
from tasks.formats.crowds import CrowdMarks
from tasks.formats.cvat_images import cvat_images_to_labels
from tasks.formats.cvat_meta import read_meta
from tasks.formats.cvat_video import cvat_video_to_labels
from tasks.formats.image_paths import is_image, near
from tasks.formats.labelled_image import LabelledImage, Origin
from tasks.formats.labelme import is_labelme, labelme_files, labelme_to_labels
from tasks.formats.text_files import read_text
from tasks.formats.voc import is_voc, voc_files, voc_labels, voc_notes, voc_to_labels
from tasks.formats.yolo import yolo_to_labels
from tasks.formats.yolo_layout import YoloLayout, read_data_yaml, read_obj_data
from tasks.parsing.companions import walk
from tasks.parsing.ignored import Ignored
from tasks.parsing.recognised import Reading, Recognised
from tasks.parsing.same_images import image_stem, note_of_unread
from tasks.parsing.unread import UnreadError, json_fault

log = logging.getLogger(__name__)

READS = (
    "CVAT for images 1.1, CVAT for video 1.1, COCO 1.0, Ultralytics YOLO, YOLO 1.1 and YOLO with classes.txt, "
    "Pascal VOC, LabelMe, CreateML, and CSV with filename,class,xmin,ymin,xmax,ymax"
)


class LabelFiles:
    """Label files of one export: those that are read, and those that are not."""

    def __init__(self, export: Path, is_ignored: Ignored) -> None:
        self.export = export
        self.faults: list[str] = []  # what is broken
        self.unread: dict[Path, str] = {}  # what could be labels of a format that is not read, by file
        self.claimed: set[Path] = set()  # files that something recognised stands for
        self.is_ignored = is_ignored  # whether a file is to be passed over
        self.formats: set[tuple[str, Path]] = set()  # that were met, and in which folder
        self._recognised: list[Recognised] = []

    def files(self) -> Iterator[tuple[Path, list[Path]]]:
        """Folders with their files, sorted; without those that are claimed or to be ignored."""
        for place, _, names in walk(self.export):
            paths = (place / name for name in names)
            yield place, [path for path in paths if path not in self.claimed and not self.is_ignored(path)]

    def recognised(self) -> Iterator[Recognised]:
        """All that is recognised by itself, sorted by path."""
        for place, paths in self.files():
            if is_voc(place):
                yield from self.claim(_voc(place, self.is_ignored))
            for path in paths:
                probe = None if path in self.claimed else _PROBES.get(path.suffix.lower())
                try:
                    found = probe(path, self) if probe else None
                except UnreadError as error:
                    self.claimed.add(path)
                    self.unread[path] = error.kind
                    continue
                except PipelineError as error:
                    self.claimed.add(path)
                    self.faults.append(self.is_ignored.told(error, [path]))
                    continue
                if found is not None:
                    yield from self.claim(found)

    def claim(self, found: Recognised) -> Iterator[Recognised]:
        """Hand on what was recognised, unless its images have their labels already."""
        self.claimed.update(found.files)
        self.formats.add((found.format, found.folder))
        # Exporters and people put one set of labels down in several formats: then the first one by path speaks, as both
        # would be each object twice.
        same = next(filter(lambda one: _is_same(found, one), self.around(found.folder)), None)
        if same is not None:
            note = note_of_unread(found, same, self.export)
            log.warning("%s: %s", self.export.name, note)
            same.notes.append(note)
            return
        self._recognised.append(found)
        yield found

    @cached_property
    def images(self) -> dict[str, list[Path]]:
        """All image files, by near stem."""
        found: dict[str, list[Path]] = defaultdict(list)
        for place, _, names in os.walk(self.export):
            for path in (Path(place, name) for name in sorted(names) if is_image(name)):
                found[near(path.stem)].append(path)
        return found

    def around(self, folder: Path) -> list[Recognised]:
        """What was recognised in this folder or one above it."""
        return [one for one in self._recognised if folder.is_relative_to(one.folder)]


def _is_same(one: Recognised, other: Recognised) -> bool:
    return one.format != other.format and bool(one.images) and one.images <= other.images


def _xml(path: Path, search: LabelFiles) -> Recognised | None:
    root = xml_stream.root_tag(path)
    if root == "annotation":
        return _voc(path.parent, search.is_ignored)
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
    return Recognised(kind, path, path.parent, meta.labels, read, [path], meta.written, is_video)


def _json(path: Path, search: LabelFiles) -> Recognised | None:
    if path.name == "annotations.json" and (path.parent / "task.json").is_file():
        raise PipelineError(
            "backup of a CVAT task", str(path.parent), 'Export its annotations as "CVAT for images 1.1"'
        )
    parts = [part for part in coco_parts(path) if not search.is_ignored(part)]
    return _coco(parts, search.export) or _other_json(path, search)


def _coco(parts: list[Path], export: Path) -> Recognised | None:
    labels, notes, crowds = dict[Path, tuple[str, ...]](), list[str](), CrowdMarks()
    images = set[str]()
    for part in parts:
        read = read_coco(part)
        if read is not None:
            labels[part] = tuple(read.labels.values())
            images |= {image_stem(image.file_name) for image in read.images}
            crowds.add(read.crowds)
            notes += [] if read.images else [f"{part.name} lists no image"]
    if not labels:
        return None
    path = next(iter(labels))
    return Recognised(
        "coco",
        path,
        _media_folder(path, export),
        tuple(dict.fromkeys(chain.from_iterable(labels.values()))),
        lambda origin, reading: coco_to_labels(list(labels), origin, notes, ignores=reading.ignores),
        list(labels),
        subsets=frozenset(
            subset
            for other in path.parent.iterdir()
            if other.suffix.lower() == ".json" and (subset := coco_subset(other))
        ),
        crowds=crowds,
        notes=notes,
        images=frozenset(images),
    )


def _media_folder(path: Path, export: Path) -> Path:
    """The folder that the images of a label file lie below: the one above a folder of labels alone."""
    is_labels = path.parent.name.lower() in ("annotations", "labels", "jsons", "json", "csv")
    return path.parent.parent if is_labels and path.parent != export else path.parent


def _other_json(path: Path, search: LabelFiles) -> Recognised | None:
    try:
        content = json.loads(text := read_text(path))
    except (ValueError, RecursionError) as error:
        raise PipelineError("JSON cannot be read", f"{path}: {error}", "Export the labels again") from error
    if is_labelme(content):
        return _labelme([one for one in labelme_files(path.parent) if not search.is_ignored(one)], search.export)
    if is_createml(content):
        return Recognised(
            "createml",
            path,
            _media_folder(path, search.export),
            (),
            lambda origin, _reading: createml_to_labels(path, content, origin),
            [path],
            images=frozenset(map(image_stem, createml_names(content))),
        )
    fault = json_fault(path, text, content, search.images)
    if fault is not None:
        raise fault
    return None


def _labelme(paths: Sequence[Path], export: Path) -> Recognised:
    return Recognised(
        "labelme",
        paths[0],
        _media_folder(paths[0], export),
        (),
        lambda origin, reading: labelme_to_labels(paths, origin, reading.annotations),
        paths,
        images=frozenset(image_stem(path.name) for path in paths),
    )


def _csv(path: Path, search: LabelFiles) -> Recognised | None:
    table = read_box_table(path)
    if table is None:
        return None
    return Recognised(
        "csv",
        path,
        _media_folder(path, search.export),
        (),
        lambda origin, _reading: box_table_to_labels(table, origin),
        [path],
        images=frozenset(map(image_stem, table.names())),
    )


def yolo(kind: str, path: Path, layout: YoloLayout, folder: Path | None = None) -> Recognised:
    """The labels of a YOLO layout. path: what names its classes."""
    used = {entry.label_file for entry in layout.entries if entry.label_file}
    return Recognised(
        kind,
        path,
        folder or path.parent,
        tuple(layout.labels.values()),
        lambda origin, reading: yolo_to_labels(layout, origin, reading.raw),
        {path, *used, *layout.passed_over},
        subsets=frozenset(entry.subset for entry in layout.entries if entry.subset),
        notes=layout.notes,
        images=frozenset(image_stem(entry.image.name if entry.image else entry.name) for entry in layout.entries),
    )


def _yolo(kind: str, path: Path, layout: YoloLayout, search: LabelFiles) -> Recognised | None:
    if not layout.is_found:
        # Beside the file that describes an export others lie about, of other machines.
        if any(one.format in _YOLO for one in search.around(path.parent)):
            return None
        raise PipelineError(
            "neither an image nor a label file is where the export says",
            "; ".join([str(path), *layout.notes]),
            "Correct the paths of its subsets, or export the labels again",
        )
    fresh = [entry for entry in layout.entries if not {entry.label_file, entry.image} & search.claimed]
    if not fresh:
        return None
    found = yolo(kind, path, replace(layout, entries=fresh))
    # Images too: another file that describes the same export must not list them again.
    return replace(found, files={*found.files, *(entry.image for entry in fresh if entry.image)})


def _voc(folder: Path, is_ignored: Callable[[Path], bool]) -> Recognised:
    files = [path for path in voc_files(folder) if not is_ignored(path)]
    return Recognised(
        "voc",
        folder,
        folder,
        voc_labels(folder),
        lambda origin, reading: voc_to_labels(folder, origin, reading.raw, is_ignored, ignores=reading.ignores),
        files,
        notes=voc_notes(folder),
        images=frozenset(image_stem(path.name) for path in files if path.suffix.lower() == ".xml"),
    )


def _obj_data(path: Path, search: LabelFiles) -> Recognised | None:
    return _yolo("yolo", path, read_obj_data(path), search) if path.name.lower() == "obj.data" else None


def _yaml(path: Path, search: LabelFiles) -> Recognised | None:
    layout = read_data_yaml(path, search.export)
    return None if layout is None else _yolo("ultralytics_yolo", path, layout, search)


_PROBES: dict[str, Callable[[Path, LabelFiles], Recognised | None]] = {
    ".data": _obj_data,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".xml": _xml,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _csv,
}
_YOLO = frozenset({"ultralytics_yolo", "yolo"})
