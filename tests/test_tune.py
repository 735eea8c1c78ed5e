"""The stage tune: a seeded search that outlives kills and that several processes share."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import optuna
import pandas as pd
import pytest

from tasks.clients.study import Attempt, Pruned, Search, open_study
from tasks.contracts.errors import PipelineError
from tasks.contracts.record import read_record
from tasks.contracts.tuned import Tuned
from tasks.detectors.search_space import Range, Space, suggest
from tasks.tune import main, shortened, tune
from tests.training_fixture import command, prepare, tiny_recipe, write_params

REPOSITORY = Path(__file__).resolve().parents[1]
SPACE: Space = {"lr0": Range(low=0.001, high=0.1, log=True), "scale": Range(low=0.1, high=0.9), "batch": [2, 4]}
COMMAND_SPACE = {"lr0": {"low": 0.001, "high": 0.01, "log": True}, "close_mosaic": {"low": 0, "high": 2}}


def search_in(folder: Path, trials: int = 6, pruner: str = "none", storage: str | None = None) -> Search:
    """A search without trainings: what an attempt is worth is computed from its params."""
    folder.mkdir(exist_ok=True)
    study = open_study(folder, storage, "study", pruner, startup_trials=2)
    return Search(study, folder, lambda trial: suggest(SPACE, trial), {"lr0": 0.01}, seed=7, startup_trials=3)


def worth(attempt: Attempt) -> float:
    return 1 - abs(float(attempt.params["scale"]) - 0.4) - abs(float(attempt.params["lr0"]) - 0.02)


def run_whole(attempt: Attempt) -> None:
    attempt.complete(worth(attempt), epochs=1, seconds=1.0)


def found(search: Search) -> tuple[Tuned, pd.DataFrame]:
    return tune(search, run_whole, 6, "map50"), search.table()


def test_journal_that_a_killed_process_had_locked_is_taken_over(tmp_path: Path) -> None:
    # In a relative folder, as the stage is called.
    (tmp_path / ".work").mkdir()
    opened = """
