"""The stage train by its command: one result and one MLflow run over kills, one process at a time."""

import logging
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tasks.contracts.card import Card
from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.record import read_record
from tests.fixtures.forks import TRAINING, Fork, Forks, forks_of
from tests.fixtures.training import command, prepare, write_params
from tests.tasks.test_train import metric_steps, run_train, runs_of

# The command, killed right before or behind a function of the stage.
KILLED = """
import os, signal, sys
import tasks.train as stage
from tasks.execution import stage_command
what, when = sys.argv[1:3]
del sys.argv[1:3]
function = getattr(stage, what)
def called(*words, **named):
    if when == "behind":
        function(*words, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(stage, what, called)
stage_command.run(stage.main)
"""


def wait_for_epochs(training: Fork, folder: Path, count: int) -> None:
    while not any(
        len(pd.read_csv(path)) >= count for path in folder.glob("work/train/*/history.csv") if path.stat().st_size > 1
    ):
        assert training.is_running(), training.wait()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forks_of("tasks.train", *TRAINING) as forks:
        yield forks


def start(forks: Forks, folder: Path) -> Fork:
    return forks.start(command("train", folder, "trained"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("prepared") / "data")


@pytest.fixture
def drawn(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "data"))


@pytest.fixture(scope="module")
def trained_whole(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder where a training was not stopped, and the hash of what it gave."""
    folder = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("whole") / "data"))
    write_params(folder, epochs=2)
    return folder, content_sha256(run_train(folder, "whole"))


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "behind"])
@pytest.mark.parametrize("what", ["_write", "keep_finished"])
def test_a_training_killed_after_its_last_epoch_is_not_done_again(
    what: str, when: str, trained_whole: tuple[Path, str], forks: Forks, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder, whole = trained_whole
    for name in ("work", "trained"):
        shutil.rmtree(folder / name, ignore_errors=True)
    killed = forks.run(["-c", KILLED, what, when, *command("train", folder, "trained")[2:]])
    assert killed.returncode == -signal.SIGKILL
    assert "epoch 1 of 2" in killed.stderr
    shutil.rmtree(folder / "trained", ignore_errors=True)
    assert content_sha256(run_train(folder)) == whole
    assert "epoch 1 of 2" not in caplog.text


@pytest.mark.slow
def test_a_second_process_at_the_same_training_is_refused(drawn: Path, forks: Forks) -> None:
    write_params(drawn, epochs=500, patience=0)
    training = start(forks, drawn)
    try:
        wait_for_epochs(training, drawn, 1)
        with pytest.raises(PipelineError, match=rf"another process is at this very work: .*process {training.pid}"):
            run_train(drawn)
    finally:
        training.end(signal.SIGKILL)


@pytest.mark.slow
def test_training_killed_twice_ends_bit_equal_to_one_that_was_not_and_in_one_run(drawn: Path, forks: Forks) -> None:
    write_params(drawn, epochs=20, effective_batch=8, patience=0)
    whole = run_train(drawn, "whole")
    shutil.rmtree(drawn / "work")
    for epochs in (3, 8):
        training = start(forks, drawn)
        wait_for_epochs(training, drawn, epochs)
        assert training.end(signal.SIGKILL).returncode == -signal.SIGKILL
    run_train(drawn)

    cards = [read_record(folder / "card.json", Card) for folder in (whole, drawn / "trained")]
    assert content_sha256(drawn / "trained") == content_sha256(whole)
    assert cards[1].weights_sha256 == cards[0].weights_sha256
    runs = runs_of(drawn)
    assert sorted(run.data.tags["resumed"] for run in runs) == ["0", "2"]
    for run in runs:
        assert metric_steps(drawn, run.info.run_id) == set(range(1, 21))


@pytest.mark.slow
def test_sigterm_ends_the_training_keeps_its_progress_and_closes_the_run_as_killed(drawn: Path, forks: Forks) -> None:
    write_params(drawn, epochs=500, patience=0)
    training = start(forks, drawn)
    wait_for_epochs(training, drawn, 2)  # the first has been told by then
    stopped = training.end(signal.SIGTERM)
    assert stopped.returncode == 143
    assert "epoch 1 of 500" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert len(list(drawn.glob("work/train/*/state.pt"))) == 1
    assert not (drawn / "trained").exists()
    assert [run.info.status for run in runs_of(drawn)] == ["KILLED"]
