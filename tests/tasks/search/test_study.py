"""A search's attempts: drawn the same again, taken up after kills and errors, shared by processes and machines."""

import sqlite3
import time
from pathlib import Path

import pandas as pd
import pytest

from tasks.search.study import NUMBER, Attempt, Pruned, TakenUp
from tasks.tune import tune
from tests.fixtures.study import ended, found, run_whole, search_in, started

pytest_plugins = ["tests.fixtures.study"]


class StoppedError(Exception):
    pass


def breaks(_attempt: Attempt) -> None:
    raise StoppedError


def test_the_same_seed_finds_the_same(tmp_path: Path) -> None:
    first, second = (found(search_in(tmp_path / name)) for name in ("a", "b"))
    assert first[0] == second[0]
    pd.testing.assert_frame_equal(first[1], second[1])
    assert list(first[1]["number"]) == list(range(6))
    assert first[1]["lr0"][0] == 0.01
    assert first[0].value == first[1]["value"].max()
    assert first[0].params == first[1].nlargest(1, "value")[["lr0", "scale", "batch"]].to_dict("records")[0]


@pytest.mark.parametrize("storage", [None, "sqlite:///{}/studies.db"], ids=["file", "database"])
@pytest.mark.parametrize("moved", [False, True], ids=["same folder", "moved folder"])
def test_a_search_stopped_within_a_trial_takes_it_up_and_finds_what_it_would_have_found(
    storage: str | None, moved: bool, tmp_path: Path
) -> None:
    whole = found(search_in(tmp_path / "whole"))
    storage = storage and storage.format(tmp_path)

    def stop_in_fourth(attempt: Attempt) -> None:
        if attempt.number == 3:
            attempt.report(0.5, 1)
            (attempt.folder / "state.pt").write_text("progress")
            raise StoppedError
        run_whole(attempt)

    with pytest.raises(StoppedError):
        found(search_in(tmp_path / "stopped", storage=storage), stop_in_fourth)
    states = {"progress": ""}

    def take_up(attempt: Attempt) -> None:
        if attempt.number == 3:
            states["progress"] = (attempt.folder / "state.pt").read_text()
            assert attempt.reported == {1}
        run_whole(attempt)

    folder = tmp_path / ("moved" if moved else "stopped")
    (tmp_path / "stopped").rename(folder)
    best, table = found(search_in(folder, storage=storage), take_up)
    assert states["progress"] == "progress"
    assert best == whole[0]
    pd.testing.assert_frame_equal(table, whole[1])
    assert list(folder.glob("attempt-*")) == []


KILLED_IN_TRIAL = """
import os, socket, sys
from pathlib import Path
from tests.fixtures.study import search_in
socket.gethostname = lambda: "another container"
attempt = search_in(Path(sys.argv[1]), storage=sys.argv[2] or None).next_attempt(6)
attempt.report(0.5, 1)
os._exit(9)
"""


@pytest.mark.parametrize("storage", ["", "sqlite:///{}/studies.db"], ids=["file", "database"])
def test_an_attempt_killed_under_another_hostname_is_taken_up(storage: str, tmp_path: Path) -> None:
    storage = storage.format(tmp_path)
    assert ended(started(KILLED_IN_TRIAL, tmp_path / "a", storage))[1] == 9
    attempt = search_in(tmp_path / "a", storage=storage or None).next_attempt(6)
    assert attempt is not None
    assert [attempt.number, attempt.reported] == [0, {1}]


