"""Progress that outlives a killed stage: `.work/<stage>/<key>`, apart from the outputs that DVC removes."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel


def work_folder(work: Path, stage: str, inputs: Iterable[Path], *params: BaseModel | str | int) -> Path:
    """The folder in which `stage` keeps its progress for just these inputs and params; made if need be.

    The key covers the bytes of `inputs` (files, or folders by relative path) and the params: a killed stage finds
    its progress again, a changed one starts afresh.
    """
    digest = hashlib.sha256()
    for path in inputs:
        digest.update(content_sha256(path).encode())
    for value in params:
        digest.update(value.model_dump_json().encode() if isinstance(value, BaseModel) else repr(value).encode())
    folder = work / stage / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
