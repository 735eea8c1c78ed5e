"""A search without trainings: what an attempt is worth is computed from its params."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from tasks.clients.study import Attempt, Search
from tasks.clients.study_storage import alone, open_study, worker_id
from tasks.contracts.tuned import Tuned
from tasks.detectors.search_space import Range, Space, suggest
from tasks.tune import tune
from tests.needs import lacking

REPOSITORY = Path(__file__).resolve().parents[1]
SPACE: Space = {"lr0": Range(low=0.001, high=0.1, log=True), "scale": Range(low=0.1, high=0.9), "batch": [2, 4]}


def search_in(folder: Path, pruner: str = "none", storage: str | None = None, startup_trials: int = 2) -> Search:
    """A search of the study in `folder`, or in a database that this machine shares with others."""
    folder.mkdir(exist_ok=True)
    return Search(
        study=open_study(folder, storage, "study", pruner, startup_trials),
        folder=folder,
        worker=worker_id(folder),
        alone=functools.partial(alone, folder, storage),
        suggest=lambda trial: suggest(SPACE, trial),
        first={"lr0": 0.01},
        seed=7,
        startup_trials=3,
    )


def run_whole(attempt: Attempt) -> None:
    worth = 1 - abs(float(attempt.params["scale"]) - 0.4) - abs(float(attempt.params["lr0"]) - 0.02)
    attempt.complete(worth, epochs=1, seconds=1.0)


def found(search: Search, run: Callable[[Attempt], None] = run_whole) -> tuple[Tuned, pd.DataFrame]:
    return tune(search, run, 6, "map50"), search.table()


def started(code: str, *words: object, folder: Path | None = None) -> "subprocess.Popen[str]":
    """A process that runs `code`, with `words` as its sys.argv[1:]."""
    command = [sys.executable, "-c", code, *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def ended(process: "subprocess.Popen[str]") -> tuple[str, int]:
    """What it wrote, for it must end well or be killed by itself, and its exit code."""
    output, messages = process.communicate(timeout=120)
    assert process.returncode in {0, 9}, messages
    return output, process.returncode


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty PostgreSQL, which listens at a socket alone."""
    # Debian has a server's programs off the path.
    places = os.pathsep.join([os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
    initdb, postgres = (shutil.which(program, path=places) for program in ("initdb", "postgres"))
    if initdb is None or postgres is None or os.getuid() != 0:
        lacking("no PostgreSQL here, or no right to run it as its own user")
    folder = Path(f"/tmp/sightline-postgresql-{os.getpid()}")
    folder.mkdir()
    shutil.chown(folder, "postgres")
    data = str(folder / "data")
    subprocess.run(
        [initdb, "--no-sync", "--auth=trust", data], user="postgres", cwd="/", check=True, capture_output=True
    )
    server = subprocess.Popen(
        [postgres, "-D", data, "-h", "", "-k", str(folder), "-F"], user="postgres", cwd="/", stderr=subprocess.DEVNULL
    )
    try:
        while not list(folder.glob(".s.PGSQL.*")):
            assert server.poll() is None
            time.sleep(0.05)
        yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)  # does not wait for its clients
        server.wait()
        shutil.rmtree(folder)
