"""Moves the alias `champion`: who may, from what to what, and the line that each move leaves in the release log."""

import getpass
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from tasks.contracts.errors import PipelineError
from tasks.contracts.release import Change
from tasks.contracts.verdict import Verdict
from tasks.execution.code_version import git
from tasks.releases.registry import Registry

Sign = Callable[[Change], Change]


@dataclass(frozen=True)
class By:
    """Who changes what is live, when and why."""

    time: str
    who: str
    why: str
    sign: Sign | None = None  # puts the site's signature on the line


def change_by(why: str, sign: Sign | None = None) -> By:
    """The user of this machine, now."""
    # Z, not +00:00: the time is part of an MLflow tag's name, which takes no plus.
    return By(datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), _who(), why, sign)


def _who() -> str:
    """The Git user, else the user of the machine."""
    try:
        return git("config", "user.name") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def promote(registry: Registry, version: str, verdict: Verdict, by: By) -> Change:
    """Move the alias to `version` if `check_champion` allows it; returns the line of the log that made it live."""
    with registry.one_at_a_time():
        check_champion(registry, version, verdict)
        before, done = registry.champion(), registry.changes()
        if before == version and done and done[-1].version == version and (done[-1].signature or by.sign is None):
            return done[-1]
        if before == version:
            # Somebody moved the alias by hand: the log gets the line that it lacks.
            before = done[-1].version if done else None
        return registry.move(_line(registry, "release", (before, version), by, verdict.reason), by.sign)


def _line(
    registry: Registry, action: Literal["release", "rollback"], move: tuple[str | None, str], by: By, reason: str
) -> Change:
    before, version = move
    return Change(
        time=by.time,
        who=by.who,
        action=action,
        version=version,
        before=before,
        why=by.why or reason,
        model=registry.name,
        content_sha256=registry.content(version),
    )


def check_champion(registry: Registry, version: str | None, verdict: Verdict) -> None:
    """Raises PipelineError if what is live is neither `version` (null: not registered yet) nor what was compared with.

    Also if `version` was rolled back from: a machine does not undo what a person decided.
    """
    live = registry.champion()
    if live is not None and live == version:
        return
    earlier = [change for change in registry.changes() if version in (change.version, change.before)]
    if version is not None and earlier and earlier[-1].action == "rollback" and earlier[-1].version != version:
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


def check_measured(registry: Registry, version: str, bundle_sha256: str) -> None:
    """Raises PipelineError if the bundle that was measured as the champion is none of that version's."""
    shipped = registry.shipped(version) if version in registry.versions() else None
    if shipped is not None and bundle_sha256 not in shipped.bundles.values():
        raise PipelineError(
            "what was measured as the champion is not what is live",
            f"{registry.where}, version {version}: none of its bundles has the digest {bundle_sha256[:12]}",
            "Measure against it: dvc repro -f export@champion, then dvc repro",
        )


def roll_back(registry: Registry, version: str, by: By) -> Change:
    """Make an earlier (or later) version live, and say so in the log.

    A site that signs may vouch so for what is live already, and anybody for what was moved there by hand.
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
    if by.sign is not None and registry.content(version) is None:
        raise PipelineError(
            "a version that was registered before bundles had digests cannot be signed for",
            f"{registry.name} version {version}",
            "Publish its bundles again, as a version of their own",
        )
    with registry.one_at_a_time():
        before, done = registry.champion(), registry.changes()
        logged = bool(done) and done[-1].version == version
        if before == version and not logged:
            # Somebody moved the alias by hand, and vouches for it now.
            before = done[-1].version if done else None
        elif before == version and by.sign is None:
            raise PipelineError("version is live already", f"{registry.name} version {version}", "Name another version")
        return registry.move(_line(registry, "rollback", (before, version), by, ""), by.sign)
