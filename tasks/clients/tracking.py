"""MLflow tracking: one run per piece of work, found again by its key after a kill."""

import logging
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from sqlalchemy.exc import SQLAlchemyError

from tasks.clients.answers import refuse_silent_database
from tasks.clients.sqlite_lock import one_at_a_time
from tasks.clients.tracking_store import follow_project, make_store
from tasks.contracts.errors import PipelineError, without_passwords
from tasks.contracts.machine_faults import writing
from tasks.contracts.params import Tracking
from tasks.execution.garbage import no_garbage_collection

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.utils.async_logging.run_operations import RunOperations

log = logging.getLogger(__name__)

KEY = "sightline.key"
WEIGHTS_TAG = "sightline.weights_sha256"  # of what a run of train gave
# The server takes at most this many params in one request.
PARAMS_PER_BATCH = 100
# MLflow's own defaults wait about four minutes for a server that is not there; a user who needs them sets them.
QUIET_AND_BOUNDED = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


class RunLog:
    """One MLflow run that is being written.

    What fails becomes a PipelineError; only metrics, and the end of the run, do no more than warn.
    """

    def __init__(self, client: "MlflowClient", experiment_id: str, run_id: str, uri: str) -> None:
        self.experiment_id = experiment_id
        self.run_id = run_id
        self._client = client
        self._uri = uri
        self._sent: list[RunOperations] = []

    def log_params(self, params: Mapping[str, str | int | float | bool | None]) -> None:
        """Record params; those that the run holds already stay, as MLflow lets no param change."""
        param = quiet_mlflow().entities.Param
        with _reported(self._uri):
            known = self._client.get_run(self.run_id).data.params
            new = [param(name, str(value)) for name, value in params.items() if name not in known]
            for start in range(0, len(new), PARAMS_PER_BATCH):
                self._client.log_batch(self.run_id, params=new[start : start + PARAMS_PER_BATCH])

    def log_metrics(self, metrics: Mapping[str, float], step: int, wait: bool = False) -> None:
        """Send the metrics of one step and return at once, so that no epoch waits for a server; `end` does.

        `wait` sends them here and now: for a few metrics cheaper than the second that MLflow's queue takes to close.
        """
        now_ms = int(time.time() * 1000)
        points = [quiet_mlflow().entities.Metric(name, value, now_ms, step) for name, value in metrics.items()]
        with _reported(self._uri):
            sent = self._client.log_batch(self.run_id, metrics=points, synchronous=wait)
        if sent is not None:
            self._sent.append(sent)

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a file or a folder's content in `folder` of the run: by default its root, or the folder's name."""
        with _reported(self._uri):
            if path.is_dir():
                self._client.log_artifacts(self.run_id, str(path), path.name if folder is None else folder)
            else:
                self._client.log_artifact(self.run_id, str(path), folder)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; one that is there already takes the new value."""
        tag = quiet_mlflow().entities.RunTag
        with _reported(self._uri):
            self._client.log_batch(self.run_id, tags=[tag(name, value) for name, value in tags.items()])

    def end(self, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
        """Wait for what is under way and close the run.

        Metrics that did not arrive are counted in a warning: a server that went away does not undo hours of training.
        """
        lost = [error for error in map(_failure, self._sent) if error]
        if lost:
            log.warning(
                "MLflow did not take %d of %d metric steps of run %s: %s",
                len(lost),
                len(self._sent),
                self.run_id,
                without_passwords(str(lost[0])),
            )
        self._sent.clear()
        try:
            self._client.set_terminated(self.run_id, status)
        except quiet_mlflow().MlflowException as error:
            log.warning(
                "MLflow run %s could not be closed as %s: %s", self.run_id, status, without_passwords(str(error))
            )


def _failure(operations: "RunOperations") -> Exception | None:
    try:
        operations.wait()
    except quiet_mlflow().MlflowException as error:
        lost: Exception = error
        return lost
    return None


def open_run(tracking: Tracking, name: str, key: str, parent: str | None = None) -> RunLog:
    """Go on in the run that has this name and key, or begin it; `parent` is the run_id that it is nested in.

    Raises PipelineError if the tracking store cannot be reached or used.
    """
    with connected(tracking) as client, one_at_a_time(tracking.uri):
        experiment_id = _experiment(client, tracking)
        run_id = _find(client, experiment_id, f"{name}:{key}")
        if run_id is None:
            _begin(client, experiment_id, name, key, parent)
            # Two workers on two machines may both have begun: the older run is everybody's.
            run_id = _find(client, experiment_id, f"{name}:{key}")
        assert run_id is not None
        client.update_run(run_id, status="RUNNING")
    return RunLog(client, experiment_id, run_id, tracking.uri)


@contextmanager
def until_end(run_log: RunLog) -> Iterator[RunLog]:
    """Close the run when the block ends: FINISHED, FAILED behind an error, KILLED behind a stop from outside."""
    try:
        yield run_log
    except Exception:
        run_log.end("FAILED")
        raise
    except BaseException:
        run_log.end("KILLED")
        raise
    run_log.end()


def _experiment(client: "MlflowClient", tracking: Tracking) -> str:
    experiment = client.get_experiment_by_name(tracking.experiment)
    if experiment is None:
        # A server knows itself where it keeps artefacts; an embedded store has to be told.
        location = None if tracking.uri.startswith("http") else _absolute(tracking.artifacts)
        try:
            return str(client.create_experiment(tracking.experiment, artifact_location=location))
        except quiet_mlflow().MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            # Another run has begun it meanwhile.
            experiment = client.get_experiment_by_name(tracking.experiment)
    if experiment.lifecycle_stage != "active":
        raise PipelineError(
            "MLflow experiment was deleted",
            f"{tracking.experiment} at {tracking.uri}",
            "Restore it with `mlflow experiments restore`, or set another tracking.experiment in params.yaml",
        )
    return str(experiment.experiment_id)


def _absolute(artifacts: str) -> str:
    # The experiment remembers it for good, whatever folder a later stage runs in.
    return artifacts if "://" in artifacts else str(Path(artifacts).resolve())


def _find(client: "MlflowClient", experiment_id: str, key: str) -> str | None:
    runs = client.search_runs(
        [experiment_id], f"tags.`{KEY}` = '{key}'", max_results=1, order_by=["attributes.start_time ASC"]
    )
    return str(runs[0].info.run_id) if runs else None


def training_run(tracking: Tracking, weights_sha256: str) -> str | None:
    """The run_id of the training that gave these weights, the last one of several; None if it is not known here."""
    with connected(tracking) as client:
        experiment = client.get_experiment_by_name(tracking.experiment)
        if experiment is None:
            return None
        wanted = f"attributes.run_name = 'train' AND tags.`{WEIGHTS_TAG}` = '{weights_sha256}'"
        runs = client.search_runs([experiment.experiment_id], wanted, max_results=1)
        return str(runs[0].info.run_id) if runs else None


def _begin(client: "MlflowClient", experiment_id: str, name: str, key: str, parent: str | None) -> None:
    tags = {KEY: f"{name}:{key}"}
    if parent is not None:
        tags["mlflow.parentRunId"] = parent
    client.create_run(experiment_id, run_name=name, tags=tags)


@contextmanager
def connected(tracking: Tracking) -> Iterator["MlflowClient"]:
    """An MLflow client for runs and registry: quiet, without telemetry, with bounded retries.

    Errors of MLflow and of its database that the block raises become a PipelineError.
    """
    refuse_silent_database(tracking.uri)
    with _reported(tracking.uri):
        with one_at_a_time(tracking.uri):
            # The first one to come makes an embedded store's tables, which two at once would break.
            mlflow = quiet_mlflow()
            make_store(tracking.uri)
            client = mlflow.MlflowClient(tracking.uri, registry_uri=tracking.uri)
            client.search_experiments(max_results=1)
            follow_project(tracking)
        yield client


@contextmanager
def _reported(uri: str) -> Iterator[None]:
    try:
        with writing(uri):
            yield
    except (quiet_mlflow().MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        hint = "Start the server, or correct tracking in params.yaml"
        if "out-of-date database schema" in str(error):
            hint = f"Back the database up, then run `mlflow db upgrade {uri}`"
        raise PipelineError("MLflow cannot be used", f"{uri}: {error}", hint) from error


def quiet_mlflow() -> ModuleType:
    """MLflow, imported once its environment is set, as it reads that at import; takes seconds the first time."""
    for variable, value in QUIET_AND_BOUNDED.items():
        os.environ.setdefault(variable, value)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", str(sys.stderr.isatty()).lower())
    with no_garbage_collection():
        import mlflow  # noqa: PLC0415

    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It logs what it raises, with a traceback.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    loaded: ModuleType = mlflow
    return loaded
