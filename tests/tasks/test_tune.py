"""The stage tune: a seeded search that outlives kills and that several processes share."""

import itertools
import logging
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import optuna
import pandas as pd
import pytest

from tasks.contracts.record import read_record
from tasks.contracts.tuned import Tuned
from tasks.detectors.recipe import Value
from tasks.tune import main, tune
from tests.fixtures.forks import SEARCH, Forks, forks_of
from tests.fixtures.study import ended, run_whole, search_in, started, without_signs_of_life
from tests.fixtures.training import command, prepare, tiny_recipe, write_params

pytestmark = pytest.mark.slow

COMMAND_SPACE = {"lr0": {"low": 0.001, "high": 0.01, "log": True}, "close_mosaic": {"low": 0, "high": 2}}


@pytest.mark.parametrize(
    ("train_epochs", "tried", "epochs", "expected"),
    [
        pytest.param(100, {}, 20, [20, 0.6, 2], id="own values"),
        pytest.param(100, {"warmup_epochs": 5.0, "close_mosaic": 20}, 20, [20, 1.0, 4], id="values tried"),
        pytest.param(1, {}, 200, [200, 3, 10], id="longer than train"),
    ],
)
def test_a_trial_keeps_the_shape_of_the_schedule(
    train_epochs: int, tried: dict[str, Value], epochs: int, expected: list[float]
) -> None:
    whole = tiny_recipe(Path("x"), epochs=train_epochs, warmup_epochs=3, close_mosaic=10)
    short = whole.with_changes(tried).shortened(epochs)
    assert [short.epochs, short.warmup_epochs, short.close_mosaic] == pytest.approx(expected)


TAKES_ONE = """
import sys, time
from pathlib import Path
from tests.fixtures.forks import SEARCH, Forks, forks_of
from tests.fixtures.study import run_whole, search_in
def run(attempt):
    print("has it", flush=True)
    time.sleep(3)
    return run_whole(attempt)
search_in(Path(sys.argv[1])).run_next(run, 1)
"""


def test_waiting_for_others_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = started(TAKES_ONE, tmp_path / "a")
    assert other.stdout is not None
    assert other.stdout.readline() == "has it\n"
    with caplog.at_level(logging.INFO):
        assert tune(search_in(tmp_path / "a"), run_whole, 1, "map50").trials == 1
    ended(other)
    assert caplog.text.count("waits for the last trials, which others are at") == 1


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


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forks_of("tasks.tune", *SEARCH) as forks:
        yield forks


def test_outputs_are_the_best_values_all_trials_and_the_study(drawn: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_params(drawn, tune={"trials": 3, "epochs": 2, "space": COMMAND_SPACE})
    with caplog.at_level(logging.INFO):
        best = run_tune(drawn)
    assert re.findall(r"(\d of \d) trials are done", caplog.text) == ["1 of 3", "2 of 3", "3 of 3"]
    trials = pd.read_parquet(drawn / "found" / "trials.parquet")
    assert list(trials.columns[:4]) == ["number", "state", "value", "epochs"]
    assert set(trials.columns[4:]) == {"lr0", "close_mosaic"}
    assert list(trials["epochs"]) == [2, 2, 2]
    assert set(best.params) == {"lr0", "close_mosaic"}
    journal = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(drawn / "found" / "study.journal"))
    )
    assert len(optuna.load_study(study_name=None, storage=journal).trials) == 3
    client = mlflow.MlflowClient(f"sqlite:///{drawn}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("test").experiment_id])
    parents = [run.data.tags.get("mlflow.parentRunId") for run in runs]
    parent = next(run.info.run_id for run in runs if run.info.run_name == "tune")
    assert sorted(parents, key=str) == sorted([parent, parent, parent, None], key=str)
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_without_trials_train_keeps_its_own_values(drawn: Path) -> None:
    write_params(drawn, tune={"trials": 0, "space": {}})
    assert run_tune(drawn) == Tuned(metric="map50", trials=0, trial=None, value=None, params={})
    assert pd.read_parquet(drawn / "found" / "trials.parquet").empty
    assert not (drawn / "work").exists()


def test_a_killed_search_goes_on_in_its_trial_and_finds_the_same(drawn: Path, forks: Forks) -> None:
    write_params(drawn, tune={"trials": 3, "epochs": 8, "space": COMMAND_SPACE})
    whole = run_tune(drawn, "whole")
    shutil.rmtree(drawn / "work")
    search = forks.start(command("tune", drawn, "stopped"))
    while not any(path.read_text().count("\n") > 4 for path in drawn.glob("work/tune/*/attempt-1/history.csv")):
        assert search.is_running(), search.wait()
        time.sleep(0.02)
    search.end(signal.SIGKILL)
    without_signs_of_life(next(drawn.glob("work/tune/*/study.db")))
    assert run_tune(drawn, "stopped") == whole
    for file in sorted(path.name for path in (drawn / "whole").iterdir()):
        assert (drawn / "stopped" / file).read_bytes() == (drawn / "whole" / file).read_bytes(), file


def test_two_processes_share_one_study_and_both_give_its_end(drawn: Path, forks: Forks) -> None:
    write_params(drawn, tune={"trials": 6, "epochs": 8, "space": COMMAND_SPACE})
    for search in [forks.start(command("tune", drawn, name)) for name in ("left", "right")]:
        done = search.wait()
        assert done.returncode == 0, done.stderr
    left, right = (read_record(drawn / name / "best.json", Tuned) for name in ("left", "right"))
    assert left == right
    assert left.trials == 6
    database = next(drawn.glob("work/tune/*/study.db"))
    trials = optuna.load_study(study_name=None, storage=f"sqlite:///{database}").trials
    assert len(trials) == 6
    # Some trial began before the one before it had ended: both processes were at it.
    times = [(trial.datetime_start, trial.datetime_complete) for trial in trials]
    assert any(began and ended and began < ended for (_, ended), (began, _) in itertools.pairwise(times))
