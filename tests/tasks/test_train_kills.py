"""The stage train by its command: one result and one MLflow run over kills, one process at a time."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pandas as pd
import pytest

from tasks.contracts.card import Card
from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.record import read_record
from tests.fixtures.repository import REPOSITORY
from tests.fixtures.training import command, prepare, write_params
from tests.tasks.test_train import metric_steps, run_train, runs_of

# Imports what a training needs, which takes seconds, once. For each line of stdin a fork of it runs the command; it is
# killed right before or behind a function of the stage, if that is named.
FORKS = """
import json, os, signal, sys
import tasks.train as stage
from tasks.clients.tracking import quiet_mlflow
from tasks.execution import stage_command as edge
quiet_mlflow()
import tasks.detectors.ultralytics_training
def killing(function, when):
    def called(*words, **named):
        if when == "behind":
            function(*words, **named)
        os.kill(os.getpid(), signal.SIGKILL)
    return called
for line in sys.stdin:
    words, what, when = json.loads(line)
    child = os.fork()
    if not child:
        if what:
            setattr(stage, what, killing(getattr(stage, what), when))
        sys.argv[1:] = words
        edge.run(stage.main)
        sys.exit()
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass
class Forks:
    """Runs the command, one at a time."""

    asked: IO[str]
    told: IO[str]
    messages: Path
    pid: int = 0  # of the last run

    def start(self, folder: Path, what: str = "", when: str = "") -> None:
        self.messages.write_text("")
        words = command("train", folder, "trained")[2:]
        print(json.dumps([words, what, when]), file=self.asked, flush=True)
        self.pid = int(self.told.readline())

    def end(self, number: int | None = None) -> int:
        """Send a signal, if any, and wait; the exit code."""
        if number is not None:
            os.kill(self.pid, number)
        return int(self.told.readline())

    def wait_for_epochs(self, folder: Path, count: int) -> None:
        while not any(
            len(pd.read_csv(path)) >= count
            for path in folder.glob("work/train/*/history.csv")
            if path.stat().st_size > 1
        ):
            os.kill(self.pid, 0)  # raises once it has ended
            time.sleep(0.02)


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    messages = tmp_path_factory.mktemp("forks") / "messages.txt"
    with (
        messages.open("a") as file,
        subprocess.Popen(
            [sys.executable, "-c", FORKS],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        yield Forks(process.stdin, process.stdout, messages)


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
    forks.start(folder, what, when)
    assert forks.end() == -signal.SIGKILL
    assert "epoch 1 of 2" in forks.messages.read_text()
    shutil.rmtree(folder / "trained", ignore_errors=True)
    assert content_sha256(run_train(folder)) == whole
    assert "epoch 1 of 2" not in caplog.text


@pytest.mark.slow
def test_a_second_process_at_the_same_training_is_refused(drawn: Path, forks: Forks) -> None:
    write_params(drawn, epochs=500, patience=0)
    forks.start(drawn)
    try:
        forks.wait_for_epochs(drawn, 1)
        with pytest.raises(PipelineError, match=rf"another process is at this very work: .*process {forks.pid}"):
            run_train(drawn)
    finally:
        forks.end(signal.SIGKILL)


@pytest.mark.slow
def test_training_killed_twice_ends_bit_equal_to_one_that_was_not_and_in_one_run(drawn: Path, forks: Forks) -> None:
    write_params(drawn, epochs=20, effective_batch=8, patience=0)
    whole = run_train(drawn, "whole")
    shutil.rmtree(drawn / "work")
    for epochs in (3, 8):
        forks.start(drawn)
        forks.wait_for_epochs(drawn, epochs)
        assert forks.end(signal.SIGKILL) == -signal.SIGKILL
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
    forks.start(drawn)
    forks.wait_for_epochs(drawn, 2)  # the first has been told by then
    assert forks.end(signal.SIGTERM) == 143
    messages = forks.messages.read_text()
    assert "epoch 1 of 500" in messages
    assert "Traceback" not in messages
    assert len(list(drawn.glob("work/train/*/state.pt"))) == 1
    assert not (drawn / "trained").exists()
    assert [run.info.status for run in runs_of(drawn)] == ["KILLED"]