import os
from pathlib import Path
from tasks.clients.study import open_study
study = open_study(Path(".work"), None, "study", "none", startup_trials=2)
"""
    killed = opened + "study._storage._backend._lock.acquire(); os._exit(9)"
    assert ended_in(tmp_path, killed) == 9
    assert list((tmp_path / ".work").glob("*.lock")) != []
    assert ended_in(tmp_path, opened) == 0


def ended_in(folder: Path, code: str) -> int:
    """The exit code of a process that runs `code` in a folder."""
    where = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=where, timeout=60, check=False).returncode


def test_the_same_seed_finds_the_same(tmp_path: Path) -> None:
    first, second = (found(search_in(tmp_path / name)) for name in ("a", "b"))
    assert first[0] == second[0]
    pd.testing.assert_frame_equal(first[1], second[1])
    assert list(first[1]["number"]) == list(range(6))
    assert first[1]["lr0"][0] == 0.01
    assert first[0].value == first[1]["value"].max()
    assert first[0].params == first[1].nlargest(1, "value")[["lr0", "scale", "batch"]].to_dict("records")[0]


class KilledError(BaseException):
    pass


def test_a_search_stopped_within_a_trial_takes_it_up_and_finds_what_it_would_have_found(tmp_path: Path) -> None:
    whole = found(search_in(tmp_path / "whole"))

    def die_in_fourth(attempt: Attempt) -> None:
        if attempt.number == 3:
            attempt.report(0.5, 1)
            (attempt.folder / "state.pt").write_text("progress")
            attempt.hold.close()
            raise KilledError
        run_whole(attempt)

    with pytest.raises(KilledError):
        tune(search_in(tmp_path / "stopped"), die_in_fourth, 6, "map50")
    states = {"progress": ""}

    def take_up(attempt: Attempt) -> None:
        if attempt.number == 3:
            states["progress"] = (attempt.folder / "state.pt").read_text()
            assert attempt.reported == {1}
        run_whole(attempt)

    search = search_in(tmp_path / "stopped")
    best = tune(search, take_up, 6, "map50")
    assert states["progress"] == "progress"
    assert best == whole[0]
    pd.testing.assert_frame_equal(search.table(), whole[1])
    assert list((tmp_path / "stopped").glob("attempt-*")) == []


def test_a_trial_that_lags_behind_is_pruned_and_counts(tmp_path: Path) -> None:
    def run(attempt: Attempt) -> None:
        try:
            attempt.report(0.1 if attempt.number == 4 else 0.5, 1)
        except Pruned:
            attempt.prune(epochs=1, seconds=1.0)
        else:
            attempt.complete(0.6, epochs=3, seconds=1.0)

    search = search_in(tmp_path / "a", pruner="median")
    best = tune(search, run, 6, "map50")
    table = search.table()
    assert list(table["state"]) == ["complete"] * 4 + ["pruned", "complete"]
    assert [best.trials, best.trial] == [6, 0]


def test_more_trials_go_on_with_the_same_study(tmp_path: Path) -> None:
    assert tune(search_in(tmp_path / "a"), run_whole, 2, "map50").trials == 2
    search = search_in(tmp_path / "a")
    assert tune(search, run_whole, 6, "map50") == found(search_in(tmp_path / "whole"))[0]


def test_a_broken_trial_is_replaced_and_its_error_is_raised(tmp_path: Path) -> None:
    def breaks(attempt: Attempt) -> None:
        attempt.fail()
        raise PipelineError("a", "b", "c")

    with pytest.raises(PipelineError):
        tune(search_in(tmp_path / "a"), breaks, 6, "map50")
    search = search_in(tmp_path / "a")
    assert tune(search, run_whole, 6, "map50").trials == 6


def test_a_database_holds_the_study_as_well(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/studies.db"
    found_there = found(search_in(tmp_path / "a", storage=storage))
    assert found_there[0] == found(search_in(tmp_path / "b"))[0]
    assert optuna.load_study(study_name="study", storage=storage).best_value == found_there[0].value


@pytest.mark.parametrize("storage", ["postgresql://localhost:1/none", "nonsense"])
def test_a_database_that_cannot_be_used_says_how_to_do_without(storage: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"tune\.storage: null for one file"):
        search_in(tmp_path / "a", storage=storage)


def test_a_trial_keeps_the_shape_of_the_schedule() -> None:
    recipe = tiny_recipe(Path("x"), epochs=100, warmup_epochs=3, close_mosaic=10)
    short = shortened(recipe, 20)
    assert [short.epochs, short.warmup_epochs, short.close_mosaic] == [20, pytest.approx(0.6), 2]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("prepared") / "data")


@pytest.fixture
def drawn(prepared: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    shutil.copytree(prepared, folder)
    return folder


def run_tune(folder: Path, output: str = "found") -> Tuned:
    main(
        raw=folder / "raw",
        annotations=folder / "annotations",
        split=folder / "split.parquet",
        tuned=folder / output,
        params=folder / "params.yaml",
        work=folder / "work",
    )
    return read_record(folder / output / "best.json", Tuned)


def start_tune(folder: Path, output: str) -> "subprocess.Popen[str]":
    words = [sys.executable, *command("tune", folder, output)]
    return subprocess.Popen(words, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)


def test_outputs_are_the_best_values_all_trials_the_study_and_plots(drawn: Path) -> None:
    write_params(drawn, tune={"trials": 3, "epochs": 2, "space": COMMAND_SPACE})
    best = run_tune(drawn)
    trials = pd.read_parquet(drawn / "found" / "trials.parquet")
    assert list(trials.columns[:5]) == ["number", "state", "value", "epochs", "seconds"]
    assert set(trials.columns[5:]) == {"lr0", "close_mosaic"}
    assert list(trials["epochs"]) == [2, 2, 2]
    assert set(best.params) == {"lr0", "close_mosaic"}
    journal = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(drawn / "found" / "study.journal"))
    )
    assert len(optuna.load_study(study_name=None, storage=journal).trials) == 3
    assert (drawn / "found" / "history.svg").read_text().startswith("<?xml")
    assert (drawn / "found" / "parallel.svg").exists()
    client = mlflow.MlflowClient(f"sqlite:///{drawn}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("test").experiment_id])
    parents = [run.data.tags.get("mlflow.parentRunId") for run in runs]
    parent = next(run.info.run_id for run in runs if run.info.run_name == "tune")
    assert sorted(parents, key=str) == sorted([parent, parent, parent, None], key=str)
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_without_trials_train_keeps_its_own_values(drawn: Path) -> None:
    write_params(drawn, tune={"trials": 0})
    assert run_tune(drawn) == Tuned(metric="map50", trials=0, trial=None, value=None, params={})
    assert pd.read_parquet(drawn / "found" / "trials.parquet").empty
    assert not (drawn / "work").exists()


@pytest.mark.slow
def test_a_killed_search_goes_on_in_its_trial_and_finds_the_same(drawn: Path) -> None:
    write_params(drawn, tune={"trials": 3, "epochs": 30, "space": COMMAND_SPACE})
    whole = run_tune(drawn, "whole")
    shutil.rmtree(drawn / "work")
    process = start_tune(drawn, "stopped")
    while not any(path.read_text().count("\n") > 4 for path in drawn.glob("work/tune/*/attempt-1/history.csv")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert run_tune(drawn, "stopped") == whole
    tables = [pd.read_parquet(drawn / name / "trials.parquet").drop(columns="seconds") for name in ("whole", "stopped")]
    pd.testing.assert_frame_equal(tables[1], tables[0])


@pytest.mark.slow
def test_two_processes_share_one_study_and_both_give_its_end(drawn: Path) -> None:
    write_params(drawn, tune={"trials": 6, "epochs": 8, "space": COMMAND_SPACE})
    processes = [start_tune(drawn, name) for name in ("left", "right")]
    for process in processes:
        _, messages = process.communicate()
        assert process.returncode == 0, messages
    left, right = (read_record(drawn / name / "best.json", Tuned) for name in ("left", "right"))
    assert left == right
    assert left.trials == 6
    journal = next(drawn.glob("work/tune/*/study.journal"))
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    trials = optuna.load_study(study_name=None, storage=storage).trials
    assert len(trials) == 6
    # Some trial began before the one before it had ended: both processes were at it.
    times = [(trial.datetime_start, trial.datetime_complete) for trial in trials]
    assert any(began and ended and began < ended for (_, ended), (began, _) in itertools.pairwise(times))
