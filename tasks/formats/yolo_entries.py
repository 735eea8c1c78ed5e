"""The images and label files that the subsets of a YOLO export name, by paths that may be those of another machine."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tasks.formats.image_paths import is_image, near, near_forms, path_parts
from tasks.formats.text_files import read_text

USUAL_SUBSETS = frozenset({"train", "val", "valid", "test"})  # other keys are subsets too, if they lead to labels
_NO_LABELS = frozenset({"classes.txt"})  # written beside label files by LabelImg


def is_label_name(path: str) -> bool:
    """Whether a file's name may be that of a label file."""
    return path.lower().endswith(".txt") and PurePosixPath(path).name.lower() not in _NO_LABELS


@dataclass(frozen=True, slots=True)
class YoloEntry:
    """An image of an export and its label file."""

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


def swapped(path: str, old: str = "images", new: str = "labels") -> str:
    """The like-named path in the folder of labels, Ultralytics' way."""
    parts = path.replace("\\", "/").split("/")
    places = [place for place, part in enumerate(parts) if part.lower() == old]
    if places:
        parts[places[-1]] = new
    return "/".join(parts)


class YoloFiles:
    """The files below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[tuple[str, ...], list[Path]] = {}  # by the folder that a path names
        self._names: dict[Path, dict[str, list[str]]] = {}  # of a folder, by near name

    def find(self, path: str) -> Path | None:
        """The file or folder meant, never one outside of the root.

        `/content/images/train/1.jpg` may be `images/train/1.jpg` or `train/1.jpg` here, but not `1.jpg`, of which
        there may be many. Where nothing has that very name, the only one of nearly that name is meant.
        """
        *folder, name = path_parts(path) or [""]
        try:
            return next(filter(None, (self._in(found, name) for found in self._like(tuple(folder)))), None)
        except OSError:  # text that is no path, and longer than one may be
            return None

    def label_file(self, image: str) -> Path | None:
        """The label file of an image: in a like-named folder in Ultralytics' layout, beside the image in YOLO 1.1."""
        stem = image.removesuffix(Path(image).suffix)
        found = self.find(swapped(stem) + ".txt") or self.find(stem + ".txt") or self.find(swapped(image) + ".txt")
        return None if found is None or self._is_of_another(found, image) else found

    def _is_of_another(self, label_file: Path, image: str) -> bool:
        """Whether a label file of nearly an image's name has the very name of another image beside it."""
        name = path_parts(image)[-1]
        if label_file.stem in (name, Path(name).stem):
            return False
        found = self.find(image)
        return found is not None and label_file.stem in self._stems(found.parent)

    def _stems(self, folder: Path) -> set[str]:
        names = [name for names in self._listed(folder).values() for name in names]
        return {Path(name).stem for name in names if is_image(name)}

    def below(self, folder: Path) -> list[str]:
        """The paths of all files below a folder, relative to the root."""
        return sorted(path.relative_to(self.root).as_posix() for path in folder.rglob("*") if path.is_file())

    def _like(self, folder: tuple[str, ...]) -> list[Path]:
        if folder not in self._folders:
            tails = [folder[start:] for start in range(len(folder))] or [()]
            # CVAT writes `data/` before its paths, though no such folder is in the archive.
            if folder == ("data",):
                tails.append(())
            found = [self._folder(tail) for tail in tails]
            self._folders[folder] = [path for path in found if path is not None and path.is_dir()]
        return self._folders[folder]

    def _folder(self, parts: tuple[str, ...]) -> Path | None:
        place: Path | None = self.root.joinpath(*parts)
        if place is not None and not place.is_dir():
            place = self.root
            for part in parts:
                place = self._in(place, part) if place is not None and place.is_dir() else None
        return place

    def _in(self, folder: Path, name: str) -> Path | None:
        if (folder / name).exists():
            return folder / name
        for form in near_forms(name):
            if found := self._listed(folder).get(form):
                return folder / found[0] if len(found) == 1 else None
        return None

    def _listed(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._names:
            names: dict[str, list[str]] = defaultdict(list)
            for path in folder.iterdir():
                names[near(path.name)].append(path.name)
            self._names[folder] = dict(names)
        return self._names[folder]


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
    is_there = image is not None and image.is_file()
    return Named(subset, path, files.label_file(path), image if is_there else None, is_listed=True)


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
