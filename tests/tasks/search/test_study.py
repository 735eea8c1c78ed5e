"""A search's attempts: drawn the same again, taken up after kills and errors, shared by processes and machines."""

from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage

from tasks.contracts.tuned import Tuned
from tasks.search.storage import JOURNAL
from tasks.search.study import Attempt, Pruned
from tasks.tune import tune
from tests.fixtures.study import (
    StoppedError,
    breaks,
    found,
    reported,
    run_whole,
    search_in,
    without_signs_of_life,
)

pytest_plugins = ["tests.fixtures.study"]
pytestmark = pytest.mark.slow


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
