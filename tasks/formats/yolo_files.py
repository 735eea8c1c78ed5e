"""Looks up files of a YOLO export by the paths that it writes, which may be those of another machine."""

from pathlib import Path

from tasks.formats.written_paths import path_parts


def swapped(path: str, old: str = "images", new: str = "labels") -> str:
    """The like-named path in the folder of labels, Ultralytics' way."""
    parts = path.replace("\\", "/").split("/")
    if old in parts:
        parts[len(parts) - 1 - parts[::-1].index(old)] = new
    return "/".join(parts)


class YoloFiles:
    """The files below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[tuple[str, ...], list[Path]] = {}  # by the folder that a path names

    def find(self, path: str) -> Path | None:
        """The file or folder meant, never one outside of the root.

        `/content/images/train/1.jpg` may be `images/train/1.jpg` or `train/1.jpg` here, but not `1.jpg`, of which
        there may be many.
        """
        *folder, name = path_parts(path) or [""]
        try:
            return next((found / name for found in self._like(tuple(folder)) if (found / name).exists()), None)
        except OSError:  # text that is no path, and longer than one may be
            return None

    def label_file(self, image: str) -> Path | None:
        """The label file of an image: in a like-named folder in Ultralytics' layout, beside the image in YOLO 1.1."""
        stem = image.removesuffix(Path(image).suffix)
        return self.find(swapped(stem) + ".txt") or self.find(stem + ".txt")

    def below(self, folder: Path) -> list[str]:
        """The paths of all files below a folder, relative to the root."""
        return sorted(path.relative_to(self.root).as_posix() for path in folder.rglob("*") if path.is_file())

    def _like(self, folder: tuple[str, ...]) -> list[Path]:
        if folder not in self._folders:
            tails = [folder[start:] for start in range(len(folder))] or [()]
            # CVAT writes `data/` before its paths, though no such folder is in the archive.
            if folder == ("data",):
                tails.append(())
            found = [self.root.joinpath(*tail) for tail in tails]
            self._folders[folder] = [path for path in found if path.is_dir()]
        return self._folders[folder]
