"""All label files of an export: what is recognised by itself, YOLO's with a file of class names, and those not read."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tasks.contracts.errors import PipelineError
from tasks.formats.ignored import Ignored
from tasks.formats.image_names import ImageNames
from tasks.formats.near_names import near
from tasks.formats.recognised import Recognised
from tasks.formats.recognition import Search, yolo
from tasks.formats.text_files import head_of
from tasks.formats.unread import IGNORE, UNREAD, why_labels
from tasks.formats.written_paths import is_image
from tasks.formats.yolo_classes import by_names_file, classes_layout, image_of, is_label_rows, root_of
from tasks.formats.yolo_entries import is_label_name

_LABEL_FOLDER = re.compile(r"label|annotation|(^|_)gts?($|_)", re.IGNORECASE)
_MASK_FOLDERS = frozenset({"segmentationclass", "segmentationobject"})
_MASKS = re.compile(
    r"(^|[_\W])(masks?|gts?|gtfine|seg|segmentations?|labels?|annotations?)($|[_\W])|^segmentation(class|object)$",
    re.IGNORECASE,
)
_MASK_END = re.compile(r"[_-](masks?|seg|segmentation|gtfine_\w+|labels?|gt)$")
_KEYS = re.compile(r"^\s*(nc|train|val)\s*:", re.MULTILINE)
_YAML = (".yaml", ".yml")
_SHOWN = 3


def recognise(export: Path, faults: list[str], is_ignored: Ignored) -> Iterator[Recognised]:
    """All label files of an export, sorted by path.

    `faults` gets what is broken, and every other file that could be labels by its content: not one may be missed in
    silence. is_ignored: what a person wants to be passed over.
    """
    search = Search(export, is_ignored)
    yield from search.recognised()
    left = [path for _, paths in search.files() for path in paths if not is_image(path.name)]
    images = search.images if left else {}
    names = ImageNames(images)
    rows = [path for path in left if is_label_name(path.name) and _is_label_file(path, images)]
    yield from _with_class_names(search, rows, sorted(set(left) - set(rows)), images)
    for path in sorted(set(left) - set(rows) - search.claimed):
        kind = why_labels(path, names, is_in_label_folder=_is_in_label_folder(path, export))
        if kind is not None:
            search.faults.append(is_ignored.told(PipelineError(f"{UNREAD} ({kind})", str(path), IGNORE), [path]))
    search.faults += _masks(search, search.images)
    faults += search.faults


def _with_class_names(
    search: Search, rows: Sequence[Path], others: Sequence[Path], images: Mapping[str, Sequence[Path]]
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
    search.faults += _by_folder(
        nameless,
        search.is_ignored,
        lambda folder: f"YOLO label files without class names; {_lack(folder, search.export)}",
        "Give them a data.yaml with `names` and a subset, or a classes.txt",
    )
    search.faults += _by_folder(
        sorted(set(rows) - set(first)),
        search.is_ignored,
        lambda _: "YOLO label files of images that have others",
        "Remove those that do not count",
    )


def _masks(search: Search, images: Mapping[str, Sequence[Path]]) -> Iterator[str]:
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
    return any(map(_MASKS.search, path.relative_to(export).parts[:-1]))


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


def _by_folder(label_files: Iterable[Path], ignored: Ignored, what: Callable[[Path], str], hint: str) -> Iterator[str]:
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in label_files:
        folders[path.parent].append(path)
    for folder, paths in sorted(folders.items()):
        kind, _, why = what(folder).partition("; ")
        where = "; ".join(filter(None, [f"{folder}: {', '.join(path.name for path in paths[:_SHOWN])}", why]))
        yield ignored.told(PipelineError(f"{len(paths):,} {kind}", where, hint), paths)


def _lack(folder: Path, export: Path) -> str:
    """What is there in place of class names."""
    for place in (folder, *folder.parents):
        for path in sorted(place.iterdir()):
            if path.suffix.lower() in _YAML and path.is_file() and _KEYS.search(head_of(path)):
                return f"{path} has no `names`, or no subset that holds them"
        if place == export:
            break
    return "neither data.yaml, obj.data nor classes.txt tells of them"
