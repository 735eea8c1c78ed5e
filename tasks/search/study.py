"""An Optuna study that outlives kills and that several processes may work on.

An attempt is one set of params to train with. The process that holds it keeps a lock in the attempt's folder; where
the lock is free and the trial runs on, its process died or met an error: the trial is failed and another one takes up
the attempt, with its number, its params and the progress in its folder. So a search that was stopped draws the same as
one that was not. In a database the attempts of other folders are taken up once they show no sign of life.
"""

import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import optuna
import pandas as pd
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from tasks.contracts.errors import PipelineError
from tasks.execution.work_folder import only_one
from tasks.search.storage import beating, is_shared, stale_trials

log = logging.getLogger(__name__)

Value = int | float | str | bool
Suggest = Callable[[optuna.Trial], dict[str, Value]]

# An attempt that ends this often without one more epoch is given up, and another takes its place.
FRUITLESS_TRIES = 3
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
TRIAL_COLUMNS = ["number", "state", "value", "epochs"]
NO_TIME = datetime(2000, 1, 1)  # of a copied study
# What a trial remembers beside its params, as Optuna's user attributes.
NUMBER, WORKER, REPORTED, EPOCHS, SECONDS = "attempt", "worker", "reported", "epochs", "seconds"
OWN, FRUITLESS = "own_values", "fruitless_tries"


class Pruned(Exception):  # noqa: N818
    """The attempt lags behind others: end it."""


class TakenUp(Exception):  # noqa: N818
    """Another machine took the attempt up, as this one had shown no sign of life: end it."""


@dataclass(frozen=True)
class Attempt:
    """One set of params to train with, held by this process until it is closed or `hold` ends.

    An attempt that is left without being closed is taken up again.
    """

    number: int  # counted from 0; the same when it is taken up again
    params: dict[str, Value]
    folder: Path  # for the progress of its training
    trial: optuna.Trial
    hold: ExitStack
    alone: Callable[[], AbstractContextManager[None]]
    reported: set[int] = field(default_factory=set)

    def report(self, value: float, epoch: int) -> None:
        """Take up the metric of an epoch; raises Pruned or TakenUp if the attempt is to end here."""
        if epoch not in self.reported:
            with _unless_taken_up():
                self.trial.report(value, epoch)
            self.reported.add(epoch)
        if self.trial.should_prune():
            raise Pruned

    def complete(self, value: float, epochs: int, seconds: float) -> None:
        """The training ran to its end; `value` is its best."""
        self._close(TrialState.COMPLETE, value, epochs, seconds)

    def prune(self, epochs: int, seconds: float) -> None:
        """The training was ended early; its value is the last one reported."""
        self._close(TrialState.PRUNED, None, epochs, seconds)

    def _close(self, state: TrialState, value: float | None, epochs: int, seconds: float) -> None:
        # Who looks for abandoned attempts must not see this one's lock free and its trial running on.
        with self.alone(), _unless_taken_up():
            self.trial.set_user_attr(EPOCHS, epochs)
            self.trial.set_user_attr(SECONDS, round(seconds, 3))
            self.trial.study.tell(self.trial, value, state)
        self.hold.close()
        shutil.rmtree(self.folder)


@contextmanager
def _unless_taken_up() -> Iterator[None]:
    try:
        yield
    except optuna.exceptions.UpdateFinishedTrialError as error:
        raise TakenUp from error


