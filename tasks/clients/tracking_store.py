"""MLflow's embedded store, one SQLite file: whole or not there, and in the project's own folder wherever that goes."""

import functools
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tasks.clients.sqlite_lock import database_path, make_whole, set_aside
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Tracking

log = logging.getLogger(__name__)

# Tables that MLflow itself fills when it makes a store.
_FILLED_FROM_THE_START = {"alembic_version", "workspaces"}
# Where a store keeps folders of artefacts, as absolute paths.
_FOLDERS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
    "logged_models": ("artifact_location",),
}


def make_store(uri: str) -> None:
    """Make the tables of an embedded store that is not there; call it while the store's lock is held.

    What a process killed at this has left, in this version or an earlier one, is set aside if it holds nothing.
    Raises PipelineError if there is a file that is no whole store, and may hold runs.
    """
    database = database_path(uri)
    if database is None:
        return
    if database.exists() and database.stat().st_size and not _has_all_tables(database):
        _refuse_if_it_holds_something(database)
        log.warning("the MLflow store %s was half made and holds nothing: kept as %s", database, set_aside(database))
    make_whole(uri, _make_tables)


def _make_tables(uri: str) -> None:
    from mlflow.store.db import utils  # noqa: PLC0415

    engine = utils.create_sqlalchemy_engine_with_retry(uri)
    try:
        utils._initialize_tables(engine)
    finally:
        engine.dispose()


def _has_all_tables(database: Path) -> bool:
    """Whether MLflow has made its tables to the end, in this version or an older one that `db upgrade` knows."""
    from mlflow.store.db import utils  # noqa: PLC0415

    with _opened(database) as store:
        tables = {name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        version = store.execute("SELECT version_num FROM alembic_version") if "alembic_version" in tables else None
        revision = version.fetchone() if version else None
    return set(utils.Base.metadata.tables) <= tables and revision == (_latest_revision(),)


@functools.cache
def _latest_revision() -> str:
    """The version of tables that this MLflow makes; to tell it, MLflow runs the files of all its migrations."""
    from mlflow.store.db import utils  # noqa: PLC0415

    return str(utils._get_latest_schema_revision())


def _refuse_if_it_holds_something(database: Path) -> None:
    with _opened(database) as store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in sorted(set(tables) - _FILLED_FROM_THE_START):
            # MLflow's own experiment has the number 0.
            beside = " WHERE experiment_id <> 0" if table == "experiments" else ""
            if store.execute(f'SELECT 1 FROM "{table}"{beside} LIMIT 1').fetchone():  # noqa: S608
                raise PipelineError(
                    "the MLflow store is of another version, or half upgraded",
                    f"{database} holds {table} and lacks a part of this version's tables",
                    f"Back it up, then run `mlflow db upgrade sqlite:///{database}`; if that fails, bring back a copy "
                    "from before an upgrade, or move the file away: a new store is made, without these runs and models",
                )


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection; PipelineError for a file that is not a sound database."""
    try:
        with closing(sqlite3.connect(database, timeout=20)) as store:
            yield store
    except sqlite3.OperationalError:
        # Locked, full, read-only: nothing is wrong with the file.
        raise
    except sqlite3.DatabaseError as error:
        raise PipelineError(
            "the MLflow store cannot be read",
            f"{database}: {error}",
            "Bring back a copy of it, or move it away: a new store is made, without the runs and models of this one",
        ) from error


def follow_project(tracking: Tracking) -> None:
    """Point an embedded store that was moved or copied with its project at the artefacts in the project's new folder.

    MLflow keeps their folders as absolute paths; here a relative `tracking.artifacts` counts. A store that is given by
    an absolute path may serve several projects: it is left alone as long as its folder is there.
    Raises PipelineError if artefacts are kept in a folder that is gone, which MLflow would make again.
    """
    database = database_path(tracking.uri)
    if database is None or "://" in tracking.artifacts:
        return
    new = Path(tracking.artifacts).resolve()
    with _opened(database) as store:
        for name, location in store.execute("SELECT name, artifact_location FROM experiments").fetchall():
            old = Path(str(location).removeprefix("file://"))
            if not old.is_absolute() or old == new:
                continue
            if _has_moved(old, tracking):
                _point_elsewhere(store, old, new)
            elif name == tracking.experiment and not old.is_dir():
                raise PipelineError(
                    "the MLflow experiment keeps its artefacts in a folder that is gone",
                    f"{name} in {database}: {old}",
                    f"Bring the folder back, set tracking.artifacts to a relative path that ends in {old.name}, move "
                    "them there, or set another tracking.experiment in params.yaml",
                )


def _has_moved(old: Path, tracking: Tracking) -> bool:
    parts = Path(tracking.artifacts).parts
    if old.parts[-len(parts) :] != parts:
        # Another tracking.artifacts than then: not the project was moved, but the setting changed.
        return False
    own = not tracking.uri.startswith("sqlite:////") and not Path(tracking.uri.removeprefix("sqlite:///")).is_symlink()
    return own or not old.is_dir()


def _point_elsewhere(store: sqlite3.Connection, old: Path, new: Path) -> None:
    changed = 0
    with store:
        for table, columns in _FOLDERS.items():
            for column in columns:
                for before, after in ((str(old), str(new)), (old.as_uri(), new.as_uri())):
                    changed += store.execute(
                        f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) '  # noqa: S608
                        f'WHERE "{column}" = ? OR substr("{column}", 1, ?) = ?',
                        (after, len(before) + 1, before, len(before) + 1, f"{before}/"),
                    ).rowcount
    if changed:
        log.info("the project was moved: its MLflow store finds artefacts in %s, no longer in %s", new, old)
