"""All label files of an export: what is recognised by itself, YOLO's with a file of class names, and those not read."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks.contracts.errors import PipelineError
from tasks.formats.image_paths import is_image, near
from tasks.formats.text_files import head_of
from tasks.formats.yolo_classes import by_names_file, classes_layout, image_of, is_label_rows, root_of
from tasks.formats.yolo_entries import is_label_name
from tasks.parsing.companions import could_hold_labels, is_mask_folder, walk
from tasks.parsing.detect_format import LabelFiles, yolo
from tasks.parsing.ignored import Ignored, common_folder
from tasks.parsing.image_names import ImageNames
from tasks.parsing.recognised import Recognised
from tasks.parsing.unread import IGNORE, UNREAD, why_labels

_LABEL_FOLDER = re.compile(r"label|annotation|(^|_)gts?($|_)", re.IGNORECASE)
_MASK_FOLDERS = frozenset({"segmentationclass", "segmentationobject"})
_MASK_END = re.compile(r"[_-](masks?|seg|segmentation|gtfine_\w+|labels?|gt)$")
_KEYS = re.compile(r"^\s*(nc|train|val)\s*:", re.MULTILINE)
_YAML = (".yaml", ".yml")
_NUMBERS = re.compile(r"\d+")  # which differ between files of one kind
_SHOWN = 3


def recognise(export: Path, faults: list[str], is_ignored: Ignored) -> Iterator[Recognised]:
    """All label files of an export, sorted by path.

    `faults` gets what is broken, and every other file that could be labels by its content: not one may be missed in
    silence. is_ignored: what a person wants to be passed over.
    """
    special = list(_special(export))
    faults += special
    if special:
        return  # whoever opens a pipe waits for ever
    search = LabelFiles(export, is_ignored)
    yield from search.recognised()
    left = [path for _, paths in search.files() for path in paths if not is_image(path.name)]
    images = search.images if left else {}
    names = ImageNames(images)
    rows = [path for path in left if is_label_name(path.name) and _is_label_file(path, images)]
    yield from _with_class_names(search, rows, sorted(set(left) - set(rows)), images)
    for path in sorted(set(left) - set(rows) - search.claimed):
        kind = why_labels(path, names, is_in_label_folder=_is_in_label_folder(path, export))
        if kind is not None:
            search.unread[path] = kind
    search.faults += _unread(search.unread, is_ignored)
    search.faults += _masks(search, search.images)
    search.faults += _linked(search)
    faults += search.faults


def _special(export: Path) -> Iterator[str]:
    """Faults of what is no file, though its name stands among those of files, and of folders that cannot be read."""
    closed: list[OSError] = []
    for place, _, names in walk(export, onerror=closed.append):
        for path in (place / name for name in names):
            if not path.is_file():
                is_lost = path.is_symlink() and not path.exists()
                what = "a link to what is not there" if is_lost else "neither a file nor a folder"
                yield str(PipelineError(what, str(path), "Remove it, or put the file there"))
    for error in closed:
        yield str(
            PipelineError("folder cannot be read", f"{error.filename}: {error.strerror}", "Give this user the right")
        )


def _linked(search: LabelFiles) -> Iterator[str]:
    """Faults of links to folders with labels that nothing is read from: links are not followed to look for labels."""
    for place, folders, _ in walk(search.export):
        for link in (place / name for name in folders if (place / name).is_symlink()):
            if any(path.is_relative_to(link) for path in search.claimed):
                continue
            paths = [inner / name for inner, _, names in walk(link) for name in names]
            left = [path for path in paths if could_hold_labels(path.relative_to(place).as_posix())]
            if not all(map(search.is_ignored, left)):
                fault = PipelineError(
                    "a link to a folder, which is not looked into for labels", str(link), "Put the folder itself there"
                )
                yield search.is_ignored.told(fault, left)


def _with_class_names(
    search: LabelFiles, rows: Sequence[Path], others: Sequence[Path], images: Mapping[str, Sequence[Path]]
) -> Iterator[Recognised]:
    """YOLO label files by their files of class names; those without, and second ones of an image, are faults."""
    first = [path for path in rows if image_of(path, images) not in search.claimed]
    named, nameless = by_names_file(first, search.export, search.claimed, search.faults)
    blank = [path for path in others if near(path.stem) in images and _is_blank(path)]
    for names_file, (names, label_files) in sorted(named.items()):
        root = root_of(names_file, search.export)
        folders = {path.parent for path in label_files}
        # Of images on which nothing is labelled.
        negatives = [path for path in blank if path.parent in folders and image_of(path, images) not in search.claimed]
        layout = classes_layout(root, names, [*label_files, *negatives], images, search.claimed)
        yield from search.claim(yolo("yolo", names_file, layout, root))
    lack = _Lack(search.export)
    nameless_by_lack = defaultdict[str, list[Path]](list)
    for path in nameless:
        nameless_by_lack[lack.of(path.parent)].append(path)
    for why, paths in nameless_by_lack.items():
        hint = "Give them a data.yaml with `names` and a subset, or a classes.txt"
        fault = PipelineError(f"{len(paths):,} YOLO label files without class names", f"{_shown(paths)}; {why}", hint)
        search.faults.append(search.is_ignored.told(fault, paths))
    second = sorted(set(rows) - set(first))
    if second:
        what = f"{len(second):,} YOLO label files of images that have others"
        fault = PipelineError(what, _shown(second), "Remove those that do not count")
        search.faults.append(search.is_ignored.told(fault, second))


def _unread(kinds: Mapping[Path, str], ignored: Ignored) -> Iterator[str]:
    """Faults of files that are not read, those of one kind as one."""
    alike = defaultdict[tuple[str, str], list[Path]](list)
    for path, kind in sorted(kinds.items()):
        alike[path.suffix.lower(), _NUMBERS.sub("", kind)].append(path)
    for paths in alike.values():
        kind = kinds[paths[0]]
        count, where = (f"{len(paths):,} files ", _shown(paths)) if len(paths) > 1 else ("", str(paths[0]))
        yield ignored.told(PipelineError(f"{count}{UNREAD} ({kind})", where, IGNORE), paths)


def _shown(paths: Sequence[Path]) -> str:
    """Where files are: the folder of all, and the first ones below it."""
    folder = common_folder(paths)
    return f"{folder}: {', '.join(path.relative_to(folder).as_posix() for path in paths[:_SHOWN])}"


def _masks(search: LabelFiles, images: Mapping[str, Sequence[Path]]) -> Iterator[str]:
    """Folders of label masks. What reads other labels of their images notes them, as VOC notes its own."""
    for place, paths in search.files():
        voc = place.name.lower() in _MASK_FOLDERS
        if voc and any(("voc", folder) in search.formats for folder in place.parents):
            continue
        masks = {path: _masked(path, images, search.export) for path in paths if is_image(path.name)}
        masked = list(filter(None, masks.values()))
        count = len(paths) if voc else len(masked)
        readers = [next((one for one in search.around(image.parent) if _reads(one, image)), None) for image in masked]
        if readers and (reader := readers[0]) and all(readers):
            inside = place.relative_to(search.export).as_posix()
            reader.notes.append(f"{count:,} label masks in {inside} are not read, only boxes are")
        elif count:
            fault = PipelineError(f"{count:,} label masks, which are not read", str(place), IGNORE)
            yield search.is_ignored.told(fault, [path for path in paths if voc or masks.get(path)])


def _masked(path: Path, images: Mapping[str, Sequence[Path]], export: Path) -> Path | None:
    """The image that a picture is a mask of: of its stem but not in a folder of masks, or b.jpg of b_mask.png."""
    stem = near(path.stem)
    plain = _MASK_END.sub("", stem)
    if not _is_in_mask_folder(path, export) and plain == stem:
        return None
    found = [*images.get(plain, ()), *images.get(stem, ())]
    return next((image for image in found if image != path and not _is_in_mask_folder(image, export)), None)


def _is_in_mask_folder(path: Path, export: Path) -> bool:
    return any(map(is_mask_folder, path.relative_to(export).parts[:-1]))


def _reads(body: Recognised, image: Path) -> bool:
    return not body.images or near(image.stem) in body.images


def _is_label_file(path: Path, images: Mapping[str, Sequence[Path]]) -> bool:
    # In another encoding too: if it is a label file, it is refused where it is read.
    is_certain = near(path.stem) in images or _LABEL_FOLDER.search(path.parent.name) is not None
    return is_label_rows(head_of(path), is_certain=is_certain)


def _is_blank(path: Path) -> bool:
    return is_label_name(path.name) and not head_of(path).strip()


def _is_in_label_folder(path: Path, export: Path) -> bool:
    return any(map(_LABEL_FOLDER.search, path.relative_to(export).parts[:-1]))


class _Lack:
    """What is there in place of class names; a folder is looked at once."""

    def __init__(self, export: Path) -> None:
        self._export = export
        self._nameless: dict[Path, Path | None] = {}  # a YAML with a data set's keys, by folder

    def of(self, folder: Path) -> str:
        for place in (folder, *folder.parents):
            if place not in self._nameless:
                self._nameless[place] = _nameless_yaml(place)
            if (path := self._nameless[place]) is not None:
                return f"{path} has no `names`, or no subset that holds them"
            if place == self._export:
                break
        return "neither data.yaml, obj.data nor classes.txt tells of them"


def _nameless_yaml(folder: Path) -> Path | None:
    paths = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in _YAML and path.is_file())
    return next((path for path in paths if _KEYS.search(head_of(path))), None)
