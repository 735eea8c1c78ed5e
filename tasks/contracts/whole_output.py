"""Outputs that appear whole or not at all."""

import glob
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.contracts.machine_faults import writing


@contextmanager
def whole_output(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write a file or folder to; it takes `path`'s place when the block ends well.

    What stood at `path` stays until then. A killed stage leaves at most a hidden leftover, which the next try removes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.partial-*"):
        remove(leftover)
    partial = path.parent / f".{path.name}.partial-{uuid.uuid4().hex[:8]}"
    try:
        with writing(path):
            yield partial
            _replace(partial, path)
    finally:
        remove(partial)


def _replace(partial: Path, path: Path) -> None:
    if not path.is_dir():
        partial.replace(path)
        return
    # A folder cannot be replaced in one step: the old one steps aside and goes last.
    old = path.parent / f".{path.name}.partial-old"
    remove(old)
    path.replace(old)
    partial.replace(path)
    remove(old)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is below it, whichever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
