"""The release log: lines that say what went live, beside the registry as a file in Git, and signed where a site asks.

A line binds a version's number to the digest of all that it ships. The file in Git outlives the registry: a registry
that does not know the file's lines is not the one that they are about.
"""

import base64
import binascii
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tasks.contracts.digests import canonical_json
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Releases
from tasks.contracts.release import Change

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_PURPOSE = b"sightline release log\n"  # no signature made for anything else counts here
_MAKE_KEY = "openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout -out public.pem"


def read_log(path: Path) -> list[Change]:
    """Lines of the file, the oldest first; none where there is no file yet.

    Raises PipelineError naming the line that is none, or what stands in the file's place.
    """
    if not path.exists():
        return []
    if not path.is_file():
        raise PipelineError("release log is no file", str(path), "Move away what is there, and restore it from Git")
    changes = []
    for number, line in enumerate(path.read_bytes().decode(errors="backslashreplace").split("\n"), 1):
        if not line.strip():
            continue
        try:
            changes.append(Change.model_validate_json(line))
        except ValidationError as error:
            raise PipelineError(
                "release log cannot be read", f"{path}, line {number}: {line[:80]!r}", "Restore it from Git"
            ) from error
    return changes


def write_log(path: Path, changes: Sequence[Change]) -> None:
    """Append the lines of the registry's log that the file does not have yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    read_log(path)  # opening what is no file would say less
    with path.open("a+", encoding="utf-8") as file:
        # Of the log itself, as `>>` would write to it: a lock file beside it would be one more file of Git's to ignore.
        fcntl.flock(file, fcntl.LOCK_EX)
        lines = read_log(path)
        # An editor may have taken the last line's end.
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            file.write("\n")
        file.writelines(f"{change.model_dump_json()}\n" for change in changes if change not in lines)


def hold_log(path: Path, registry: str, changes: Sequence[Change]) -> None:
    """Look before anything moves: the file can be written, and tells of no release otherwise than the registry.

    registry: its name and place, for people. Raises PipelineError if not, or OSError.
    """
    write_log(path, [])
    _refuse_altered(path, registry, changes)


def check_log(releases: Releases, registry: str, champion: str | None, changes: Sequence[Change]) -> None:
    """Hold the registry's log and champion to the log's file.

    registry: its name and place, for people. Raises PipelineError if the file tells of a release that the registry does
    not know, or knows otherwise: it is lost, another one, put back to an older state, or was changed.
    """
    lines = read_log(releases.log)
    _refuse_altered(releases.log, registry, changes)
    if not lines or releases.new_registry or (champion is not None and lines[-1] in changes):
        return
    lacks = "has no champion" if champion is None else "does not know that release"
    raise PipelineError(
        "the release log names a champion that the registry does not have",
        f"{releases.log}: version {lines[-1].version} by {lines[-1].who} at {lines[-1].time}; {registry} {lacks}",
        "Restore the registry's store, point tracking.uri and tracking.experiment back to it, or make a version "
        "that it has live again: python -m tasks.publish --rollback VERSION --why REASON. If this registry begins "
        "afresh on purpose, set publish.new_registry: true until its first release",
    )


def _refuse_altered(path: Path, registry: str, changes: Sequence[Change]) -> None:
    known = {(change.time, change.version): change for change in changes}
    altered = [change for change in read_log(path) if known.get((change.time, change.version), change) != change]
    if altered:
        raise PipelineError(
            "the registry tells of a release otherwise than the release log",
            f"{path}: version {altered[0].version} at {altered[0].time}; {registry}",
            "One of them was changed by hand: compare the file with its history in Git, and restore what is wrong",
        )


class Signer:
    """Signs lines of the log with the site's private key, Ed25519 in PEM."""

    def __init__(self, sign_with: str) -> None:
        """sign_with: a file, or env:NAME for an environment variable that holds the PEM.

        Raises PipelineError if there is no such key.
        """
        self._key = _private_key(sign_with)

    def __call__(self, change: Change) -> Change:
        """The line with its signature."""
        return change.model_copy(update={"signature": base64.b64encode(self._key.sign(_signed(change))).decode()})


def open_signer(sign_with: str | None, verify_with: Sequence[Path]) -> Signer | None:
    """The site's signer; None where nothing is signed.

    Raises PipelineError if there is no such key, or if what it signs would be refused at its own site.
    """
    sign = None if sign_with is None else Signer(sign_with)
    if verify_with:
        line = Change(time="", who="", action="release", version="", before=None, why="")
        if sign is None or not any(_has_signed(_public_key(path), sign(line)) for path in verify_with):
            raise PipelineError(
                "what is released here would be refused here",
                f"publish.sign_with: {sign_with}; publish.verify_with: {', '.join(map(str, verify_with))}",
                "Set publish.sign_with to the private key of one of these public keys",
            )
    return sign


def check_signature(change: Change, verify_with: Sequence[Path], where: str) -> None:
    """Raises PipelineError unless one of the public keys (PEM files) has signed the line; no keys ask for nothing."""
    if verify_with and not any(_has_signed(_public_key(path), change) for path in verify_with):
        raise PipelineError(
            f"release is {'signed by a foreign key' if change.signature else 'not signed'}",
            f"{where}, line of {change.time} by {change.who}; publish.verify_with: {', '.join(map(str, verify_with))}",
            "Find out who released it. To vouch for it, with the site's key as publish.sign_with: "
            f"python -m tasks.publish --rollback {change.version} --why REASON",
        )


def _signed(change: Change) -> bytes:
    return _PURPOSE + canonical_json(change.model_dump(mode="json", exclude={"signature"}))


def _has_signed(key: "Ed25519PublicKey", change: Change) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

    try:
        key.verify(base64.b64decode(change.signature or "", validate=True), _signed(change))
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _private_key(sign_with: str) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    variable = sign_with.removeprefix("env:") if sign_with.startswith("env:") else None
    try:
        pem = Path(sign_with).read_bytes() if variable is None else os.environ[variable].encode()
        key = load_pem_private_key(pem, password=None)
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise _no_key("publish.sign_with", sign_with, type(error).__name__) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key("publish.sign_with", sign_with, "of another kind")
    return key


def _public_key(path: Path) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _no_key("publish.verify_with", str(path), type(error).__name__) from error
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key("publish.verify_with", str(path), "of another kind")
    return key


def _no_key(param: str, named: str, fault: str) -> PipelineError:
    # Not the error's own text: it might quote the key.
    return PipelineError("no Ed25519 key is there", f"{param}: {named} ({fault})", f"Make one: {_MAKE_KEY}")