@dataclass(frozen=True)
class Search:
    """A study and how its attempts come about."""

    study: optuna.Study
    folder: Path  # of this machine, for locks and progress
    worker: str  # what its processes are known by in a database
    alone: Callable[[], AbstractContextManager[None]]  # keeps all others from choosing or ending an attempt
    suggest: Suggest
    first: Mapping[str, Value]  # params of the first attempt; what it lacks is drawn
    seed: int
    startup_trials: int

    def done(self) -> int:
        """Attempts that ran to their end or were pruned."""
        return len(self.study.get_trials(deepcopy=False, states=DONE))

    def next_attempt(self, wanted: int) -> Attempt | None:
        """An attempt for this process to run; None if all that are wanted are done or held by others."""
        with self.alone():
            self._take_up_abandoned()
            living = self._living()
            if not any(OWN in trial.user_attrs for trial in living):
                self.study.enqueue_trial(dict(self.first), user_attrs={OWN: True})
                living = self._living()
            waiting = any(trial.state == TrialState.WAITING for trial in living)
            return self._begin() if waiting or len(living) < wanted else None

    def _living(self) -> list[FrozenTrial]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]

    def _begin(self) -> Attempt:
        number = len({trial.user_attrs.get(NUMBER) for trial in self.study.get_trials(deepcopy=False)} - {None})
        # Seeded per attempt: what it draws depends on the seed and on what was told before, not on when we started.
        # Optuna takes 32 bits; the factor keeps the attempts of neighbouring seeds apart.
        self.study.sampler = optuna.samplers.TPESampler(
            seed=(self.seed * 100_003 + number) % 2**32, n_startup_trials=self.startup_trials
        )
        trial = self.study.ask()
        number = trial.user_attrs.get(NUMBER, number)
        folder = self.folder / f"attempt-{number}"
        folder.mkdir(exist_ok=True)
        with ExitStack() as hold:
            hold.enter_context(only_one(folder))
            hold.enter_context(beating(trial))
            trial.set_user_attr(NUMBER, number)
            # The mark comes last: a running trial without it was abandoned right here.
            trial.set_user_attr(WORKER, self.worker)
            attempt = Attempt(number, self.suggest(trial), folder, trial, hold.pop_all(), self.alone)
        for epoch, value in trial.user_attrs.get(REPORTED, {}).items():
            trial.report(value, int(epoch))
            attempt.reported.add(int(epoch))
        return attempt

    def _take_up_abandoned(self) -> None:
        """Fail the trials whose process died or met an error, and queue their attempts."""
        stale = stale_trials(self.study)
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if not self._is_abandoned(trial, stale):
                continue
            self.study.tell(trial.number, state=TrialState.FAIL)
            if NUMBER in trial.user_attrs:
                self._queue_again(trial)

    def _is_abandoned(self, trial: FrozenTrial, stale: set[int]) -> bool:
        worker = trial.user_attrs.get(WORKER)
        if worker is None or not is_shared(self.study) or worker == self.worker:
            return not self._is_held(trial)
        return trial.number in stale

    def _queue_again(self, trial: FrozenTrial) -> None:
        number, before = trial.user_attrs[NUMBER], trial.user_attrs.get(REPORTED, {})
        reported = before | {str(epoch): value for epoch, value in trial.intermediate_values.items()}
        fruitless = 0 if len(reported) > len(before) else trial.user_attrs.get(FRUITLESS, 0) + 1
        if fruitless == FRUITLESS_TRIES:
            log.warning("gives up attempt %d, which ended %d times without one more epoch", number, fruitless)
            shutil.rmtree(self.folder / f"attempt-{number}", ignore_errors=True)
            return
        log.info("takes up attempt %d, whose process ended", number)
        own = {name: value for name, value in trial.user_attrs.items() if name == OWN}
        self.study.enqueue_trial(
            # Where it ended before its params were drawn, those that it was queued with stand.
            trial.system_attrs.get("fixed_params", {}) | trial.params,
            user_attrs={NUMBER: number, REPORTED: reported, FRUITLESS: fruitless, **own},
        )

    def _is_held(self, trial: FrozenTrial) -> bool:
        folder = self.folder / f"attempt-{trial.user_attrs.get(NUMBER)}"
        if not folder.exists():
            return False
        try:
            with only_one(folder):
                return False
        except PipelineError:
            return True

    def best(self) -> FrozenTrial | None:
        """The best attempt that ran to its end; the earliest among equals."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return max(complete, key=lambda trial: (trial.value or 0.0, -trial.user_attrs[NUMBER]), default=None)

    def importances(self) -> dict[str, float]:
        """How much each param searched mattered, as shares of 1, most first; empty where too few trials tell it.

        By Optuna's own estimate (PED-ANOVA, Watanabe et al., IJCAI 2023).
        """
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        # Optuna would find nothing to compare either, but only once it has imported scikit-learn, for seconds.
        if len(complete) < 2 or len({name for trial in complete for name in trial.params}) < 2:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is experimental, or that trials are few
            try:
                shares = optuna.importance.get_param_importances(self.study)
            except (ValueError, RuntimeError):
                return {}
        # It gives equal shares where it has nothing to tell. Last digits depend on the order in which trials ended.
        return {name: round(share, 4) for name, share in shares.items()} if len({*shares.values()}) > 1 else {}

    def table(self) -> pd.DataFrame:
        """One row per attempt: number, state, value, epochs, and one column per param searched."""
        rows = [
            {
                "number": trial.user_attrs[NUMBER],
                "state": trial.state.name.lower(),
                "value": trial.value,
                "epochs": trial.user_attrs[EPOCHS],
                **trial.params,
            }
            for trial in self.study.get_trials(deepcopy=False, states=DONE)
        ]
        table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=TRIAL_COLUMNS)
        return table.sort_values("number", ignore_index=True)

    def copy_to(self, journal: Path) -> optuna.Study:
        """Write the attempts that are done as a journal file of its own, the same bytes for the same search; the copy.

        What depends on when and by whom they were run is left out; the journal's times are no times.
        """
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
        copy = optuna.create_study(storage=storage, study_name=self.study.study_name, directions=self.study.directions)
        trials = self.study.get_trials(states=DONE)
        for trial in sorted(trials, key=lambda trial: trial.user_attrs[NUMBER]):
            trial.datetime_start = trial.datetime_complete = NO_TIME
            trial.user_attrs = {NUMBER: trial.user_attrs[NUMBER], EPOCHS: trial.user_attrs[EPOCHS]}
            trial.system_attrs = {}
            copy.add_trial(trial)
        entries = [json.loads(line) | {"worker_id": "copy"} for line in journal.read_text().splitlines()]
        journal.write_text("".join(f"{json.dumps(entry, separators=(',', ':'))}\n" for entry in entries))
        return copy
