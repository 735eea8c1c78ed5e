"""Git, as the DAGs and the server call it."""

import os
import subprocess
from pathlib import Path

# Of commits that no person makes.
AUTHOR = ("-c", "user.name=Sightline", "-c", "user.email=sightline@localhost")


def git(*arguments: str, cwd: Path, check: bool = True) -> str:
    """What a command prints. Never asks for a password; raises RuntimeError if it fails, unless `check` is off."""
    done = subprocess.run(  # noqa: S603  # no shell; names of users stand behind -- or --end-of-options
        ["git", *arguments],  # noqa: S607
        cwd=cwd,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()
