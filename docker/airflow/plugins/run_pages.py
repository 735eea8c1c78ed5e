"""Airflow plugin: the report of a run as a page of the api-server, and the outcome of a run as its note."""

import logging

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.listeners import hookimpl
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.plugins_manager import AirflowPlugin
from airflow_stage import report_url
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse
from settings import read_settings
from sqlalchemy import select
from sqlalchemy.orm import Session, object_session
from workspace import run_name

log = logging.getLogger(__name__)
app = FastAPI(title="Sightline", openapi_url=None)


@app.get("/{dag_id}/{dag_run_id}/report", dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.RUN))])
def report(dag_id: str, dag_run_id: str) -> FileResponse:
    """The report of a run, for whoever may see the run."""
    page = read_settings().workspaces / run_name(dag_run_id) / "reports" / "report.html"
    if not page.is_file():
        branch = f"runs/{run_name(dag_run_id)}"
        raise HTTPException(404, f"{dag_id}: no report here. If the run is over: check out {branch} and `dvc pull`")
    # The page shows names out of label files: it gets an origin of its own, away from Airflow's session.
    return FileResponse(page, media_type="text/html", headers={"Content-Security-Policy": "sandbox allow-scripts"})


class RunNotes:
    """Writes a run's outcome into its note once it has ended; tasks themselves may not."""

    @hookimpl
    def on_dag_run_success(self, dag_run: DagRun, msg: str) -> None:  # noqa: ARG002
        """Say what was published."""
        _note(dag_run)

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun, msg: str) -> None:  # noqa: ARG002
        """Say what fell short, or which tasks failed."""
        _note(dag_run)


def _note(dag_run: DagRun) -> None:
    if dag_run.dag_id != "training":
        return
    try:
        dag_run.note = note(dag_run)
    except Exception:
        # A listener's fault must not stop the scheduler.
        log.exception("no note for run %s", dag_run.run_id)


def note(dag_run: DagRun) -> str:
    """The outcome in Markdown: verdict and rules that failed, tasks that failed, report and branch."""
    verdict, branch = _xcom(dag_run, "gate"), _xcom(dag_run, "record")
    lines = []
    if isinstance(verdict, dict):
        lines.append(f"**{verdict['outcome']}**: {verdict['reason']}")
        lines += [f"- {rule}: {reason}" for rule, reason in verdict["rules"].items()]
    of_run = (TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id)
    query = select(TaskInstance.task_id).where(*of_run, TaskInstance.state == "failed").distinct()
    failed = sorted(_session(dag_run).scalars(query))
    if failed:
        lines.append(f"Failed: {', '.join(failed)}")
    if isinstance(verdict, dict):
        lines.append(f"[Report]({report_url(dag_run.dag_id, dag_run.run_id)})")
    if branch:
        lines.append(f"Recorded as branch `{branch}`")
    return "\n\n".join(lines)[:1000]


def _session(dag_run: DagRun) -> Session:
    """The scheduler's own; a function of Airflow that opens a session would commit and close it, and break the loop."""
    session = object_session(dag_run)
    assert session is not None
    return session


def _xcom(dag_run: DagRun, task_id: str) -> object:
    query = XComModel.get_many(
        key="return_value", run_id=dag_run.run_id, dag_ids=dag_run.dag_id, task_ids=task_id, map_indexes=-1
    )
    found = _session(dag_run).scalars(query.with_only_columns(XComModel.value)).first()
    return XComModel.deserialize_value(type("Row", (), {"value": found})) if found is not None else None


class RunPages(AirflowPlugin):
    """What Airflow picks up from this file."""

    name = "run_pages"
    fastapi_apps = [{"app": app, "url_prefix": "/sightline", "name": "sightline"}]
    listeners = [RunNotes()]
