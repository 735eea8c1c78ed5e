"""An Optuna study that outlives kills and that several processes may work on.

An attempt is one set of params to train with. The process that holds it keeps a lock in the attempt's folder; where
the lock is free and the trial runs on, its process died: the trial is failed and another one takes up the attempt, with
its number, its params and the progress in its folder. So a search that was stopped draws the same as one that was not.
"""

import logging
import shutil
import socket
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import pandas as pd
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from tasks.contracts.errors import PipelineError
from tasks.contracts.work import only_one

log = logging.getLogger(__name__)

Value = int | float | str | bool
Suggest = Callable[[optuna.Trial], dict[str, Value]]

JOURNAL = "study.journal"
# A process killed while it writes the journal leaves the journal's lock behind; others take it after this.
STALE_LOCK_SECONDS = 5
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
UNDER_WAY = (TrialState.RUNNING, TrialState.WAITING)
TRIAL_COLUMNS = ["number", "state", "value", "epochs", "seconds"]
# What a trial remembers beside its params, as Optuna's user attributes.
NUMBER, WORKER, REPORTED, EPOCHS, SECONDS = "attempt", "worker", "reported", "epochs", "seconds"


class Pruned(Exception):  # noqa: N818
    """The attempt lags behind others: end it."""


@dataclass(frozen=True)
class Attempt:
    """One set of params to train with, held by this process until `tell`."""

    number: int  # counted from 0; the same when it is taken up again
    params: dict[str, Value]
    folder: Path  # for the progress of its training
    trial: optuna.Trial
    hold: ExitStack
    reported: set[int] = field(default_factory=set)

    def report(self, value: float, epoch: int) -> None:
        """Take up the metric of an epoch; raises Pruned if the attempt is to end here."""
        if epoch not in self.reported:
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

    def fail(self) -> None:
        """The training broke; another attempt takes its place."""
        self._close(TrialState.FAIL, None, 0, 0.0)

    def _close(self, state: TrialState, value: float | None, epochs: int, seconds: float) -> None:
        self.trial.set_user_attr(EPOCHS, epochs)
        self.trial.set_user_attr(SECONDS, round(seconds, 3))
        self.trial.study.tell(self.trial, value, state)
        self.hold.close()
        shutil.rmtree(self.folder)


@dataclass(frozen=True)
class Search:
    """A study and how its attempts come about."""

    study: optuna.Study
    folder: Path  # of this machine, for locks and progress
    suggest: Suggest
    first: Mapping[str, Value]  # params of attempt 0; what it lacks is drawn
    seed: int
    startup_trials: int

    def done(self) -> int:
        """Attempts that ran to their end or were pruned."""
        return len(self.study.get_trials(deepcopy=False, states=DONE))

    def next_attempt(self, wanted: int) -> Attempt | None:
        """An attempt for this process to run; None if all that are wanted are done or held by others."""
        with only_one(self.folder, wait=True):
            self._take_up_abandoned()
            trials = self.study.get_trials(deepcopy=False)
            if not trials:
                self.study.enqueue_trial(dict(self.first))
            waiting = any(trial.state == TrialState.WAITING for trial in trials)
            if not waiting and sum(trial.state != TrialState.FAIL for trial in trials) >= wanted:
                return None
            return self._begin(number=len({trial.user_attrs.get(NUMBER) for trial in trials} - {None}))

    def _begin(self, number: int) -> Attempt:
        # Seeded per attempt: what it draws depends on the seed and on what was told before, not on when we started.
        # Optuna takes 32 bits; the factor keeps the attempts of neighbouring seeds apart.
        self.study.sampler = optuna.samplers.TPESampler(
            seed=(self.seed * 100_003 + number) % 2**32, n_startup_trials=self.startup_trials
        )
        trial = self.study.ask()
        number = trial.user_attrs.get(NUMBER, number)
        trial.set_user_attr(NUMBER, number)
        trial.set_user_attr(WORKER, self._worker)
        folder = self.folder / f"attempt-{number}"
        folder.mkdir(exist_ok=True)
        hold = ExitStack()
        hold.enter_context(only_one(folder))
        attempt = Attempt(number, self.suggest(trial), folder, trial, hold)
        for epoch, value in trial.user_attrs.get(REPORTED, {}).items():
            trial.report(value, int(epoch))
            attempt.reported.add(int(epoch))
        return attempt

    @property
    def _worker(self) -> str:
        return f"{socket.gethostname()}:{self.folder.resolve()}"

    def _take_up_abandoned(self) -> None:
        """Fail the trials whose process on this machine died, and queue their attempts."""
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if trial.user_attrs.get(WORKER, self._worker) != self._worker or self._is_held(trial):
                continue
            self.study.tell(trial.number, state=TrialState.FAIL)
            if NUMBER not in trial.user_attrs:
                continue
            log.info("takes up attempt %d, whose process ended", trial.user_attrs[NUMBER])
            reported = {str(epoch): value for epoch, value in trial.intermediate_values.items()}
            kept = {NUMBER: trial.user_attrs[NUMBER], REPORTED: reported}
            self.study.enqueue_trial(trial.params, user_attrs=kept)

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

    def table(self) -> pd.DataFrame:
        """One row per attempt: number, state, value, epochs, seconds, and one column per param searched."""
        rows = [
            {
                "number": trial.user_attrs[NUMBER],
                "state": trial.state.name.lower(),
                "value": trial.value,
                "epochs": trial.user_attrs[EPOCHS],
                "seconds": trial.user_attrs[SECONDS],
                **trial.params,
            }
            for trial in self.study.get_trials(deepcopy=False, states=DONE)
        ]
        table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=TRIAL_COLUMNS)
        return table.sort_values("number", ignore_index=True)

    def copy_to(self, journal: Path) -> None:
        """Write the study as a journal file of its own."""
        backend = JournalFileBackend(str(journal))
        optuna.copy_study(
            from_study_name=self.study.study_name,
            from_storage=self.study._storage,
            to_storage=optuna.storages.JournalStorage(backend),
        )


