"""What a stage made, as a commit on its run's branch, beside those of others."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from git_command import AUTHOR, GitError, git
from ruamel.yaml import YAML
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

log = logging.getLogger("detached")
yaml = YAML()
yaml.width = 1000


@dataclass(frozen=True)
class Landing:
    """What a stage leaves on the run's branch."""

    stage: str
    entry: dict[str, Any]  # of dvc.lock
    files: dict[str, bytes]  # outputs that Git holds


def land(clone: Path, branch: str, landing: Landing) -> None:
    """Commit and push onto the branch as it now is; others may land at the same time, each its own."""
    attempts = Retrying(
        retry=retry_if_exception_type(GitError),
        stop=stop_after_attempt(10),
        wait=wait_random_exponential(multiplier=0.5, max=20),
        reraise=True,
    )
    attempts(_land_once, clone, branch, landing)
    log.info("landed %s on %s", landing.stage, branch)


def _land_once(clone: Path, branch: str, landing: Landing) -> None:
    git("fetch", "--quiet", "origin", branch, cwd=clone)
    git("reset", "--quiet", "--hard", "FETCH_HEAD", cwd=clone)
    if landing.entry:
        lock = clone / "dvc.lock"
        locked: dict[str, Any] = yaml.load(lock) if lock.is_file() else {"schema": "2.0", "stages": {}}
        locked["stages"][landing.stage] = landing.entry
        yaml.dump(locked, lock)
        for name, data in landing.files.items():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_bytes(data)
        git("add", "--force", "--", "dvc.lock", *landing.files, cwd=clone)
    # The rest of the message says whose run it is, to runs that go on from it.
    message = "\n".join([landing.stage, *git("log", "-1", "--format=%B", cwd=clone).splitlines()[1:]])
    git(*AUTHOR, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", message, cwd=clone)
    git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}", cwd=clone)
