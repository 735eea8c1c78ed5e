"""Where a study lies: in one file that the processes of a folder share, or in a database that machines share."""

import logging
import threading
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy as sa
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal._file import get_lock_file
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from tasks.clients.sqlite_lock import one_at_a_time
from tasks.contracts.errors import PipelineError
from tasks.contracts.machine_faults import writing
from tasks.execution.work_folder import only_one

log = logging.getLogger(__name__)

JOURNAL = "study.journal"
# How every line of the journal begins.
ENTRY = b'{"op_code":'
# A process killed while it writes the journal leaves the journal's lock behind; others take it after this.
STALE_LOCK_SECONDS = 5
# A machine that has shown no sign of life in a database for the grace period is taken for lost.
BEAT_SECONDS, GRACE_SECONDS = 30, 300
# Databases that we have a lock of; in others the work folder's stands in.
LOCKED = {"sqlite", "postgresql"}
# Any number will do that other programs on the same PostgreSQL do not lock by.
LOCK_NUMBER = 5_164_728_301


def open_study(folder: Path, url: str | None, name: str, pruner: str, startup_trials: int) -> optuna.Study:
    """The study of this name: in one file in `folder`, or in a database; begun if there is none.

    Raises PipelineError if the database cannot be used.
    """
    # Optuna otherwise logs every trial to a handler of its own.
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # It knows heartbeats in a loop of its own alone; ours come from `beating`.
    warnings.filterwarnings("ignore", message=".*[Hh]eartbeat")
    with reported(url):
        kind = "sqlite" if url is None else sa.make_url(url).get_backend_name()
    if kind not in LOCKED:
        log.warning("in %s only processes of one machine can share a study safely; machines can in PostgreSQL", kind)
    # Two at once must not both make the tables or the study.
    with reported(url, ImportError), alone(folder, url):
        return optuna.create_study(
            storage=_journal(folder) if url is None else _database(url),
            study_name=name,
            pruner=_pruner(pruner, startup_trials),
            direction="maximize",
            load_if_exists=True,
        )


@contextmanager
def reported(url: str | None, *more: type[Exception]) -> Iterator[None]:
    """Turn the errors of a study's database, and `more`, into a PipelineError."""
    faults: tuple[type[Exception], ...] = (SQLAlchemyError, optuna.exceptions.StorageInternalError, *more)
    try:
        with writing(f"tune.storage {url}"):
            yield
    except faults as error:
        raise PipelineError(
            "the study's database cannot be used",
            f"tune.storage {url}: {error.__cause__ or error}",
            "Start it, install its driver, or set tune.storage: null for one file",
        ) from error


@contextmanager
def alone(folder: Path, url: str | None) -> Iterator[None]:
    """Keep all others who work on the study from choosing or ending an attempt meanwhile."""
    if url is None:
        with only_one(folder, wait=True), writing(folder / JOURNAL):
            yield
        return
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


def _database(url: str) -> optuna.storages.BaseStorage:
    try:
        return optuna.storages.RDBStorage(
            url, {"pool_pre_ping": True}, heartbeat_interval=BEAT_SECONDS, grace_period=GRACE_SECONDS
        )
    except RuntimeError as error:
        raise PipelineError(
            "the study's database has tables of another Optuna",
            f"tune.storage {url}: {error}",
            f"Back it up, then run `optuna storage upgrade --storage {url}`",
        ) from error


def _journal(folder: Path) -> optuna.storages.BaseStorage:
    # The lock is a link to the journal. If it were relative, it would lead nowhere, and Optuna would wait for ever.
    path = (folder / JOURNAL).resolve()
    lock = JournalFileSymlinkLock(str(path), grace_period=STALE_LOCK_SECONDS)
    if path.exists() and _whole_entries(path.read_bytes()) != path.read_bytes():
        with get_lock_file(lock):
            mended = path.with_suffix(".mended")
            mended.write_bytes(_whole_entries(path.read_bytes()))
            mended.replace(path)
    return optuna.storages.JournalStorage(JournalFileBackend(str(path), lock))


def _whole_entries(journal: bytes) -> bytes:
    """The journal without the entries that a kill or a full disk cut short.

    One may stand at the end, or right before what another process wrote behind it.
    """
    lines = journal.splitlines(keepends=True)
    return b"".join(line[line.rindex(ENTRY) :] for line in lines if ENTRY in line and line.endswith(b"\n"))


class _HyperbandBehindStartup(optuna.pruners.HyperbandPruner):
    """Hyperband that prunes no trial before so many are complete, as the median pruner does."""

    def __init__(self, startup_trials: int) -> None:
        super().__init__()
        self._startup_trials = startup_trials

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return len(complete) >= self._startup_trials and super().prune(study, trial)


def _pruner(name: str, startup_trials: int) -> optuna.pruners.BasePruner:
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=startup_trials)
    return _HyperbandBehindStartup(startup_trials) if name == "hyperband" else optuna.pruners.NopPruner()


def worker_id(folder: Path) -> str:
    """What the processes of a folder are known by in a database, whatever host or container they run in."""
    path = folder / "worker"
    with only_one(folder, wait=True):
        if not path.exists() or not path.read_text():
            path.write_text(uuid.uuid4().hex)
        return path.read_text()


def is_shared(study: optuna.Study) -> bool:
    """Whether the study lies in a database, which folders without our locks may work on."""
    return isinstance(study._storage, BaseHeartbeat)


def stale_trials(study: optuna.Study) -> set[int]:
    """Numbers of running trials in a database whose machine has shown no sign of life for long."""
    if not isinstance(study._storage, BaseHeartbeat):
        return set()
    return {study._storage.get_trial(stale).number for stale in study._storage._get_stale_trial_ids(study._study_id)}


@contextmanager
def beating(trial: optuna.Trial) -> Iterator[None]:
    """Show signs of life for a trial in a database, from now to the end of the block."""
    storage, ended = trial.study._storage, threading.Event()
    if not isinstance(storage, BaseHeartbeat):
        yield
        return

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            try:
                storage.record_heartbeat(trial._trial_id)
            except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
                log.warning("no sign of life for trial %d: %s", trial.number, error.__cause__ or error)

    storage.record_heartbeat(trial._trial_id)
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
