"""Which code this is: by its Git commit, and by the bytes of the modules that a result depends on."""

import hashlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tasks.contracts.digests import content_sha256

_TASKS = Path(__file__).resolve().parents[1]


def commit() -> tuple[str | None, bool]:
    """The Git commit of this code, None outside a repository, and whether there are changes beside it."""
    head = git("rev-parse", "HEAD", cwd=_TASKS)
    return head or None, bool(head and git("status", "--porcelain", cwd=_TASKS))


def git(*arguments: str, cwd: Path | None = None) -> str:
    """What a Git command prints; empty where there is no Git, no repository or nothing to say."""
    try:
        asked = subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError):
        return ""
    return asked.stdout.strip()


def modules_sha256(places: Iterable[str | Path]) -> str:
    """sha256 over the sources of modules and folders of modules, in the order given.

    They are named as below `tasks`, or as absolute paths elsewhere, whose sources are named from their folder on.
    """
    digest = hashlib.sha256()
    for place in places:
        path = _TASKS / place
        root = _TASKS if path.is_relative_to(_TASKS) else path.parent
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(source.relative_to(root).as_posix().encode() + b"\0" + content_sha256(source).encode())
    return digest.hexdigest()
