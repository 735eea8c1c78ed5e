"""A search's attempts: drawn the same again, taken up after kills and errors, shared by processes and machines."""

import signal
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage

from tasks.contracts.tuned import Tuned
from tasks.search.storage import JOURNAL
from tasks.search.study import NUMBER, Attempt, Pruned, Search
from tasks.tune import tune
from tests.fixtures.study import ended, found, run_whole, search_in, started, without_signs_of_life

pytest_plugins = ["tests.fixtures.study"]


class StoppedError(Exception):
    pass


def breaks(_attempt: Attempt) -> float:
    raise StoppedError


def reported(attempt: Attempt) -> dict[int, float]:
    """The epochs that the study knows of an attempt."""
    return attempt.trial.study.trials[attempt.trial.number].intermediate_values


def next_of(search: Search) -> Attempt:
    """The attempt that a search begins now; it is left again."""
    begun = []

    def look(attempt: Attempt) -> float:
        begun.append(attempt)
        raise StoppedError

    with pytest.raises(StoppedError):
        search.run_next(look, 1)
    return begun[0]


def test_the_same_seed_finds_the_same(tmp_path: Path, whole: tuple[Tuned, pd.DataFrame]) -> None:
    first, second = whole, found(search_in(tmp_path / "a"))
    assert first[0] == second[0]
    pd.testing.assert_frame_equal(first[1], second[1])
    assert list(first[1]["number"]) == list(range(6))
    assert first[1]["lr0"][0] == 0.01
    assert len(first[1].drop_duplicates(["lr0", "scale"])) == 6
    assert first[0].value == first[1]["value"].max()
    assert first[0].params == first[1].nlargest(1, "value")[["lr0", "scale", "batch"]].to_dict("records")[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tuned, pd.DataFrame]:
    """What a search finds that nothing stops."""
    return found(search_in(tmp_path_factory.mktemp("whole")))


@pytest.mark.parametrize("stop", [MemoryError, SystemExit, KeyboardInterrupt], ids=["memory", "SIGTERM", "Ctrl+C"])
def test_a_search_stopped_within_a_trial_takes_it_up_at_once_and_finds_what_it_would_have_found(
    stop: type[BaseException], tmp_path: Path, whole: tuple[Tuned, pd.DataFrame]
) -> None:
    def stop_in_fourth(attempt: Attempt) -> float:
        if attempt.number == 3:
            attempt.report(0.5, 0)
            (attempt.folder / "state.pt").write_text("progress")
            raise stop
        return run_whole(attempt)

    with pytest.raises(stop):
        found(search_in(tmp_path / "stopped"), stop_in_fourth)
    run: list[int] = []

    def take_up(attempt: Attempt) -> float:
        if not run:
            assert (attempt.folder / "state.pt").read_text() == "progress"
            assert reported(attempt) == {0: 0.5}
        run.append(attempt.number)
        return run_whole(attempt)

    folder = (tmp_path / "stopped").rename(tmp_path / "moved")
    best, table = found(search_in(folder), take_up)
    assert run == [3, 4, 5]
    assert best == whole[0]
    pd.testing.assert_frame_equal(table, whole[1])
    assert list(folder.glob("attempt-*")) == []


KILLED_IN_TRIAL = """
import os, signal, sys
from pathlib import Path
from tests.fixtures.study import search_in
def run(attempt):
    attempt.report(0.5, 1)
    (attempt.folder / "state.pt").write_text("progress")
    os.kill(os.getpid(), signal.SIGKILL)
search_in(Path(sys.argv[1])).run_next(run, 6)
"""


def test_a_killed_trial_is_taken_up_with_its_progress_once_it_gave_no_sign_of_life_for_long(tmp_path: Path) -> None:
    assert ended(started(KILLED_IN_TRIAL, tmp_path / "a"))[1] == -signal.SIGKILL
    search = search_in(tmp_path / "a")
    assert not search.run_next(run_whole, 1)
    # Until then others are run.
    assert search.run_next(run_whole, 2)
    assert [trial.user_attrs[NUMBER] for trial in search.done()] == [1]
    without_signs_of_life(tmp_path / "a" / "study.db")
    seen = []

    def take_up(attempt: Attempt) -> float:
        seen.append([attempt.number, reported(attempt), (attempt.folder / "state.pt").read_text()])
        return run_whole(attempt)

    assert search.run_next(take_up, 2)
    assert seen == [[0, {1: 0.5}, "progress"]]


