"""Looks up files of a YOLO export by the paths that it writes, which may be those of another machine."""

from collections import defaultdict
from pathlib import Path

from tasks.formats.image_paths import is_image, near, near_forms, path_parts


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
