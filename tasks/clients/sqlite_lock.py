"""One process of this machine at a time where an SQLite database allows no more."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.contracts.errors import PipelineError


@contextmanager
def one_at_a_time(url: str) -> Iterator[None]:
    """Hold the lock file beside an SQLite database; a server needs none.

    Raises PipelineError if there can be no file.
    """
    if not url.startswith("sqlite:///"):
        yield
        return
    # A database that is linked into several workspaces has one lock.
    database = Path(url.removeprefix("sqlite:///")).resolve()
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        lock = database.with_name(f"{database.name}.lock").open("w")
    except OSError as error:
        raise PipelineError(
            "no database can be there", f"{url}: {error}", "Mend its path in params.yaml, or make its folder writable"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