def test_a_lost_machines_attempt_is_taken_up_once_it_gave_no_sign_of_life_for_long(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/studies.db"
    lost, other = (search_in(tmp_path / name, storage=storage) for name in ("lost", "other"))
    attempt = lost.next_attempt(1)
    assert attempt is not None
    attempt.report(0.5, 1)
    assert other.next_attempt(1) is None
    with sqlite3.connect(tmp_path / "studies.db") as database:
        database.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-6 minutes')")
    taken_up = other.next_attempt(1)
    assert taken_up is not None
    assert [taken_up.number, taken_up.params, taken_up.reported] == [0, attempt.params, {1}]
    # It was not lost, but asleep.
    with pytest.raises(TakenUp):
        attempt.report(0.6, 2)
    with pytest.raises(TakenUp):
        attempt.complete(0.6, 2, 1.0)
    run_whole(taken_up)
    attempt.hold.close()
    assert other.done() == 1


def test_own_values_are_tried_although_the_first_start_met_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(StoppedError):
            found(search_in(tmp_path / "a"), breaks)
    best, table = found(search_in(tmp_path / "a"))
    whole = found(search_in(tmp_path / "whole"))
    assert best == whole[0]
    pd.testing.assert_frame_equal(table, whole[1])


def test_an_attempt_that_gets_no_further_is_given_up_and_its_own_values_are_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        with pytest.raises(StoppedError):
            found(search_in(tmp_path / "a"), breaks)
    _, table = found(search_in(tmp_path / "a"))
    assert "gives up attempt 0" in caplog.text
    assert list(table["number"]) == [1, 2, 3, 4, 5, 6]
    assert table["lr0"][0] == 0.01
    assert list((tmp_path / "a").glob("attempt-*")) == []


def test_an_attempt_that_gets_on_is_never_given_up(tmp_path: Path) -> None:
    for epoch in range(1, 6):

        def gets_on(attempt: Attempt, epoch: int = epoch) -> None:
            attempt.report(0.5, epoch)
            raise StoppedError

        with pytest.raises(StoppedError):
            found(search_in(tmp_path / "a"), gets_on)
    assert list(found(search_in(tmp_path / "a"))[1]["number"]) == list(range(6))


def test_an_attempt_that_died_before_its_params_were_drawn_keeps_those_it_was_queued_with(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/studies.db"
    drawn = []

    def stop(attempt: Attempt) -> None:
        attempt.report(0.5, 1)
        drawn.append(attempt.params)
        raise StoppedError

    search = search_in(tmp_path / "a", storage=storage)
    with pytest.raises(StoppedError):
        found(search, stop)
    search._take_up_abandoned()
    search.study.ask()  # here its process dies
    attempt = search_in(tmp_path / "b", storage=storage).next_attempt(6)
    assert attempt is not None
    assert [attempt.number, attempt.params, attempt.reported] == [0, drawn[0], {1}]


def test_a_trial_that_lags_behind_is_pruned_and_counts(tmp_path: Path) -> None:
    def run(attempt: Attempt) -> None:
        try:
            attempt.report(0.1 if attempt.number == 4 else 0.5, 1)
        except Pruned:
            attempt.prune(epochs=1, seconds=1.0)
        else:
            attempt.complete(0.6, epochs=3, seconds=1.0)

    best, table = found(search_in(tmp_path / "a", pruner="median"), run)
    assert list(table["state"]) == ["complete"] * 4 + ["pruned", "complete"]
    assert [best.trials, best.trial] == [6, 0]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_startup_trials_are_not_pruned(pruner: str, tmp_path: Path) -> None:
    def run(attempt: Attempt) -> None:
        try:
            for epoch in range(1, 10):
                attempt.report(1 - attempt.number / 10, epoch)
        except Pruned:
            attempt.prune(epochs=1, seconds=1.0)
        else:
            attempt.complete(0.6, epochs=9, seconds=1.0)

    search = search_in(tmp_path / "a", pruner, startup_trials=8)
    tune(search, run, 12, "map50")
    states = list(search.table()["state"])
    assert states[:8] == ["complete"] * 8
    assert "pruned" in states[8:]


def test_more_trials_go_on_with_the_same_study(tmp_path: Path) -> None:
    assert tune(search_in(tmp_path / "a"), run_whole, 2, "map50").trials == 2
    assert found(search_in(tmp_path / "a"))[0] == found(search_in(tmp_path / "whole"))[0]


COMPLETES = """
import sys
from pathlib import Path
from tests.fixtures.study import run_whole, search_in
attempt = search_in(Path(sys.argv[1]), storage=sys.argv[2] or None).next_attempt(1)
print("has it", flush=True)
sys.stdin.readline()
run_whole(attempt)
"""


@pytest.mark.parametrize("storage", ["", "sqlite:///{}/studies.db"], ids=["file", "database"])
def test_no_attempt_ends_while_another_process_looks_for_abandoned_ones(storage: str, tmp_path: Path) -> None:
    storage = storage.format(tmp_path)
    other = started(COMPLETES, tmp_path / "a", storage)
    assert other.stdout is not None
    assert other.stdout.readline() == "has it\n"
    search = search_in(tmp_path / "a", storage=storage or None)
    with search.alone():
        assert other.stdin is not None
        print(file=other.stdin, flush=True)
        time.sleep(1)
        assert search.done() == 0
    ended(other)
    assert search.done() == 1


# A process with everything imported: for each folder, a worker at the same study.
WORK = """
import gc, os, sys
from pathlib import Path
import optuna.importance._fanova  # with all that telling importances takes
from tests.fixtures.study import run_whole, search_in
from tasks.tune import tune
def run(attempt):
    for epoch in range(2):
        attempt.report(0.5, epoch)
    run_whole(attempt)
storage, trials, *folders = sys.argv[1:]
gc.freeze()  # or each would collect all this at its end
for folder in folders:
    if not os.fork():
        tune(search_in(Path(folder), storage=storage or None), run, int(trials), "map50")
        sys.exit()
assert [os.wait()[1] for _ in folders] == [0] * len(folders)
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["file", "sqlite", "postgresql"])
def test_workers_that_start_together_share_all_attempts_without_a_clash(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    storage = None if place == "file" else f"sqlite:///{tmp_path}/studies.db"
    if place == "postgresql":
        storage = request.getfixturevalue("postgresql")
    # In a file they share a folder, in a database each has its own, as on machines of their own.
    folders = [tmp_path / ("shared" if storage is None else f"machine-{number}") for number in range(3)]
    assert ended(started(WORK, storage or "", 9, *folders))[1] == 0
    study = search_in(folders[0], storage=storage).study
    numbers = [trial.user_attrs[NUMBER] for trial in study.trials]
    assert sorted(numbers) == list(range(len(numbers)))
    assert {trial.state.name for trial in study.trials} == {"COMPLETE"}
    assert 9 <= len(numbers) <= 11


def test_a_copied_study_is_the_same_bytes_for_the_same_search_however_often_it_was_stopped(tmp_path: Path) -> None:
    whole, stopped = search_in(tmp_path / "a"), search_in(tmp_path / "b")

    def stop(attempt: Attempt) -> None:
        attempt.report(0.5, 1)
        raise StoppedError

    for _ in range(2):
        with pytest.raises(StoppedError):
            found(stopped, stop)

    def run(attempt: Attempt) -> None:
        attempt.report(0.5, 1)
        run_whole(attempt)

    found(whole, run)
    found(stopped, run)
    for search, name in ((whole, "a.journal"), (stopped, "b.journal")):
        search.copy_to(tmp_path / name)
    assert (tmp_path / "a.journal").read_bytes() == (tmp_path / "b.journal").read_bytes()
    assert whole.importances() == stopped.importances()


def test_the_param_that_decides_is_the_most_important(tmp_path: Path) -> None:
    search = search_in(tmp_path / "a")
    best = tune(search, run_whole, 30, "map50")
    assert next(iter(best.importances)) == "scale"
    assert sum(best.importances.values()) == pytest.approx(1, abs=0.001)


def test_too_few_trials_tell_no_importances(tmp_path: Path) -> None:
    assert tune(search_in(tmp_path / "a"), run_whole, 1, "map50").importances == {}