KILLED_BEFORE_ITS_HEARTBEAT = """
import os, signal, sys
from pathlib import Path
import optuna
from tests.fixtures.study import search_in
class Kills(optuna.samplers.RandomSampler):
    def before_trial(self, study, trial):
        os.kill(os.getpid(), signal.SIGKILL)
search = search_in(Path(sys.argv[1]))
search.study.sampler = Kills()
search.run_next(print, 1)
"""


def test_an_attempt_killed_before_its_first_heartbeat_keeps_its_params_and_epochs(tmp_path: Path) -> None:
    drawn = []

    def stop(attempt: Attempt) -> float:
        attempt.report(0.5, 1)
        drawn.append(attempt.params)
        raise StoppedError

    search = search_in(tmp_path / "a")
    with pytest.raises(StoppedError):
        search.run_next(stop, 1)
    assert ended(started(KILLED_BEFORE_ITS_HEARTBEAT, tmp_path / "a"))[1] == -signal.SIGKILL
    without_signs_of_life(tmp_path / "a" / "study.db")
    attempt = next_of(search)
    assert [attempt.number, attempt.params, reported(attempt)] == [0, drawn[0], {1: 0.5}]


@pytest.mark.parametrize("reports", [True, False], ids=["it reports", "it is at its end"])
def test_a_machine_that_was_asleep_leaves_its_trial_to_the_one_that_took_it_up(
    reports: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = f"sqlite:///{tmp_path}/studies.db"
    asleep, other = (search_in(tmp_path / name, storage=storage) for name in ("asleep", "other"))

    def sleep(attempt: Attempt) -> float:
        assert not other.run_next(run_whole, 1)
        without_signs_of_life(tmp_path / "studies.db")
        assert other.run_next(run_whole, 1)
        if reports:
            attempt.report(0.9, 2)
            pytest.fail("it goes on")
        return 0.9

    assert asleep.run_next(sleep, 1)
    assert "another process has taken it up" in caplog.text
    assert [trial.value == 0.9 for trial in other.done()] == [False]
    assert not (tmp_path / "other" / "attempt-0").exists()


def test_a_trial_that_ended_twice_counts_once(tmp_path: Path) -> None:
    search = search_in(tmp_path / "a")
    search.run_next(run_whole, 1)
    search.study.add_trial(search.study.trials[0])
    assert [len(search.done()), len(search.table())] == [1, 1]


def test_own_values_are_tried_although_the_first_start_met_an_error(
    tmp_path: Path, whole: tuple[Tuned, pd.DataFrame]
) -> None:
    for _ in range(2):
        with pytest.raises(StoppedError):
            found(search_in(tmp_path / "a"), breaks)
    best, table = found(search_in(tmp_path / "a"))
    assert best == whole[0]
    pd.testing.assert_frame_equal(table, whole[1])


def test_an_attempt_that_gets_no_further_is_given_up_and_its_own_values_are_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        with pytest.raises(StoppedError):
            found(search_in(tmp_path / "a"), breaks)
    _, table = found(search_in(tmp_path / "a"))
    assert caplog.text.count("gives up attempt 0") == 1
    assert list(table["number"]) == [1, 2, 3, 4, 5, 6]
    assert table["lr0"][0] == 0.01
    assert list((tmp_path / "a").glob("attempt-*")) == []


def test_an_attempt_that_gets_on_is_never_given_up(tmp_path: Path) -> None:
    for epoch in range(1, 6):

        def gets_on(attempt: Attempt, epoch: int = epoch) -> float:
            attempt.report(0.5, epoch)
            raise StoppedError

        with pytest.raises(StoppedError):
            found(search_in(tmp_path / "a"), gets_on)
    assert list(found(search_in(tmp_path / "a"))[1]["number"]) == list(range(6))


def test_a_trial_that_lags_behind_is_pruned_and_counts(tmp_path: Path) -> None:
    def run(attempt: Attempt) -> float | None:
        try:
            attempt.report(0.1 if attempt.number == 4 else 0.5, 1)
        except Pruned:
            return None
        attempt.report(0.6, 3)
        return 0.6

    best, table = found(search_in(tmp_path / "a", pruner="median"), run)
    assert list(table["state"]) == ["complete"] * 4 + ["pruned", "complete"]
    assert list(table["epochs"]) == [3] * 4 + [1, 3]
    assert [best.trials, best.trial] == [6, 0]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_startup_trials_are_not_pruned(pruner: str, tmp_path: Path) -> None:
    def run(attempt: Attempt) -> float | None:
        try:
            for epoch in range(1, 10):
                attempt.report(1 - attempt.number / 10, epoch)
        except Pruned:
            return None
        return 0.6

    search = search_in(tmp_path / "a", pruner, startup_trials=8)
    tune(search, run, 12, "map50")
    states = list(search.table()["state"])
    assert states[:8] == ["complete"] * 8
    assert "pruned" in states[8:]


def test_more_trials_go_on_with_the_same_study(tmp_path: Path, whole: tuple[Tuned, pd.DataFrame]) -> None:
    assert tune(search_in(tmp_path / "a"), run_whole, 2, "map50").trials == 2
    assert found(search_in(tmp_path / "a"))[0] == whole[0]


def test_a_search_that_an_earlier_version_kept_in_a_journal_goes_on(
    tmp_path: Path, whole: tuple[Tuned, pd.DataFrame]
) -> None:
    tune(search_in(tmp_path / "old"), run_whole, 4, "map50")
    (tmp_path / "a" / "attempt-4").mkdir(parents=True)
    journal = JournalStorage(JournalFileBackend(str(tmp_path / "a" / JOURNAL)))
    optuna.copy_study(from_study_name="study", from_storage=f"sqlite:///{tmp_path}/old/study.db", to_storage=journal)
    assert len(search_in(tmp_path / "a").done()) == 4
    assert found(search_in(tmp_path / "a"))[0] == whole[0]
    assert not list((tmp_path / "a").glob("*journal"))


# A process with everything imported: for each folder, a worker at the same study. The first is killed in a trial.
WORK = """
import gc, os, signal, sys
from pathlib import Path
import optuna.importance._fanova  # with all that telling importances takes
from tests.fixtures.study import run_whole, search_in
from tasks.tune import tune
def run(attempt):
    attempt.report(0.5, 0)
    if killed and attempt.number > 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return run_whole(attempt)
storage, trials, *folders = sys.argv[1:]
gc.freeze()  # or each would collect all this at its end
for place, folder in enumerate(folders):
    killed = not place
    if not os.fork():
        tune(search_in(Path(folder), storage=storage or None, grace_seconds=4), run, int(trials), "map50")
        sys.exit()
assert sorted(os.wait()[1] for _ in folders) == [0] * (len(folders) - 1) + [signal.SIGKILL]
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["file", "postgresql"])
def test_workers_of_whom_one_is_killed_run_just_as_many_trials_as_are_wanted(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    storage = None if place == "file" else request.getfixturevalue("postgresql")
    # In a file they share a folder, in a database each has its own, as on machines of their own.
    folders = [tmp_path / ("shared" if storage is None else f"machine-{number}") for number in range(3)]
    assert ended(started(WORK, storage or "", 9, *folders))[1] == 0
    search = search_in(folders[0], storage=storage)
    assert [trial.user_attrs[NUMBER] for trial in search.done()] == list(range(9))
    assert sorted(trial.state.name for trial in search.study.trials) == ["COMPLETE"] * 9 + ["FAIL"]
    lost = next(trial for trial in search.study.trials if trial.state.name == "FAIL")
    assert search.done()[lost.user_attrs[NUMBER]].params == lost.params


def test_a_copied_study_is_the_same_bytes_for_the_same_search_however_often_it_was_stopped(tmp_path: Path) -> None:
    whole, stopped = search_in(tmp_path / "a"), search_in(tmp_path / "b")

    def stop(attempt: Attempt) -> float:
        attempt.report(0.5, 0)
        raise StoppedError

    for _ in range(2):
        with pytest.raises(StoppedError):
            found(stopped, stop)

    def run(attempt: Attempt) -> float:
        attempt.report(0.5, 0)
        return run_whole(attempt)

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
