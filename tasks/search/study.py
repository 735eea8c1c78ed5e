"""An Optuna study that outlives kills and that several processes may work on.

Optuna runs the trials (`Study.optimize`): its queue, its sampler and pruners, its heartbeat, by which a trial whose
process died is failed, and its copy of such a trial, which goes on with its params and epochs. By hand, with Optuna's
own words alone, is what would else lose a trial or count it twice:

- Workers choose their next trial one after the other, and only while fewer than are wanted have begun. Optuna's
  MaxTrialsCallback counts those that have ended: each worker could run one too many.
- Trials that failed are queued again as the study shows them, by whoever chooses next. Optuna's callback does so right
  behind the failure, where a kill loses the trial, and not for a training that ends in an error.
- A number that a trial keeps when it is queued again. It names the folder of its progress, seeds what it draws, so that
  equal searches find the same whoever runs them, and counts it once.
"""

import json
import logging
import shutil
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import optuna
import pandas as pd
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from tasks.execution.work_folder import only_one
from tasks.search.storage import DONE

log = logging.getLogger(__name__)

Value = int | float | str | bool
Suggest = Callable[[optuna.Trial], dict[str, Value]]
Train = Callable[["Attempt"], float | None]  # gives an attempt's value; None where it was pruned

# A trial that ends this often at the same epoch is given up, and another takes its place.
FRUITLESS_TRIES = 3
TRIAL_COLUMNS = ["number", "state", "value", "epochs"]
NO_TIME = datetime(2000, 1, 1)  # of a copied study
# What a trial remembers beside its params, as Optuna's user attributes.
NUMBER, OWN = "attempt", "own_values"


class Pruned(Exception):  # noqa: N818
    """The attempt lags behind others: end it."""


class TakenUp(BaseException):
    """Another process took the attempt up, as this one had shown no sign of life: end it.

    No Exception, as Optuna would try to end the trial a second time.
    """


@dataclass(frozen=True)
class Attempt:
    """One set of params to train with; one that is not trained to its end is taken up again."""

    number: int  # counted from 0; the same when it is taken up again
    params: dict[str, Value]
    folder: Path  # for the progress of its training
    trial: optuna.Trial
    startup_trials: int  # are to be complete before any is pruned

    def report(self, value: float, epoch: int) -> None:
        """Take up the metric of an epoch; raises Pruned or TakenUp if the attempt is to end here."""
        try:
            self.trial.report(value, epoch)
        except optuna.exceptions.UpdateFinishedTrialError as error:
            raise TakenUp from error
        if self.trial.should_prune():
            complete = self.trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if len(complete) >= self.startup_trials:
                raise Pruned


