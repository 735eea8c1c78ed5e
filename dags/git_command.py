"""Git, as the DAGs, the site and detached stages call it: the images of both have this module."""

import os
import re
import subprocess
from pathlib import Path

# Of commits that no person makes.
AUTHOR = ("-c", "user.name=Sightline", "-c", "user.email=sightline@localhost")
# It never asks for a password, and its words are the same everywhere.
ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


class GitError(RuntimeError):
    """A command that failed, and what Git said; logins in URLs are left out."""


def git(*arguments: str, cwd: Path, check: bool = True) -> str:
    """What a command prints. Raises GitError if it fails, unless `check` is off."""
    done = subprocess.run(  # noqa: S603  # no shell; names of users stand behind -- or --end-of-options
        ["git", *arguments],  # noqa: S607
        cwd=cwd,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode != 0:
        raise GitError(LOGIN.sub("", f"git {' '.join(arguments)}: {done.stderr.strip()}"))
    return done.stdout.strip()
