"""Where a study lies: a file that survives what is half written, and databases with their faults in one message."""

import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from tasks.contracts.errors import PipelineError
from tasks.search.storage import alone, reported
from tasks.search.study import Attempt
from tasks.tune import tune
from tests.fixtures.study import found, run_whole, search_in, started, without_signs_of_life

pytest_plugins = ["tests.fixtures.study"]
HOLD = """
import sys
from pathlib import Path
from tasks.execution.work_folder import only_one
with only_one(Path(sys.argv[1])):
    pass
"""


def test_a_database_holds_the_study_as_well(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/studies.db"
    best, _ = found(search_in(tmp_path / "a", storage=storage))
    assert best == found(search_in(tmp_path / "b"))[0]
    assert search_in(tmp_path / "elsewhere", storage=storage).study.best_value == best.value


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        pytest.param("postgresql://team:secret@localhost:1/none", r"tune\.storage: null for one file", id="no server"),
        pytest.param("nonsense", r"tune\.storage: null for one file", id="no URL"),
        pytest.param("mysql+pymysql://host/studies", r"install its driver, or set tune\.storage: null", id="no driver"),
        pytest.param("sqlite:////proc/studies.db", r"/proc/studies\.db.*Correct its path", id="no file can be there"),
    ],
)
def test_a_database_that_cannot_be_used_says_how_to_mend_it(storage: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=rf"(?s){message}") as caught:
        search_in(tmp_path / "a", storage=storage)
    assert "secret" not in str(caught.value)


def test_a_database_without_a_lock_is_for_one_machine(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(PipelineError):  # for want of a driver
        search_in(tmp_path / "a", storage="mysql+pymysql://host/studies")
    assert "in mysql only processes of one machine can share a study safely" in caplog.text
    with alone(tmp_path / "a", "mysql+pymysql://host/studies"):
        assert "another process is at this very work" in started(HOLD, tmp_path / "a").communicate()[1]


def test_a_database_of_another_optuna_says_how_to_upgrade_it(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/studies.db"
    search_in(tmp_path / "a", storage=storage)
    with sqlite3.connect(tmp_path / "studies.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'v1.3.0.a'")
    with pytest.raises(PipelineError, match="optuna storage upgrade --storage sqlite"):
        search_in(tmp_path / "a", storage=storage)


def test_a_database_that_fails_within_the_search_is_one_message(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/studies.db"
    search = search_in(tmp_path / "a", storage=storage)
    with sqlite3.connect(tmp_path / "studies.db") as database:
        database.execute("DROP TABLE trials")
    with pytest.raises(PipelineError, match=r"(?s)no such table: trials.*move it away"), reported(storage):
        search.run_next(run_whole, 1)


@pytest.mark.slow
def test_a_connection_that_was_dropped_is_made_again(postgresql: str, tmp_path: Path) -> None:
    search = search_in(tmp_path / "a", storage=postgresql)
    before = len(search.done())

    def lose_connections(attempt: Attempt) -> float:
        with sa.create_engine(postgresql).connect() as connection:
            connection.execute(
                sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            )
        return run_whole(attempt)

    assert search.run_next(lose_connections, before + 1)
    assert len(search.done()) == before + 1


# A process with everything imported: for each folder that it reads, a child begins a study there.
BEGINS = """
import os, sys, time
from pathlib import Path
from tests.fixtures.study import search_in
for line in sys.stdin:
    child = os.fork()
    if not child:
        search_in(Path(line.rstrip("\\n"))).run_next(lambda attempt: time.sleep(60), 1)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


@pytest.mark.slow
def test_a_study_whose_first_process_was_killed_at_any_moment_is_begun_by_the_next(tmp_path: Path) -> None:
    maker = started(BEGINS)
    assert maker.stdin is not None
    assert maker.stdout is not None
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        print(folder, file=maker.stdin, flush=True)
        child = int(maker.stdout.readline())
        time.sleep(number * 0.06)
        os.kill(child, signal.SIGKILL)
        assert maker.stdout.readline() == "ended\n"
        search = search_in(folder)
        without_signs_of_life(folder / "study.db")
        assert tune(search, run_whole, 2, "map50").trials == 2
    maker.communicate()
