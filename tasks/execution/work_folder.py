"""Progress that outlives a killed stage: `.work/<stage>/<key>`, apart from the outputs that DVC removes."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel

from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.machine_faults import writing
from tasks.contracts.whole_output import remove

LOCK = "lock"


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


def finished_in(folder: Path) -> Path:
    """Where a work folder keeps what the finished work gave; it is there whole or not at all."""
    return folder / "finished"


def keep_finished(folder: Path, write: Callable[[Path], None]) -> None:
    """Keep what the work gave in place of its progress, for the same work to find; of a stage the last one is kept.

    write: puts it into a new folder. Call it while the work folder is held. Progress of other work stays.
    """
    finished = finished_in(folder)
    write(finished)
    for path in folder.iterdir():
        if path not in {finished, folder / LOCK}:
            remove(path)
    for other in folder.parent.iterdir():
        if other != folder and finished_in(other).is_dir():
            # Held by a process that finds it again right now, it is left to the next one.
            with suppress(PipelineError), only_one(other):
                remove(finished_in(other))


@contextmanager
def only_one(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold a work folder for this process; the lock ends with the process, however that ends.

    Raises PipelineError, which names the process that holds it, or waits for its turn.

    By hand: filelock (4.2) knows no holder either, and its import takes half a second. A POSIX lock, as flock's would
    live on in worker processes whose parent was killed. It does not keep threads of one process from each other.
    """
    with (folder / LOCK).open("a+") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except (BlockingIOError, PermissionError) as error:
            lock.seek(0)
            raise PipelineError(
                "another process is at this very work",
                f"{folder}, process {lock.read().strip() or 'unknown'}",
                "Wait for it or stop it, then run again",
            ) from error
        with writing(folder):
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        yield