def open_study(folder: Path, storage: str | None, name: str, pruner: str, startup_trials: int) -> optuna.Study:
    """The study of this name: in one file in `folder`, or in a database; begun if there is none.

    Raises PipelineError if the database cannot be used.
    """
    # Optuna otherwise logs every trial to a handler of its own.
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        # Two processes at once must not both make the tables or the study.
        with only_one(folder, wait=True):
            return optuna.create_study(
                storage=_journal(folder) if storage is None else optuna.storages.RDBStorage(storage),
                study_name=name,
                pruner=_pruner(pruner, startup_trials),
                direction="maximize",
                load_if_exists=True,
            )
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError) as error:
        raise PipelineError(
            "the study's database cannot be used",
            f"tune.storage {storage}: {error}",
            "Start it, install its driver, or set tune.storage: null for one file",
        ) from error


def _journal(folder: Path) -> optuna.storages.BaseStorage:
    # The lock is a link to the journal. If it were relative, it would lead nowhere, and Optuna would wait for ever.
    path = str((folder / JOURNAL).resolve())
    lock = JournalFileSymlinkLock(path, grace_period=STALE_LOCK_SECONDS)
    return optuna.storages.JournalStorage(JournalFileBackend(path, lock))


def _pruner(name: str, startup_trials: int) -> optuna.pruners.BasePruner:
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=startup_trials)
    return optuna.pruners.HyperbandPruner() if name == "hyperband" else optuna.pruners.NopPruner()


def draw_study(study: optuna.Study, folder: Path, metric: str) -> list[str]:
    """Draw history, importance and parallel coordinates as SVG; returns which of them need more trials."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("agg")  # the importance plot measures its own text, which only this one can
    from optuna.visualization import matplotlib as plots  # noqa: PLC0415

    drawings: dict[str, Callable[..., object]] = {
        "history": plots.plot_optimization_history,
        "importance": plots.plot_param_importances,
        "parallel": plots.plot_parallel_coordinate,
    }
    missing = []
    for name, draw in drawings.items():
        try:
            _draw(draw, study, folder / f"{name}.svg", metric)
        except (ValueError, RuntimeError):
            missing.append(name)
    return missing


def _draw(draw: Callable[..., object], study: optuna.Study, path: Path, metric: str) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    with warnings.catch_warnings():
        # These plots are experimental, and few trials make importances equal.
        warnings.simplefilter("ignore")
        draw(study, target_name=metric)
    figure = plt.gcf()
    try:
        figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    finally:
        plt.close(figure)
