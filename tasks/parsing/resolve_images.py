"""Image files below the ingest folder, found by the names that label files give."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.contracts.digests import content_sha256
from tasks.formats.image_paths import (
    IMAGE_SUFFIXES,
    base_name,
    composed,
    has_ending_of,
    has_image_ending,
    near,
    near_forms,
    near_name,
    without_ending,
)

# Folders that exports put all images into; they are no part of an image's name.
_ROOTS = frozenset({"images", "jpegimages", "obj_train_data", "obj_valid_data", "obj_test_data", "data"})


_FRAME = re.compile(r"(^|[/\\])frame_\d+(\.\w+)?$", re.IGNORECASE)  # what CVAT calls frames of videos
_MASKS = frozenset({"segmentationclass", "segmentationobject"})  # of VOC: label files that look like images
# Folders of pictures that have the stems of images, but are none of them.
_NO_IMAGES = frozenset({"mask", "masks", "label", "labels", "annotation", "annotations", "depth", "segmentation", "gt"})


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
        self._by_near_stem: dict[str, list[str]] | None = None  # made when first asked for
        self.paths: list[str] = []  # relative to `raw`, with /
        for path in sorted(raw.rglob("*")):
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and path.parent.name.lower() not in _MASKS:
                relative = path.relative_to(raw).as_posix()
                self.paths.append(relative)
                self._by_base[composed(path.name)].append(relative)
                self._by_stem[composed(path.stem)].append(relative)

    def find(
        self,
        own_folders: Sequence[str],
        name: str,
        subset: str | None,
        subsets: frozenset[str],
        is_sole: Callable[[], bool] = lambda: True,
        *,
        is_sole_nearly: Callable[[str], bool] = lambda _: True,
    ) -> str | Ambiguous | None:
        """The file of an image, relative to the ingest folder; None if there is none.

        Looks below each of `own_folders` in turn (relative to the ingest folder), then everywhere, but there not for a
        frame among those of another video: `frame_000123` does not say of which. Each time it looks for the subset and
        the whole name first, then for the whole name, for paths that end so, and for the base name. A name without a
        known ending matches any. A folder named after another one of the export's `subsets` never matches, since names
        repeat over subsets. is_sole: whether no other image has the same base name; else that alone decides nothing.
        A file of nearly that name (`is_nearly`) is taken where there is no other, if its ending is the same or it is in
        one of the own folders. is_sole_nearly: whether no other image has nearly this name or base name.
        """
        paths = self._candidates(name)
        found = self.find_below(own_folders, name, subset, subsets, is_sole)
        if isinstance(found, str) or not self.paths:
            return found
        elsewhere = self._best(self._elsewhere(paths, name), ".", name, subset, subsets, is_sole=is_sole)
        if isinstance(elsewhere, str):
            return elsewhere
        return found or elsewhere or self._nearly(own_folders, name, subset, subsets, is_sole_nearly)

    def _elsewhere(self, paths: list[str], name: str) -> list[str]:
        if not _FRAME.search(name):
            return paths
        return [path for path in paths if not any(_is_below(folder, path) for folder in self._video_folders)]

    def _nearly(
        self,
        own_folders: Sequence[str],
        name: str,
        subset: str | None,
        subsets: frozenset[str],
        is_sole: Callable[[str], bool],
    ) -> str | Ambiguous | None:
        """The only file of nearly that name; Ambiguous with those that come into question but are not certain."""
        for form in near_forms(without_ending(name)):
            paths = self._near_stems().get(base_name(form), [])
            alike = [path for path in paths if has_ending_of(name, path)]
            unlike = [path for path in paths if path not in alike and not _is_mask(path)]
            for folder, near_paths in [
                *((folder, alike) for folder in own_folders),
                (".", self._elsewhere(alike, name)),
                *((folder, unlike) for folder in own_folders),
            ]:
                found = self._best_near(near_paths, folder, form, subset, subsets, is_sole=is_sole)
                if found is not None:
                    return found
            if unlike and not _FRAME.search(name):
                return Ambiguous(tuple(unlike))
        return None

    def _near_stems(self) -> dict[str, list[str]]:
        if self._by_near_stem is None:
            self._by_near_stem = defaultdict(list)
            for path in self.paths:
                self._by_near_stem[base_name(near_name(path))].append(path)
        return self._by_near_stem

    def _best_near(
        self,
        paths: Sequence[str],
        folder: str,
        form: str,
        subset: str | None,
        subsets: frozenset[str],
        *,
        is_sole: Callable[[str], bool],
    ) -> str | Ambiguous | None:
        wanted = form.removeprefix("./").lstrip("/")
        known = {path: near(_name_below(folder, path, has_ending=False)) for path in paths if _is_below(folder, path)}
        tests = _tests(wanted, None if subset is None else near(subset), frozenset(map(near, subsets)))
        for fits, told_by in zip(tests, [wanted, wanted, wanted, base_name(wanted)], strict=True):
            found = [path for path, name in known.items() if fits(name)]
            if found:
                return self._only(found) if is_sole(told_by) else Ambiguous(tuple(found))
        return None

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
        return self._by_base.get(base) or ([] if has_image_ending(base) else self._by_stem.get(base, []))

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
        wanted = composed(name.replace("\\", "/")).removeprefix("./").lstrip("/")
        known = {path: _name_below(folder, path, has_ending=has_image_ending(wanted)) for path in paths}
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


def _is_mask(path: str) -> bool:
    return not _NO_IMAGES.isdisjoint(path.lower().split("/")[:-1])


def _is_below(folder: str, path: str) -> bool:
    return folder == "." or path.startswith(folder + "/")


def _name_below(folder: str, path: str, *, has_ending: bool) -> str:
    parts = PurePosixPath(composed(path if folder == "." else path[len(folder) + 1 :])).parts
    while len(parts) > 1 and parts[0].lower() in _ROOTS:
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
