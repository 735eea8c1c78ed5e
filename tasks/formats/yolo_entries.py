"""The images and label files that the subsets of a YOLO export name."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tasks.formats.image_paths import is_image, path_parts
from tasks.formats.text_files import read_text
from tasks.formats.yolo_files import YoloFiles, swapped

USUAL_SUBSETS = frozenset({"train", "val", "valid", "test"})  # other keys are subsets too, if they lead to labels
_NO_LABELS = frozenset({"classes.txt"})  # written beside label files by LabelImg


def is_label_name(path: str) -> bool:
    """Whether a file's name may be that of a label file."""
    return path.lower().endswith(".txt") and PurePosixPath(path).name.lower() not in _NO_LABELS


@dataclass(frozen=True, slots=True)
class YoloEntry:
    """One image."""

    name: str  # without the folders of all images and of the subset
    subset: str | None
    label_file: Path | None  # None: there is none, so nothing is labelled on it
    image: Path | None = None  # None: it did not come along, or lies elsewhere


@dataclass(frozen=True, slots=True)
class Named:
    """An image, or a label file whose image did not come along, as a subset names it."""

    subset: str | None
    path: str
    label_file: Path | None
    image: Path | None
    is_listed: bool  # by itself, not as one of a folder


class Entries(NamedTuple):
    """What the subsets of an export name."""

    entries: list[YoloEntry]  # each image once
    notes: list[str]  # what people should know about them
    passed_over: list[Path]  # label files whose images a list leaves out


def find_entries(root: Path, subsets: Mapping[str, Sequence[str]]) -> Entries:
    """Look up what the subsets name below a folder."""
    files, notes = YoloFiles(root), list[str]()
    named = [one for subset, items in subsets.items() for one in _subset(files, subset, items, notes)]
    once = _each_once(named, notes)
    bare = [one.path for one in once if one.is_listed and one.label_file is None]
    _note(notes, bare, "listed images have no label file, nothing is labelled on them")
    shared = [file.name for file, count in Counter(one.label_file for one in once).items() if file and count > 1]
    _note(notes, shared, "label files belong to several images of one stem, each got all objects")
    unlike = [
        f"{one.label_file.name} of {one.image.name}"
        for one in once
        if one.label_file and one.image and one.label_file.stem not in (one.image.stem, one.image.name)
    ]
    _note(notes, unlike, "label files have nearly the names of their images, as the only ones")
    unread: list[str] = []
    # A list leaves images out on purpose; a folder that no subset names was forgotten.
    if any(one.is_listed for one in once):
        used = {one.label_file for one in once}
        unread = [path for path in files.below(root) if _is_label_path(path) and root / path not in used]
        _note(notes, unread, "label files belong to no image of a subset and are not read")
    return Entries(entries_of(once), notes, [root / path for path in unread])


def _note(notes: list[str], places: Sequence[str], what: str) -> None:
    if places:
        notes.append(f"{len(places):,} {what}: {', '.join(places[:5])}")


def _subset(files: YoloFiles, subset: str, items: Sequence[str], notes: list[str]) -> list[Named]:
    named = [one for item in items for one in _item(files, subset, item)]
    if subset.lower() in USUAL_SUBSETS:
        missing = [item for item in items if not is_image(item) and _folder_or_list(files, item) is None]
        notes.extend(f"subset {subset}: {item} does not exist" for item in missing)
        return named
    if any(map(_is_labelled, named)):
        return named
    images = [one.path for one in named if one.image]
    _note(notes, images, f"images of {subset} have no label files, it is taken for no subset")
    return []


def _is_labelled(one: Named) -> bool:
    is_certain = one.image is not None or one.is_listed or _is_label_path(f"{one.path}.txt")
    return one.label_file is not None and is_certain


def _folder_or_list(files: YoloFiles, item: str) -> Path | None:
    # Of images that did not come along, there are only the labels.
    return files.find(item) or files.find(swapped(item))


def _item(files: YoloFiles, subset: str, item: str) -> Iterator[Named]:
    found = _folder_or_list(files, item)
    if is_image(item):
        yield _listed(files, subset, item)
    elif found is not None and found.is_dir():
        yield from _in_folder(files, subset, found)
    elif found is not None and found.suffix.lower() == ".txt":
        for line in read_text(found).splitlines():
            if line.strip():
                yield _listed(files, subset, line.strip())


def _listed(files: YoloFiles, subset: str, path: str) -> Named:
    image = files.find(path)
    is_held = image is not None and image.is_file()
    return Named(subset, path, files.label_file(path), image if is_held else None, is_listed=True)


def _in_folder(files: YoloFiles, subset: str, folder: Path) -> Iterator[Named]:
    known = set()
    for path in filter(is_image, files.below(folder)):
        label_file = files.label_file(path)
        known.add(label_file)
        yield Named(subset, path, label_file, files.root / path, is_listed=False)
    labels = files.find(swapped(folder.relative_to(files.root).as_posix())) or folder
    for path in files.below(labels):
        if is_label_name(path) and files.root / path not in known:
            yield Named(subset, path[: -len(".txt")], files.root / path, None, is_listed=False)


def _each_once(named: Iterable[Named], notes: list[str]) -> list[Named]:
    seen: set[object] = set()
    once, again = list[Named](), list[Named]()
    for one in named:
        key = _identity(one)
        (again if key in seen else once).append(one)
        seen |= {key, one.label_file}
    _note(notes, [f"{one.path} ({one.subset})" for one in again], "images are listed again, only the first time counts")
    return once


def _identity(one: Named) -> object:
    if one.image is not None:
        return one.image
    if one.label_file is None:
        return tuple(path_parts(one.path))
    # Images of one stem share a label file.
    return (one.label_file, path_parts(one.path)[-1]) if is_image(one.path) else one.label_file


def entries_of(named: Sequence[Named]) -> list[YoloEntry]:
    """Images by names that tell them apart."""
    names = [_name(one.path, one.subset) for one in named]
    counts = Counter((one.subset, name) for one, name in zip(named, names, strict=True))
    return [
        YoloEntry(
            name if counts[one.subset, name] == 1 else _full_name(one.path), one.subset, one.label_file, one.image
        )
        for one, name in zip(named, names, strict=True)
    ]


def _full_name(path: str) -> str:
    # The same whether the image came along or only its labels.
    return swapped("/".join(path_parts(path)), "labels", "images")


def _name(path: str, subset: str | None) -> str:
    parts = list(PurePosixPath(path.replace("\\", "/")).parts)
    for place, part in enumerate(parts):
        if _is_folder_of_all(part):
            parts = parts[place + 1 :]
            break
    if len(parts) > 1 and subset and parts[0].lower() == subset.lower():
        parts = parts[1:]
    return "/".join(parts)


def _is_folder_of_all(part: str) -> bool:
    part = part.lower()
    return part in ("images", "labels") or (part.startswith("obj_") and part.endswith("_data"))


def _is_label_path(path: str) -> bool:
    *folders, name = path.split("/")
    return is_label_name(name) and any(map(_is_folder_of_all, folders))
