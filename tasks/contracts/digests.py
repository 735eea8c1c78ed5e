"""Digests that bind what one stage made to what the next ones measured, judged and released."""

import hashlib
import json
from collections.abc import Set as AbstractSet
from pathlib import Path

from tasks.contracts.record import Record


def canonical_json(value: object) -> bytes:
    """A JSON value in the one form that digests and signatures are taken of: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def canonical_sha256(value: object) -> str:
    """sha256 of a JSON value in canonical form."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def record_sha256(record: Record, leave_out: AbstractSet[str] = frozenset()) -> str:
    """sha256 of a record as it was read, whatever the layout of its file.

    Fields that its file lacks do not count: a later version that adds one gives an older file the same digest.
    """
    return canonical_sha256(record.model_dump(mode="json", exclude_unset=True, exclude=set(leave_out)))


def content_sha256(path: Path) -> str:
    """sha256 of a file's bytes; of a folder, over its files' relative paths and bytes, in sorted order."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file_path in sorted(inner for inner in path.rglob("*") if inner.is_file()):
        digest.update(file_path.relative_to(path).as_posix().encode() + b"\0")
        digest.update(content_sha256(file_path).encode())
    return digest.hexdigest()
