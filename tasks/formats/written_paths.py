"""Paths as label files write them, often on other machines."""

from pathlib import PurePosixPath

from tasks.formats.image_files import SUFFIXES


def path_parts(path: str) -> list[str]:
    """The parts of a path of any machine, without those that lead out of a folder."""
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]


def is_image(path: str) -> bool:
    """Whether a path ends as an image does."""
    return PurePosixPath(path).suffix.lower() in SUFFIXES
