"""### From labels to a gated and published detector

The pipeline of `dvc.yaml`, one task per stage, in a workspace of the run's own. Trigger it: the form's defaults are
those of `params.yaml`. It also runs when labels have changed (DAG `labels`), and by a schedule if the site sets one.

Every run ends as a commit on branch `runs/<run id>`: check that out, `dvc pull`, and there are its files. A model that
falls short of the gate ends the run red at `publish`, with what it lacks in the run's note; the report is there anyway.
"""

# Airflow fills in what tasks take from their context.
# mypy: disable-error-code="call-arg, arg-type"

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import workspace as workspaces
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, task
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.types import RuntimeTaskInstanceProtocol
from airflow_stage import SETTINGS, ReportLink, TrackingLink, command, end_stages, stage, worker
from training_form import KNOBS, OF_THE_RUN

LABELS = Asset("labels")
CRON = SETTINGS.schedule and CronTriggerTimetable(SETTINGS.schedule, timezone="UTC")
# Of the tasks around the stages: Git, the volume or a DVC remote may be away for a moment.
AROUND = {
    "owner": "vision",
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "execution_timeout": timedelta(minutes=30),
}

# The scripts are constant and take no value of a user.
# Without what earlier runs remember a stage would start anew and images change sides, so these outputs must be there;
# the others are there or made again. With a remote, the cache of this site may be empty.
RESTORE = """
memory=.git/sightline-persisted
[ -n "$(dvc config core.remote)" ] && get=pull || get=checkout
xargs -r -d '\\n' -a $memory dvc --wait-for-lock $get && exec dvc --wait-for-lock checkout --allow-missing --quiet
"""
SAVE = """
[ -n "$(dvc config core.remote)" ] && exec dvc --wait-for-lock push
echo "no DVC remote is set: the data stays in the cache"
"""


@task
def workers(params: dict[str, Any]) -> list[str]:
    """Those that share the search; Airflow maps tasks over what a task returns."""
    return [f"worker-{number + 1}" for number in range(params["workers"])]


@task
def targets(params: dict[str, Any]) -> list[str]:
    """What the checkpoint is turned into, as chosen in the form."""
    chosen: list[str] = params["export.targets"]
    return chosen


@task
def workspace(params: dict[str, Any], run_id: str) -> str:
    """Make the run's own workspace: a clone at the revision that shares the DVC cache, with the form's values.

    `dags/workspace.py` says what it goes on from.
    """
    workspaces.sweep(SETTINGS.workspaces, SETTINGS.keep_workspaces, SETTINGS.keep_days)
    values = {name: params[name] for name in KNOBS} | params["params"]
    path = SETTINGS.workspaces / workspaces.run_name(run_id)
    try:
        return workspaces.make(path, params["revision"], values, SETTINGS)
    except ValueError as error:
        raise AirflowFailException(str(error)) from error


@task
def record(ti: RuntimeTaskInstanceProtocol, run_id: str) -> str:
    """Commit params, dvc.lock and metrics to branch `runs/<run id>`, whatever the outcome."""
    # A stage whose task was killed may still be writing what is about to be recorded.
    end_stages(ti.dag_id, run_id)
    return workspaces.record(SETTINGS.workspaces / workspaces.run_name(run_id), run_id)


def verdict(path: Path) -> dict[str, Any]:
    """The verdict's main figures, as XCom of `gate`."""
    found = json.loads((path / "reports" / "verdict.json").read_text("utf-8"))
    return {
        **{name: found[name] for name in ("accepted", "outcome", "target", "reason", "released")},
        "targets": {name: target["outcome"] for name, target in found["targets"].items()},
        "rules": {rule["rule"]: rule["reason"] for rule in found["targets"].get(found["target"], {}).get("rules", [])},
    }


def release(path: Path) -> dict[str, Any]:
    """What was registered, as XCom of `publish`."""
    found: dict[str, Any] = json.loads((path / "reports" / "release.json").read_text("utf-8"))
    return found


with DAG(
    dag_id="training",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CRON, assets=LABELS) if CRON else LABELS,
    params={**KNOBS, **OF_THE_RUN},
    default_args=AROUND,
    user_defined_macros={"run_name": workspaces.run_name},
    max_active_runs=4,
    is_paused_upon_creation=False,  # it waits for labels or for a person anyway
    tags=["sightline"],
) as dag:
    chosen = targets()
    made = workspace()
    restore = command("restore", ["sh", "-c", RESTORE], timeout=timedelta(hours=6), retries=2, network=True)

    # Retries: 2 where a server or a device may fail for a moment (a killed stage goes on from its progress), 0 for what
    # only judges what is there. No stage is tried again after a fault that the user has to mend (exit code 2).
    ingest = stage("ingest", timeout=timedelta(hours=12), retries=2, network=True)
    parse = stage("parse", timeout=timedelta(hours=2), memory_gb=4)
    check = stage("check", timeout=timedelta(hours=6), cpus=4, memory_gb=8)
    split = stage("split", timeout=timedelta(hours=1), memory_gb=4)
    # The queue counts under Celery alone: workers beside GPUs take it.
    gpu: dict[str, Any] = {"pool": "gpu", "queue": "gpu", "gpus": 1, "cpus": 8, "memory_gb": 32}
    gpu |= {"network": True, "writes_shared": True, "retries": 2}
    search = worker("search", "tune", output="--tuned", over=workers(), timeout=timedelta(days=7), **gpu)
    # With workers = 0 there is nothing to wait for: the stage searches alone.
    tune = stage("tune", timeout=timedelta(days=7), trigger_rule="none_failed", **gpu)
    train = stage("train", timeout=timedelta(days=7), links=(TrackingLink(),), **gpu)
    export = stage("export", over=chosen, timeout=timedelta(hours=4), cpus=4, memory_gb=16, network=True, retries=2)
    # One at a time: a neighbour would spoil the latencies that are measured.
    evaluate = stage(
        "evaluate", over=chosen, timeout=timedelta(hours=6), cpus=4, memory_gb=16, max_active_tis_per_dag=1
    )
    gate = stage("gate", timeout=timedelta(minutes=30), memory_gb=4, result=verdict)
    report = stage("report", timeout=timedelta(hours=1), memory_gb=8, links=(ReportLink(),))
    publish = stage(
        "publish",
        timeout=timedelta(hours=2),
        network=True,
        writes_shared=True,
        retries=2,
        result=release,
        links=(TrackingLink(),),
    )

    save = command("save", ["sh", "-c", SAVE], timeout=timedelta(hours=6), retries=2, network=True, writes_shared=True)
    recorded = record()

    made >> restore >> ingest >> parse >> check >> split >> search >> tune >> train >> export >> evaluate >> gate
    gate >> report >> publish >> save >> recorded
    # They run in every outcome once there is a workspace, and do not turn a red run green.
    save.as_teardown(setups=made)
    recorded.as_teardown(setups=made, on_failure_fail_dagrun=True)
