"""Where a study lies: a database file that the processes of a folder share, or a server's that machines share.

Optuna makes, reads and writes it. By hand, with Optuna's own words alone:

- A lock of the whole study (`alone`). Optuna would make the same tables twice when two processes begin together, and
  has no lock under which a worker chooses its next trial. On NFS it has to have locks, as SQLite itself wants, and
  machines that share a file there clocks that agree.
- The first heartbeat, which Optuna gives behind a trial's beginning: of one killed between them it takes no notice.
- A heartbeat that outlives a fault of the database, which would end Optuna's thread: the trial would be taken for lost.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import optuna
import sqlalchemy as sa
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from tasks.clients.sqlite_lock import one_at_a_time
from tasks.contracts.errors import PipelineError
from tasks.contracts.machine_faults import writing
from tasks.contracts.whole_output import remove
from tasks.execution.work_folder import only_one

log = logging.getLogger(__name__)

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
JOURNAL = "study.journal"
# A trial without a sign of life for this long is taken for lost; it gives eight meanwhile.
GRACE_SECONDS = 60
# SQLite's own 5 s are little for a busy network disk.
LOCK_SECONDS = 60
# Databases that we have a lock of; in others the work folder's stands in.
LOCKED = {"sqlite", "postgresql"}
# Any number will do that other programs on the same PostgreSQL do not lock by.
LOCK_NUMBER = 5_164_728_301
# Attempts ask them once the first trials are complete.
PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "median": partial(optuna.pruners.MedianPruner, n_startup_trials=0),
    "hyperband": optuna.pruners.HyperbandPruner,
    "none": optuna.pruners.NopPruner,
}
FAULTS: tuple[type[Exception], ...] = (SQLAlchemyError, optuna.exceptions.StorageInternalError)


def study_url(folder: Path, storage: str | None) -> str:
    """The URL of a study's database: `storage`, or a file in `folder`."""
    return storage or f"sqlite:///{folder.resolve() / 'study.db'}"


def open_study(folder: Path, url: str, name: str, pruner: str, grace_seconds: int = GRACE_SECONDS) -> optuna.Study:
    """The study of this name, begun if there is none.

    Raises PipelineError if the database cannot be used.
    """
    # Optuna otherwise logs every trial to a handler of its own, and errors with a traceback.
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    # A training that goes on tells of its last epoch once more.
    warnings.filterwarnings("ignore", message="The reported value is ignored")
    with reported(url):
        kind = sa.make_url(url).get_backend_name()
    if kind not in LOCKED:
        log.warning("in %s only processes of one machine can share a study safely; machines can in PostgreSQL", kind)
    with reported(url, ImportError), alone(folder, url):
        study = optuna.create_study(
            storage=_database(url, grace_seconds),
            study_name=name,
            pruner=PRUNERS[pruner](),
            direction="maximize",
            load_if_exists=True,
        )
        _take_over_journal(study, folder)
    return study


@contextmanager
def reported(url: str, *more: type[Exception]) -> Iterator[None]:
    """Turn the errors of a study's database, and `more`, into a PipelineError."""
    try:
        with writing(url.removeprefix("sqlite:///")):
            yield
    except (*FAULTS, *more) as error:
        is_file = url.startswith("sqlite")
        raise PipelineError(
            "the study's database cannot be used",
            f"tune.storage {url}: {error.__cause__ or error}",
            "If it is damaged, move it away: the search starts from nothing"
            if is_file
            else "Start it, install its driver, or set tune.storage: null for one file",
        ) from error


@contextmanager
def alone(folder: Path, url: str) -> Iterator[None]:
    """Keep all others who work on the study from choosing a trial meanwhile."""
    kind = sa.make_url(url).get_backend_name()
    if kind == "sqlite":
        with one_at_a_time(url):
            yield
    elif kind == "postgresql":
        with _postgresql_lock(url):
            yield
    else:
        with only_one(folder, wait=True):
            yield


@contextmanager
def _postgresql_lock(url: str) -> Iterator[None]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    # The lock ends with the transaction, that of a machine which went away with the time-out.
    with engine.begin() as connection:
        connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '5min'"))
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_NUMBER)))
        yield


class _Database(optuna.storages.RDBStorage):
    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        if state == TrialState.RUNNING:
            super().record_heartbeat(trial_id)
        return super().set_trial_state_values(trial_id, state, values)

    def record_heartbeat(self, trial_id: int) -> None:
        try:
            super().record_heartbeat(trial_id)
        except FAULTS as error:
            log.warning("no sign of life in the study: %s", error.__cause__ or error)


def _database(url: str, grace_seconds: int) -> optuna.storages.BaseStorage:
    options: dict[str, object] = {"pool_pre_ping": True}
    if url.startswith("sqlite"):
        options["connect_args"] = {"timeout": LOCK_SECONDS}
    # Optuna formats it with its own version.
    template = url.replace("{", "{{").replace("}", "}}")
    try:
        return _Database(template, options, heartbeat_interval=max(grace_seconds // 8, 1), grace_period=grace_seconds)
    except RuntimeError as error:
        raise PipelineError(
            "the study's database has tables of another Optuna",
            f"tune.storage {url}: {error}",
            f"Back it up, then run `optuna storage upgrade --storage {url}`",
        ) from error


def _take_over_journal(study: optuna.Study, folder: Path) -> None:
    """Take over what was done while a study without a database still lay in a journal, until version 0.1."""
    journal = folder / JOURNAL
    if journal.exists():
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal.resolve())))
        study.add_trials(optuna.load_study(study_name=None, storage=storage).get_trials(states=DONE))
        # Trials that were under way begin again, with params of their own.
        for path in [*folder.glob("attempt-*"), journal]:
            remove(path)
