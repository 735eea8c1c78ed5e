"""YOLO label files of which no `data.yaml` or `obj.data` tells: Label Studio's, LabelImg's, makesense's.

Their class names stand in `classes.txt` or a file of that kind, in their own folder or in one above it.
"""

import json
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tasks.contracts.errors import PipelineError
from tasks.formats.image_paths import near
from tasks.formats.text_files import is_number, read_text
from tasks.formats.yolo_entries import USUAL_SUBSETS, Named, entries_of, swapped
from tasks.formats.yolo_layout import YoloLayout, names_of_yaml

# The likeliest first.
_NAME_FILES = (
    *("classes.txt", "obj.names", "_darknet.labels", "class.names", "classes.names", "class_names.txt", "names.txt"),
    *("predefined_classes.txt", "labels.txt", "label.txt", "labelmap.txt"),
)
_LABEL_FOLDERS = frozenset({"labels", "label", "annotations", "txt"})
_ROWS_READ = 200
_FARTHEST = 1.5  # of a fraction


def is_label_rows(text: str, *, is_certain: bool) -> bool:
    """Whether a text's rows are those of a YOLO label file: a class number and at least four numbers.

    is_certain: something else says that it is one; otherwise its numbers must be fractions.
    """
    rows = [line.split() for line in text.splitlines()[:_ROWS_READ] if line.strip()]
    if is_certain:
        # One odd row must not hide the others.
        return 2 * sum(map(_is_label_row, rows)) >= max(1, len(rows))
    return bool(rows) and all(_is_label_row(row) and _are_fractions(row[1:5]) for row in rows)


def _is_label_row(row: list[str]) -> bool:
    return len(row) >= 5 and re.fullmatch(r"\d+(\.0+)?", row[0]) is not None and all(map(is_number, row[1:5]))


def _are_fractions(words: list[str]) -> bool:
    return all(0 <= float(word) <= _FARTHEST for word in words)


def class_names(label_file: Path, export: Path, described: Container[Path]) -> tuple[Path, Mapping[int, str]] | None:
    """The nearest file of class names beside or above a label file, and its names; None if there is none.

    described: files that tell of other label files, but not of this one.
    """
    for folder in label_file.parents:
        paths = (path for path in sorted(folder.iterdir()) if path.is_file() and path not in described)
        files = {path.name.lower(): path for path in paths}
        for name, path in sorted(files.items(), key=lambda item: _rank(item[0])):
            names = _names(path, name)
            if names:
                return path, names
        if folder == export:
            break
    return None


def _rank(name: str) -> tuple[int, str]:
    return (_NAME_FILES.index(name) if name in _NAME_FILES else len(_NAME_FILES), name)


def _names(path: Path, name: str) -> Mapping[int, str]:
    if name.endswith((".yaml", ".yml")):
        return names_of_yaml(path)
    if name == "notes.json":
        return _label_studio_names(path)
    if name not in _NAME_FILES and not name.endswith(".names"):
        return {}
    lines = [line.strip() for line in read_text(path).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    # A label file may be called so too, and CVAT's label map of VOC has columns.
    if is_label_rows("\n".join(lines), is_certain=True) or (
        name == "labelmap.txt" and any(":" in one for one in lines)
    ):
        return {}
    return dict(enumerate(lines))


def _label_studio_names(path: Path) -> Mapping[int, str]:
    try:
        categories = json.loads(read_text(path)).get("categories")
        return {int(category["id"]): str(category["name"]) for category in categories}
    except (PipelineError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def classes_layout(
    root: Path,
    names: Mapping[int, str],
    label_files: Sequence[Path],
    images: Mapping[str, Sequence[Path]],
    claimed: Container[Path],
) -> YoloLayout:
    """The images of these label files. images: all of the export, by near stem; claimed: those of other labels."""
    below_root = {stem: [path for path in paths if path.is_relative_to(root)] for stem, paths in images.items()}
    named = list(_named(root, label_files, below_root))
    found = {one.image for one in named}
    beside = {path.parent for path in found if path is not None}
    bare = sorted(
        path
        for paths in below_root.values()
        for path in paths
        if path.parent in beside and path not in found and path not in claimed
    )
    notes = []
    if bare:
        shown = ", ".join(path.relative_to(root).as_posix() for path in bare[:5])
        notes.append(f"{len(bare):,} images beside labelled ones have no label file and are left out: {shown}")
    return YoloLayout(names, None, entries_of(named), notes)


def _named(root: Path, label_files: Iterable[Path], images: Mapping[str, Sequence[Path]]) -> Iterator[Named]:
    for label_file in sorted(label_files):
        image = image_of(label_file, images)
        path = (image or label_file.with_suffix("")).relative_to(root).as_posix()
        folders = (part for part in path.split("/")[:-1] if part.lower() in USUAL_SUBSETS)
        yield Named(next(folders, None), path, label_file, image, is_listed=False)


def image_of(label_file: Path, images: Mapping[str, Sequence[Path]]) -> Path | None:
    """The image of a label file: in a like-named folder, beside it, or the only one of its stem."""
    alike = images.get(near(label_file.stem), ())
    places = [label_file.parent.as_posix(), swapped(label_file.parent.as_posix(), "labels", "images")]
    close = [image for image in alike if near(image.parent.as_posix()) in map(near, places)]
    exact = [image for image in close or alike if image.stem == label_file.stem]
    found = exact or close or list(alike)
    return found[0] if len(found) == 1 else None


def root_of(names_file: Path, export: Path) -> Path:
    """The folder that images and label files lie below: that of the names, or the one above a folder of labels."""
    folder = names_file.parent
    return folder.parent if folder.name.lower() in _LABEL_FOLDERS and folder != export else folder


def by_names_file(
    label_files: Iterable[Path], export: Path, described: Container[Path], faults: list[str]
) -> tuple[dict[Path, tuple[Mapping[int, str], list[Path]]], list[Path]]:
    """Label files by the file of their class names, with the names; and those that have none.

    `faults` gets files of class names that cannot be read.
    """
    found: dict[Path, tuple[Mapping[int, str], list[Path]]] = {}
    nameless: list[Path] = []
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in label_files:
        folders[path.parent].append(path)
    for paths in folders.values():
        try:
            names = class_names(paths[0], export, described)
        except PipelineError as error:
            faults.append(str(error))
            continue
        if names is None:
            nameless += paths
        else:
            found.setdefault(names[0], (names[1], []))[1].extend(paths)
    return found, nameless
