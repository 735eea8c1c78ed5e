"""Moves the alias `champion`: who may, from what to what, and the line that each move leaves in the release log."""

import fcntl
import getpass
import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tasks.clients.registry import Registry
from tasks.contracts.errors import PipelineError
from tasks.contracts.release import Change
from tasks.contracts.verdict import Verdict


@dataclass(frozen=True)
class By:
    """Who changes what is live, when and why."""

    time: str
    who: str
    why: str


def change_by(why: str) -> By:
    """The user of this machine, now."""
    # Z, not +00:00: the time is part of an MLflow tag's name, which takes no plus.
    return By(datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), _who(), why)


def _who() -> str:
    """The Git user, else the user of the machine."""
    git = shutil.which("git")
    if git:
        asked = subprocess.run([git, "config", "user.name"], capture_output=True, text=True, check=False)  # noqa: S603
        if asked.stdout.strip():
            return asked.stdout.strip()
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def promote(registry: Registry, version: str, verdict: Verdict, by: By) -> Change:
    """Move the alias to `version` if `check_champion` allows it; returns the line of the log that made it live."""
    with registry.one_at_a_time():
        check_champion(registry, version, verdict)
        before, done = registry.champion(), registry.changes()
        if before == version and done and done[-1].version == version:
            return done[-1]
        if before == version:
            # Somebody moved the alias by hand: the log gets the line that it lacks.
            before = done[-1].version if done else None
        change = Change(
            time=by.time, who=by.who, action="release", version=version, before=before, why=by.why or verdict.reason
        )
        return registry.move(change)


def check_champion(registry: Registry, version: str | None, verdict: Verdict) -> None:
    """Raises PipelineError if what is live is neither `version` (null: not registered yet) nor what was compared with.

    Also if `version` was rolled back from: a machine does not undo what a person decided.
    """
    live = registry.champion()
    if live is not None and live == version:
        return
    earlier = [change for change in registry.changes() if version in (change.version, change.before)]
    if version is not None and earlier and earlier[-1].action == "rollback" and earlier[-1].before == version:
        raise PipelineError(
            f"version {version} holds these bundles, and it was rolled back from",
            f"by {earlier[-1].who} at {earlier[-1].time}: {earlier[-1].why}",
            f"Train another model, or make it live again with --rollback {version} --why REASON",
        )
    if live != verdict.champion_version:
        raise PipelineError(
            "the champion moved since it was compared with",
            f"{registry.name} was at version {verdict.champion_version or 'none'}, and is at {live or 'none'}",
            "Measure against it: dvc repro -f export@champion, then dvc repro",
        )


def roll_back(registry: Registry, version: str, by: By) -> Change:
    """Make an earlier (or later) version live, and say so in the log.

    Raises PipelineError if there is no such version, if its bundles do not come back from the registry, if it is live
    already, or without a reason.
    """
    versions = registry.versions()
    if version not in versions:
        valid = ", ".join(versions) or "none"
        raise PipelineError("no such version", f"{registry.name} has no version {version!r}", f"Valid are: {valid}")
    if not by.why:
        raise PipelineError("a rollback has a reason", f"--rollback {version}", "Add --why REASON; the log keeps it")
    registry.check(version)
    with registry.one_at_a_time():
        before = registry.champion()
        if before == version:
            raise PipelineError("version is live already", f"{registry.name} version {version}", "Name another version")
        return registry.move(
            Change(time=by.time, who=by.who, action="rollback", version=version, before=before, why=by.why)
        )


def write_log(path: Path, changes: list[Change]) -> None:
    """Append the lines of the registry's log that the file does not have yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        held = set(file.read().splitlines())
        file.writelines(f"{line}\n" for change in changes if (line := change.model_dump_json()) not in held)
