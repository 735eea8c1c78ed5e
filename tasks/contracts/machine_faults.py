"""What the machine refuses, in one message: no room on the disk, no right to write there, too little memory."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.contracts.errors import PipelineError

_WRITING = "writing "  # begins the note of an error that says what was not written
_PARTIAL = re.compile(r"(?<![^/])\.([^/]+)\.partial-[0-9a-f]{8}")  # see stage.whole_output
_ROOM = "Make room there, or set the project up on a larger disk, and run again: what is finished is not done again"
_RIGHTS = "Give this user the right to it (`ls -ld` shows whose it is), or take another path, and run again"
_MEMORY = "End other programs or take a machine with more memory, and run again; smaller images and batches need less"
_FULL = {
    errno.ENOSPC: ("the disk is full", _ROOM),
    errno.EDQUOT: ("the disk quota is used up", _ROOM),
    errno.EFBIG: ("a file grows larger than may be", f"`ulimit -f` shows a limit, if it is one. {_ROOM}"),
    errno.EROFS: ("the disk can only be read", "Mount it for writing, or take a path on another disk, and run again"),
}
_REFUSED = {
    **_FULL,
    errno.EACCES: ("no permission", _RIGHTS),
    errno.EPERM: ("no permission", _RIGHTS),
    errno.EIO: (
        "the disk takes no more, or fails",
        "Look whether it is full (`df`), whether `ulimit -f` sets a limit, or the system's log (`dmesg`)",
    ),
    errno.EMFILE: ("too many open files", "Raise the limit, e.g. `ulimit -n 65536`, and run again"),
    errno.ENFILE: ("too many open files", "End other programs, and run again"),
    errno.ENOTDIR: ("a file is where a folder should be", "Move it away, and run again"),
    errno.EISDIR: ("a folder is where a file should be", "Move it away, and run again"),
    errno.ENAMETOOLONG: ("a name is too long for this disk", "Shorten it, and run again"),
    errno.ESTALE: ("a network disk lost a file", "Mount it again, and run again"),
    errno.ENOMEM: ("memory ran out", _MEMORY),
    errno.ENOLCK: (
        "the disk cannot lock files",
        "Mount it with locks, or set the project up on another, and run again",
    ),
}
# Libraries that give no number say it in words: the system's own, or these.
_IN_WORDS = {
    "database or disk is full": errno.ENOSPC,
    "attempt to write a readonly database": errno.EACCES,
    "unable to open database file": errno.EACCES,
    "disk I/O error": errno.EIO,
    "iostream error": errno.EIO,
    "PytorchStreamWriter failed writing file": errno.ENOSPC,
    "file write failed": errno.ENOSPC,
    "bad_alloc": errno.ENOMEM,
    "can't allocate memory": errno.ENOMEM,
    "Failed to allocate": errno.ENOMEM,
    "can't start new thread": errno.ENOMEM,
    **{os.strerror(code): code for code in _REFUSED if code not in {errno.EPERM, errno.EIO}},
}


def machine_fault(error: BaseException) -> PipelineError | None:
    """The message for an error that goes back to the machine, however many libraries have wrapped it; else None."""
    chain = list(_chain(error))
    found = [(cause, code) for cause in chain if (code := _code(cause)) in _REFUSED]
    if not found:
        return None
    # The innermost one has not been put in other words yet.
    cause, code = found[-1]
    what, hint = _REFUSED[code]
    told_as = f" ({error.what})" if isinstance(error, PipelineError) else ""
    return PipelineError(what, f"{_where(cause, code, _written(chain))}{told_as}", hint)


@contextmanager
def writing(place: Path | str) -> Iterator[None]:
    """Note on what the block raises where it was writing to: what a full disk raises does not say which file."""
    try:
        yield
    except Exception as error:
        error.add_note(f"{_WRITING}{place}")
        raise


def is_full(error: BaseException) -> bool:
    """Whether nothing more can be written, to any file of that disk."""
    return any(_code(cause) in _FULL for cause in _chain(error))


def is_below(error: OSError, folder: Path) -> bool:
    """Whether the machine refused something in this folder, or the folder itself."""
    names = (os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes))
    return any(Path(name).resolve().is_relative_to(folder.resolve()) for name in names)


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _code(error: BaseException) -> int:
    """As in `errno`; 0 for an error that is not the machine's."""
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if isinstance(error, PipelineError | ValueError | KeyError):
        # Their words are about data, which may quote anything.
        return 0
    return next((code for words, code in _IN_WORDS.items() if words in str(error)), 0)


def _written(chain: list[BaseException]) -> str | None:
    """The output that was being written, the innermost of several."""
    notes = [note for cause in reversed(chain) for note in getattr(cause, "__notes__", ()) if note.startswith(_WRITING)]
    return notes[0].removeprefix(_WRITING) if notes else None


def _where(error: BaseException, code: int, written: str | None) -> str:
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    place = os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else written
    if place is not None:
        # The output is what a person knows, not the name that it has until it is whole.
        place = _PARTIAL.sub(r"\1", place)
    where = place or " ".join(str(error).split())[:500] or "this machine"
    if code in _FULL and code != errno.EROFS:
        where += f", {_free(Path(place or '.'))} free"
    return where


def _free(path: Path) -> str:
    there = next((folder for folder in (path, *path.absolute().parents) if folder.is_dir()), Path())
    return f"{shutil.disk_usage(there).free / 1e6:,.1f} MB"
