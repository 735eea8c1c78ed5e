"""Image files below the ingest folder, found by the names that label files give."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.contracts.work import content_sha256

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".jp2", ".gif", ".ppm", ".pgm"}
)
# Folders that exports put all images into; they are no part of an image's name.
_ROOTS = frozenset({"images", "JPEGImages", "obj_train_data", "obj_valid_data", "obj_test_data", "data"})


_FRAME = re.compile(r"(^|[/\\])frame_\d+(\.\w+)?$", re.IGNORECASE)  # what CVAT calls frames of videos
_MASKS = frozenset({"SegmentationClass", "SegmentationObject"})  # of VOC: label files that look like images


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Several files could be meant, and they are not the same picture."""

    files: tuple[str, ...]


class ImageFiles:
    """All image files below a folder, indexed by base name."""

    def __init__(self, raw: Path, video_folders: Sequence[str]) -> None:
        """Look for files once. video_folders: below each of them lie frames of one video, if any."""
        self._raw = raw
        self._video_folders = [folder for folder in video_folders if folder != "."]
        self._by_base: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self.paths: list[str] = []  # relative to `raw`, with /
        for path in sorted(raw.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file() and path.parent.name not in _MASKS:
                relative = path.relative_to(raw).as_posix()
                self.paths.append(relative)
                self._by_base[_composed(path.name)].append(relative)
                self._by_stem[_composed(path.stem)].append(relative)

    def find(
        self,
        own_folders: Sequence[str],
        name: str,
        subset: str | None,
        subsets: frozenset[str],
        is_sole: Callable[[], bool] = lambda: True,
    ) -> str | Ambiguous | None:
        """The file of an image, relative to the ingest folder; None if there is none.

        Looks below each of `own_folders` in turn (relative to the ingest folder), then everywhere, but there not for a
        frame among those of another video: `frame_000123` does not say of which. Each time it looks for the subset and
        the whole name first, then for the whole name, for paths that end so, and for the base name. A name without a
        known ending matches any. A folder named after another one of the export's `subsets` never matches, since names
        repeat over subsets. is_sole: whether no other image has the same base name; else that alone decides nothing.
        """
        paths = self._candidates(name)
        if not paths:
            return None
        found = self.find_below(own_folders, name, subset, subsets, is_sole)
        if isinstance(found, str):
            return found
        if _FRAME.search(name):
            paths = [path for path in paths if not any(_is_below(folder, path) for folder in self._video_folders)]
        elsewhere = self._best(paths, ".", name, subset, subsets, is_sole=is_sole)
        return found if found is not None and not isinstance(elsewhere, str) else elsewhere

    def find_below(
        self,
        folders: Sequence[str],
        name: str,
        subset: str | None,
        subsets: frozenset[str],
        is_sole: Callable[[], bool] = lambda: True,
    ) -> str | Ambiguous | None:
        """The same, below these folders only."""
        paths = self._candidates(name)
        for folder in folders if paths else ():
            below = [path for path in paths if _is_below(folder, path)]
            found = self._best(below, folder, name, subset, subsets, is_sole=is_sole)
            if found is not None:
                return found
        return None

    def _candidates(self, name: str) -> list[str]:
        if not self.paths:
            return []
        base = base_name(name)
        return self._by_base.get(base) or ([] if _has_ending(base) else self._by_stem.get(base, []))

    def _best(
        self,
        paths: Sequence[str],
        folder: str,
        name: str,
        subset: str | None,
        subsets: frozenset[str],
        *,
        is_sole: Callable[[], bool],
    ) -> str | Ambiguous | None:
        wanted = _composed(name.replace("\\", "/")).removeprefix("./").lstrip("/")
        known = {path: _name_below(folder, path, has_ending=_has_ending(wanted)) for path in paths}
        *by_whole_name, by_base_name = _tests(wanted, subset, subsets)
        for fits in by_whole_name:
            found = [path for path in paths if fits(known[path])]
            if found:
                return self._only(found)
        found = [path for path in paths if by_base_name(known[path])]
        if found and not is_sole():
            return Ambiguous(tuple(found))
        return self._only(found) if found else None

    def _only(self, found: list[str]) -> str | Ambiguous:
        if len(found) > 1 and len({content_sha256(self._raw / path) for path in found}) > 1:
            return Ambiguous(tuple(found))
        return found[0]


def base_name(name: str) -> str:
    """The last part of an image's name, as files are indexed by it."""
    return _composed(name.replace("\\", "/").rpartition("/")[2])


def repeated_base_names(names: Iterable[str]) -> set[str]:
    """The base names that several different names have."""
    first: dict[str, str] = {}
    return {base for name in names if first.setdefault(base := base_name(name), name) != name}


def _has_ending(name: str) -> bool:
    return f".{name.rpartition('.')[2]}".lower() in SUFFIXES


def _is_below(folder: str, path: str) -> bool:
    return folder == "." or path.startswith(folder + "/")


def _name_below(folder: str, path: str, *, has_ending: bool) -> str:
    parts = PurePosixPath(_composed(path if folder == "." else path[len(folder) + 1 :])).parts
    while len(parts) > 1 and parts[0] in _ROOTS:
        parts = parts[1:]
    name = "/".join(parts)
    return name if has_ending else name.rpartition(".")[0]


def _tests(wanted: str, subset: str | None, subsets: frozenset[str]) -> list[Callable[[str], bool]]:
    others = subsets - {subset}

    def is_allowed(name: str, tail: str) -> bool:
        return others.isdisjoint(name.removesuffix(tail).split("/"))

    base = wanted.rpartition("/")[2]
    return [
        lambda name: name == f"{subset}/{wanted}",
        lambda name: name == wanted,
        lambda name: name.endswith("/" + wanted) and is_allowed(name, wanted),
        lambda name: is_allowed(name, base),
    ]


def _composed(text: str) -> str:
    # Archives made on macOS spell é as two characters, label files as one.
    return text if text.isascii() else unicodedata.normalize("NFC", text)
