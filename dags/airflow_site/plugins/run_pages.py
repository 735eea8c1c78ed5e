"""Airflow plugin: the report of a run as a page of the api-server, and the outcome of a run as its note."""

# Modules of dags/ are imported where they are needed: the dag-processor loads plugins before it forks what
# reads DAGs, which would then not see a change of these modules.
# ruff: noqa: PLC0415

import logging
from collections.abc import Iterator
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.listeners import hookimpl
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session, object_session

log = logging.getLogger(__name__)
app = FastAPI(title="Sightline", openapi_url=None)

# The DAG whose runs have reports and notes.
REPORTING = "training"
# The column holds no more.
LONGEST_NOTE = 1000
MISSING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>No report yet</title>
<body style="font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 3em auto; padding: 0 1em">
<h1>No report yet</h1>
<p>Task <code>report</code> of this run has not written one, or the run's workspace was swept since.</p>
<p>A recorded run gives it back anywhere: <code>git checkout BRANCH &amp;&amp; dvc pull reports/report.html</code></p>
"""


@app.get("/{dag_id}/{dag_run_id}/report", dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.RUN))])
def report(dag_id: str, dag_run_id: str) -> Response:
    """The report of a run, for whoever may see the run."""
    from settings import read_settings
    from workspace import run_name

    # Workspaces are named after runs alone: rights on another DAG must not open a report of this one.
    if dag_id != REPORTING:
        raise HTTPException(404, f"runs of {dag_id} have no report, those of {REPORTING} do")
    page = read_settings().workspaces / run_name(dag_run_id) / "reports" / "report.html"
    if not page.is_file():
        return HTMLResponse(MISSING.replace("BRANCH", f"runs/{run_name(dag_run_id)}"), status_code=404)
    # The page shows names out of label files: it gets an origin of its own, away from Airflow's session.
    return FileResponse(page, media_type="text/html", headers={"Content-Security-Policy": "sandbox allow-scripts"})


@app.exception_handler(401)
async def log_in(request: Request, error: HTTPException) -> Response:
    """Send a browser without a session to log in and come back; other clients get the error."""
    from airflow_stage import page_url

    if "text/html" not in request.headers.get("Accept", ""):
        return await http_exception_handler(request, error)
    return RedirectResponse(page_url(f"api/v2/auth/login?next={quote(str(request.url), safe='')}"))


class RunNotes:
    """Writes a run's outcome into its note once it has ended; tasks themselves may not."""

    @hookimpl
    def on_dag_run_success(self, dag_run: DagRun, msg: str) -> None:  # noqa: ARG002
        """Note on the run what it published."""
        _note(dag_run)

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun, msg: str) -> None:  # noqa: ARG002
        """Say what fell short, or which tasks failed."""
        _note(dag_run)


def _note(dag_run: DagRun) -> None:
    if dag_run.dag_id != REPORTING:
        return
    try:
        dag_run.note = note(dag_run)
    except Exception:
        # A listener's fault must not stop the scheduler.
        log.exception("no note for run %s", dag_run.run_id)


def note(dag_run: DagRun) -> str:
    """The outcome in Markdown: verdict and links, failed tasks with their last words, rules with what fell short first.

    The page shows as much of the first line as has room, and the rest on a click. What is too long ends with "…".
    """
    lines = [*_first(dag_run), *_failures(dag_run), *_rules(dag_run), *_branch(dag_run)]
    kept: list[str] = []
    for line in lines:
        if len("\n\n".join([*kept, line])) > LONGEST_NOTE - 2:
            kept.append("…")
            break
        kept.append(line)
    return "\n\n".join(kept)


def _first(dag_run: DagRun) -> Iterator[str]:
    from airflow_stage import report_url

    verdict = _xcom(dag_run, "gate")
    links = {
        "Report": report_url(dag_run.dag_id, dag_run.run_id) if _xcom(dag_run, "report", "_link_ReportLink") else None,
        "MLflow": _xcom(dag_run, "train", "_link_TrackingLink"),
        "Model": _xcom(dag_run, "publish", "_link_ModelLink") if _xcom(dag_run, "publish") else None,
    }
    words = [f"[{name}]({address})" for name, address in links.items() if address]
    if isinstance(verdict, dict):
        passed = sum(rule["outcome"] == "accepted" for rule in verdict["rules"])
        words.insert(0, f"**{verdict['outcome']}**")
        words.append(f"{verdict['target']} passes {passed} of {len(verdict['rules'])} rules")
    if words:
        yield " · ".join(words)


def _branch(dag_run: DagRun) -> Iterator[str]:
    branch = _xcom(dag_run, "record")
    if branch:
        yield f"Recorded as branch {branch}"


def _failures(dag_run: DagRun) -> Iterator[str]:
    """Failed tasks, each with a link to its log and its last words; not `publish` where it only refuses."""
    from airflow_stage import page_url

    verdict = _xcom(dag_run, "gate")
    refused = isinstance(verdict, dict) and not verdict["accepted"]
    of_run = (TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id)
    index = TaskInstance.rendered_map_index
    query = select(TaskInstance.task_id, TaskInstance.map_index, index)  # type: ignore[call-overload]  # a hybrid
    query = query.where(*of_run, TaskInstance.state == "failed").order_by(TaskInstance.end_date)
    for task_id, map_index, instance in _session(dag_run).execute(query):
        if refused and task_id == "publish":
            continue
        mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
        log_page = page_url(f"dags/{dag_run.dag_id}/runs/{quote(dag_run.run_id, safe='')}/tasks/{task_id}{mapped}")
        words = str(_xcom(dag_run, task_id, "last_words", map_index) or "killed, or ended by hand")
        yield f"**{task_id} {instance or ''}".rstrip() + f" failed** ([log]({log_page})): {_shortened(words)}"


def _rules(dag_run: DagRun) -> Iterator[str]:
    verdict = _xcom(dag_run, "gate")
    if isinstance(verdict, dict):
        for rule in sorted(verdict["rules"], key=lambda rule: bool(rule["outcome"] == "accepted")):
            yield f"- {rule['outcome']}, `{rule['rule']}`: {rule['reason']}"


def _shortened(words: str) -> str:
    return words if len(words) <= 400 else f"{words[:400]} …"


def _session(dag_run: DagRun) -> Session:
    """The scheduler's own; a function of Airflow that opens a session would commit and close it, and break the loop."""
    session = object_session(dag_run)
    assert session is not None
    return session


def _xcom(dag_run: DagRun, task_id: str, key: str = "return_value", map_index: int = -1) -> object:
    query = XComModel.get_many(
        key=key, run_id=dag_run.run_id, dag_ids=dag_run.dag_id, task_ids=task_id, map_indexes=map_index
    )
    found = _session(dag_run).scalars(query.with_only_columns(XComModel.value)).first()
    return XComModel.deserialize_value(type("Row", (), {"value": found})) if found is not None else None


class RunPages(AirflowPlugin):
    """What Airflow picks up from this file."""

    name = "run_pages"
    fastapi_apps = [{"app": app, "url_prefix": "/sightline", "name": "sightline"}]
    listeners = [RunNotes()]