@dataclass(frozen=True)
class Search:
    """A study and how its attempts come about."""

    study: optuna.Study
    folder: Path  # of this machine, for the progress of attempts
    alone: Callable[[], AbstractContextManager[None]]  # keeps all others from choosing an attempt
    suggest: Suggest
    first: Mapping[str, Value]  # params of the first attempt; what it lacks is drawn
    seed: int
    startup_trials: int

    def done(self) -> list[FrozenTrial]:
        """Attempts that ran to their end or were pruned, by their numbers."""
        # Taken for lost in the very moment of its end, an attempt may have run twice: it counts once.
        first = {trial.user_attrs[NUMBER]: trial for trial in reversed(self._trials()) if trial.state in DONE}
        return [first[number] for number in sorted(first)]

    def run_next(self, train: Train, wanted: int) -> bool:
        """Run an attempt; False if all that are wanted are done or run elsewhere."""
        with ExitStack() as choosing:
            choosing.enter_context(self.alone())
            if not self._has_next(wanted):
                return False
            try:
                self.study.optimize(partial(self._run, train, choosing), n_trials=1, callbacks=[self._tidy])
            except TakenUp:
                log.warning("a trial was silent for long: another process has taken it up")
            return True

    def _has_next(self, wanted: int) -> bool:
        """Whether there is an attempt to run, which then waits in the study's queue."""
        optuna.storages.fail_stale_trials(self.study)
        tries: dict[int, list[FrozenTrial]] = {}
        for trial in self._trials():
            tries.setdefault(trial.user_attrs[NUMBER], []).append(trial)
        for number, trials in tries.items():
            if all(trial.state == TrialState.FAIL for trial in trials):
                self._queue_again(number, trials)
        living = [trial for trial in self._trials() if trial.state != TrialState.FAIL]
        begun = {trial.user_attrs[NUMBER] for trial in living if trial.state != TrialState.WAITING}
        if len(begun) >= wanted:
            return False
        if not any(trial.state == TrialState.WAITING for trial in living):
            own = not any(trial.user_attrs.get(OWN) for trial in living)
            number = max(tries, default=-1) + 1
            self.study.enqueue_trial(dict(self.first) if own else {}, user_attrs={NUMBER: number, OWN: own})
        return True

    def _trials(self) -> list[FrozenTrial]:
        # Version 0.1 left trials without a number where it was killed as they began.
        return [trial for trial in self.study.get_trials() if NUMBER in trial.user_attrs]

    def _queue_again(self, number: int, trials: list[FrozenTrial]) -> None:
        """Queue a failed attempt, unless it gets nowhere."""
        last = trials[-FRUITLESS_TRIES:]
        if len(last) < FRUITLESS_TRIES or last[0].last_step != last[-1].last_step:
            log.info("takes up attempt %d, whose process ended", number)
            RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)(self.study, last[-1])
        elif self._progress(number).exists():
            log.warning("gives up attempt %d, which ended %d times at the same epoch", number, FRUITLESS_TRIES)
            shutil.rmtree(self._progress(number))

    def _progress(self, number: int) -> Path:
        return self.folder / f"attempt-{number}"

    def _run(self, train: Train, choosing: ExitStack, trial: optuna.Trial) -> float:
        number = trial.user_attrs[NUMBER]
        # Optuna takes 32 bits; the factor keeps the attempts of neighbouring seeds apart.
        self.study.sampler = optuna.samplers.TPESampler(
            seed=(self.seed * 100_003 + number) % 2**32, n_startup_trials=self.startup_trials
        )
        attempt = Attempt(number, self.suggest(trial), self._progress(number), trial, self.startup_trials)
        choosing.close()
        attempt.folder.mkdir(exist_ok=True)
        try:
            # Who was taken for lost may be at it still, until its next report.
            with only_one(attempt.folder, wait=True):
                value = train(attempt)
        except SystemExit:
            # A stop from outside. Optuna would leave the trial to its heartbeat, for the grace period.
            self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            raise
        if self.study.get_trials(deepcopy=False)[trial.number].state.is_finished():
            raise TakenUp
        if value is None:
            raise optuna.TrialPruned
        return value

    def _tidy(self, _study: optuna.Study, trial: FrozenTrial) -> None:
        if trial.state in DONE:
            shutil.rmtree(self._progress(trial.user_attrs[NUMBER]))

    def best(self) -> FrozenTrial | None:
        """The best attempt that ran to its end; the earliest among equals."""
        complete = [trial for trial in self.done() if trial.state == TrialState.COMPLETE]
        return max(complete, key=lambda trial: trial.value or 0.0, default=None)

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
            [trial.user_attrs[NUMBER], trial.state.name.lower(), trial.value, trial.last_step] for trial in self.done()
        ]
        params = pd.DataFrame([trial.params for trial in self.done()])
        return pd.concat([pd.DataFrame(rows, columns=TRIAL_COLUMNS), params], axis=1)

    def copy_to(self, journal: Path) -> None:
        """Write the attempts that are done as a journal file, the same bytes for the same search.

        What depends on when and by whom they were run is left out; the journal's times are no times.
        """
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
        copy = optuna.create_study(storage=storage, study_name=self.study.study_name, directions=self.study.directions)
        for trial in self.done():
            trial.datetime_start = trial.datetime_complete = NO_TIME
            trial.user_attrs = {NUMBER: trial.user_attrs[NUMBER]}
            trial.system_attrs = {}
            copy.add_trial(trial)
        entries = [json.loads(line) | {"worker_id": "copy"} for line in journal.read_text().splitlines()]
        journal.write_text("".join(f"{json.dumps(entry, separators=(',', ':'))}\n" for entry in entries))
