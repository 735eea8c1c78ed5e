"""A search whose processes are killed: no trial is lost and none counts twice."""

import signal
from pathlib import Path

import pytest

from tasks.search.study import NUMBER, Attempt
from tests.fixtures.study import (
    StoppedError,
    ended,
    next_of,
    reported,
    run_whole,
    search_in,
    started,
    without_signs_of_life,
)

pytest_plugins = ["tests.fixtures.study"]
pytestmark = pytest.mark.slow

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
