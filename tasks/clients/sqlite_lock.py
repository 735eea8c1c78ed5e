"""SQLite databases: one process of this machine at a time where they allow no more, and no half-made one."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.contracts.errors import PipelineError
from tasks.contracts.whole_output import whole_output

# What SQLite keeps beside a database while it is written to.
BESIDE = ("-journal", "-wal", "-shm")


def database_path(url: str) -> Path | None:
    """The file of an SQLite database, without links; None of a server's, or of one in memory."""
    name = url.removeprefix("sqlite:///").partition("?")[0]
    if not url.startswith("sqlite:///") or name in {"", ":memory:"}:
        return None
    # A database that is linked into several workspaces is one.
    return Path(name).resolve()


@contextmanager
def one_at_a_time(url: str, work: str = "") -> Iterator[None]:
    """Hold the lock file beside an SQLite database; a server needs none.

    work: has a lock of its own, for what takes long and itself needs the database's. The lock is one that `flock` of
    the shell respects, as `make tracking` takes it, too.

    Raises PipelineError if there can be no file.
    """
    database = database_path(url)
    if database is None:
        yield
        return
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        lock = database.with_name(f"{database.name}{work and f'.{work}'}.lock").open("w")
    except OSError as error:
        raise PipelineError(
            "no database can be there",
            f"{url}: {error}",
            "Correct its path in params.yaml, or make its folder writable",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_whole(url: str, make: Callable[[str], None]) -> None:
    """Make an SQLite database where there is none: whole or not at all, whenever the process is killed.

    make: gets the URL of a file beside it, and leaves no connection open. Call it while the lock is held. Nothing is
    done for servers, nor where there is a database; an empty file is none.
    """
    database = database_path(url)
    if database is None or (database.is_file() and database.stat().st_size):
        return
    # What a killed process left beside the database that it made would be taken for a part of ours.
    set_aside(database, BESIDE)
    with whole_output(database) as partial:
        make(f"sqlite:///{partial}")


def set_aside(database: Path, parts: tuple[str, ...] = (*BESIDE, "")) -> Path:
    """Give a database, and what lies beside it, the name `<database>.half-made`; that of an earlier one goes."""
    aside = database.with_name(f"{database.name}.half-made")
    for part in parts:
        path = database.with_name(database.name + part)
        if path.exists():
            path.replace(aside.with_name(aside.name + part))
    return aside
