"""Where a study lies: a file that survives what is half written, and databases with their faults in one message."""

import os
import signal
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from tasks.contracts.errors import PipelineError
from tasks.search.storage import JOURNAL, alone, reported
from tasks.search.study import NUMBER
from tasks.tune import tune
from tests.fixtures.study import ended, found, run_whole, search_in, started

pytest_plugins = ["tests.fixtures.study"]
HOLD = """
import sys
from pathlib import Path
from tasks.execution.work_folder import only_one
with only_one(Path(sys.argv[1])):
    pass
"""


def test_journal_that_a_killed_process_had_locked_is_taken_over(tmp_path: Path) -> None:
    # In a relative folder, as the stage is called.
    opened = """
import os
from pathlib import Path
from tests.fixtures.study import search_in
study = search_in(Path(".work")).study
"""
    killed = opened + "study._storage._backend._lock.acquire(); os._exit(9)"
    assert ended(started(killed, folder=tmp_path))[1] == 9
    assert list((tmp_path / ".work").glob("*.lock")) != []
    assert ended(started(opened, folder=tmp_path))[1] == 0


@pytest.mark.parametrize(
    "behind", [b"", b"\0\0\0", b'{"op_code":8,"worker_id":"other","trial_id":2,"user_attr":{"x":1}}\n']
)
def test_a_journal_entry_cut_short_is_left_out_and_what_stands_behind_it_is_kept(behind: bytes, tmp_path: Path) -> None:
    tune(search_in(tmp_path / "a"), run_whole, 3, "map50")
    journal = tmp_path / "a" / JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":5,"worker_id":"a1' + behind)
    study = search_in(tmp_path / "a").study
    assert [trial.user_attrs[NUMBER] for trial in study.trials] == [0, 1, 2]
    assert journal.read_bytes().startswith(whole + behind.replace(b"\0", b""))
    assert found(search_in(tmp_path / "a"))[0].trials == 6


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
    with pytest.raises(PipelineError, match=r"(?s)no such table: trials.*Start it"), reported(storage):
        search.next_attempt(1)


@pytest.mark.slow
def test_a_connection_that_was_dropped_is_made_again(postgresql: str, tmp_path: Path) -> None:
    search = search_in(tmp_path / "a", storage=postgresql)
    before = search.done()
    attempt = search.next_attempt(before + 1)
    assert attempt is not None
    with sa.create_engine(postgresql).connect() as connection:
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        )
    run_whole(attempt)
    assert search.done() == before + 1


# A process with everything imported: for each folder that it reads, a child begins a study there.
BEGINS = """
import os, sys
from pathlib import Path
from tests.fixtures.study import search_in
for line in sys.stdin:
    folder, storage = line.rstrip("\\n").split("\\t")
    child = os.fork()
    if not child:
        search_in(Path(folder), storage=storage or None).next_attempt(1)
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["", "sqlite:///{}/studies.db"], ids=["file", "database"])
def test_a_study_whose_first_process_was_killed_at_any_moment_is_begun_by_the_next(
    storage: str, tmp_path: Path
) -> None:
    maker = started(BEGINS)
    assert maker.stdin is not None
    assert maker.stdout is not None
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        print(folder, storage.format(folder), sep="\t", file=maker.stdin, flush=True)
        child = int(maker.stdout.readline())
        time.sleep(number * (0.04 if storage else 0.004))
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        assert maker.stdout.readline() == "ended\n"
        assert tune(search_in(folder, storage=storage.format(folder) or None), run_whole, 2, "map50").trials == 2
    maker.communicate()
