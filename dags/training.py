"""### From labels to a gated and published detector

The pipeline of `dvc.yaml`, one task per stage, in a workspace of the run's own.

- **prepare**: workspace clones the repository and writes the form's values into params.yaml; restore fetches what
  earlier runs remember; workers and targets say how many tasks search, export and evaluate will have
- **data**: doctor tells what cannot work before anything runs; ingest, parse, check, split
- **model**: search by as many workers as the form says, tune, train
- **release**: export and evaluate for each target, gate, report, publish
- **keep**: save pushes the data to the DVC remote, record commits the run; in every outcome

**Trigger** it: the form's defaults are those of `params.yaml`. It also runs when labels have changed (DAG `labels`),
and by a schedule if the site sets one.

The run's note says how it ended, with links to the report and to MLflow. A model that falls short of the gate ends the
run red at `publish`; the report is there anyway. Every run is a commit on branch `runs/<run id>`: check that out,
`dvc pull`, and there are its files.
"""

# Airflow fills in what tasks take from their context.
# mypy: disable-error-code="call-arg, arg-type"

import json
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import workspace as workspaces
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, Context, CronTriggerTimetable, Param, TaskGroup, task
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.types import RuntimeTaskInstanceProtocol
from airflow_stage import SETTINGS, ModelLink, ReportLink, TrackingLink, around, end_stages, stage, worker
from training_form import OF_THE_RUN, PARAMETERS, values

LABELS = Asset("labels")
CRON = SETTINGS.schedule and CronTriggerTimetable(SETTINGS.schedule, timezone="UTC")


def last_words(context: Context) -> None:
    """Keep what a failed task said, for the run's note: whoever writes that cannot read logs."""
    context["ti"].xcom_push(key="last_words", value=str(context.get("exception") or ""))


# Of the tasks around the stages: Git, the volume or a DVC remote may be away for a moment.
AROUND = {
    "owner": "vision",
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "execution_timeout": timedelta(minutes=30),
    "on_failure_callback": last_words,
}

# The scripts are constant and take no value of a user.
# Without what earlier runs remember a stage would begin from nothing and images change splits, so these outputs must be
# there; the others are there or made again. With a remote, the cache of this site may be empty. By force, since a
# killed stage leaves outputs that no cache holds yet.
RESTORE = """
memory=.git/sightline-persisted
[ -n "$(dvc config core.remote)" ] && get=pull || get=checkout
xargs -r -d '\\n' -a $memory dvc --wait-for-lock $get --force || exit
exec dvc --wait-for-lock checkout --force --allow-missing --quiet
"""
SAVE = """
[ -n "$(dvc config core.remote)" ] && exec dvc --wait-for-lock push
echo "no DVC remote is set: the data stays in the cache"
"""


@task
def workers(params: dict[str, Any]) -> list[str]:
    """Name those that share the search: `search` has one task for each."""
    return [f"worker-{number + 1}" for number in range(params["workers"])]


@task
def targets(run_id: str) -> list[str]:
    """Say what the run's params.yaml names: `export` and `evaluate` have one task for each target."""
    name = workspaces.run_name(run_id)
    with (
        workspaces.branch_files(SETTINGS.repository, name)
        if SETTINGS.detached
        else nullcontext(SETTINGS.workspaces / name) as path
    ):
        return workspaces.targets_of(path)


@task
def workspace(params: dict[str, Any], run_id: str) -> str:
    """Make the run's own workspace: a clone at the revision that shares the DVC cache, with the form's values.

    `dags/workspace.py` says what it goes on from.
    """
    path = SETTINGS.workspaces / workspaces.run_name(run_id)
    try:
        if SETTINGS.detached:
            return workspaces.begin(run_id, params["revision"], values(params), SETTINGS)
        commit = workspaces.make(path, params["revision"], values(params), SETTINGS)
        workspaces.check_source(path)
    except ValueError as error:
        raise AirflowFailException(str(error)) from error
    # Now, as this run's own workspace counts as one at work again.
    workspaces.sweep(SETTINGS.workspaces, SETTINGS.keep_workspaces, SETTINGS.keep_days)
    return commit


@task
def record(ti: RuntimeTaskInstanceProtocol, run_id: str) -> str:
    """Commit params, dvc.lock and metrics to branch `runs/<run id>`, whatever the outcome."""
    if SETTINGS.detached:
        # Each stage has recorded itself.
        return f"runs/{workspaces.run_name(run_id)}"
    # A stage whose task was killed may still be writing what is about to be recorded.
    end_stages(ti.dag_id, run_id)
    branch = workspaces.record(SETTINGS.workspaces / workspaces.run_name(run_id), run_id)
    saved = ti.get_task_states(dag_id=ti.dag_id, task_ids=["save"], run_ids=[run_id])
    if "failed" in saved.get(run_id, {}).values():
        raise AirflowFailException(
            f"{branch} is recorded, and its data not saved: it lies in this site's cache alone. Clear `save`"
        )
    return branch


def read_verdict(path: Path) -> dict[str, Any]:
    """The verdict's main figures, as XCom of `gate`."""
    found = json.loads((path / "reports" / "verdict.json").read_text("utf-8"))
    return {
        **{name: found[name] for name in ("accepted", "outcome", "target", "reason", "released")},
        "targets": {name: target["outcome"] for name, target in found["targets"].items()},
        # A list: a rule for each class has as many results.
        "rules": [
            {name: rule[name] for name in ("rule", "outcome", "reason")}
            for rule in found["targets"].get(found["target"], {}).get("rules", [])
        ],
    }


def read_release(path: Path) -> dict[str, Any]:
    """What was registered, as XCom of `publish`."""
    found: dict[str, Any] = json.loads((path / "reports" / "release.json").read_text("utf-8"))
    return found


with DAG(
    dag_id="training",
    description="From labels to a gated and published detector",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CRON, assets=LABELS) if CRON else LABELS,
    params={name: Param(**field) for name, field in {**PARAMETERS, **OF_THE_RUN}.items()},
    default_args=AROUND,
    user_defined_macros={"run_name": workspaces.run_name},
    max_active_runs=4,
    is_paused_upon_creation=False,  # it waits for labels or for a person anyway
    tags=["sightline"],
) as dag:
    # Retries: 2 where a task may be lost or killed after hours (it goes on from its progress), 0 for what only judges
    # what is there. No stage is tried again after a fault that it has told in words (exit code 2): a user's, or that of
    # a store that refused for longer than its client asks.
    with TaskGroup("prepare", prefix_group_id=False, tooltip="a workspace of the run's own") as prepare:
        made, numbered, chosen = workspace(), workers(), targets()
        restore = around(
            "restore",
            RESTORE,
            timeout=timedelta(hours=6),
            retries=2,
            doc_md="Fetch what earlier runs remember, say the split, from the DVC cache or remote.",
        )

    with TaskGroup("data", prefix_group_id=False, tooltip="labels into checked and divided tables") as data:
        # It asks every store whether it answers, and whether an embedded one could be written.
        doctor = stage("doctor", timeout=timedelta(minutes=10), network=True, writes_shared=True)
        ingest = stage("ingest", timeout=timedelta(hours=12), retries=2, network=True)
        parse = stage("parse", timeout=timedelta(hours=2), memory_gb=4)
        check = stage("check", timeout=timedelta(hours=6), cpus=4, memory_gb=8)
        split = stage("split", timeout=timedelta(hours=1), memory_gb=4)

    with TaskGroup("model", prefix_group_id=False, tooltip="hyperparameters, then the detector") as model:
        # The queue counts under Celery alone: workers beside GPUs take it.
        gpu: dict[str, Any] = {"pool": "gpu", "queue": "gpu", "gpus": 1, "cpus": 8, "memory_gb": 32}
        gpu |= {"network": True, "writes_shared": True, "retries": 2}
        search = worker("search", "tune", output="--tuned", over=numbered, timeout=timedelta(days=7), **gpu)
        # With workers = 0 there is nothing to wait for: the stage searches alone.
        tune = stage("tune", timeout=timedelta(days=7), trigger_rule="none_failed", **gpu)
        train = stage("train", timeout=timedelta(days=7), links=(TrackingLink(),), **gpu)

    with TaskGroup("release", prefix_group_id=False, tooltip="each target exported, measured and judged") as release:
        # It asks the registry for the champion, and locks an embedded one by a file beside it.
        export = stage(
            "export",
            over=chosen,
            always="champion",
            timeout=timedelta(hours=4),
            cpus=4,
            memory_gb=16,
            network=True,
            writes_shared=True,
            retries=2,
        )
        # One at a time: a neighbour would spoil the latencies that are measured.
        evaluate = stage(
            "evaluate", over=chosen, timeout=timedelta(hours=6), cpus=4, memory_gb=16, max_active_tis_per_dag=1
        )
        gate = stage("gate", timeout=timedelta(minutes=30), memory_gb=4, result=read_verdict, links=(ReportLink(),))
        report = stage("report", timeout=timedelta(hours=1), memory_gb=8, links=(ReportLink(),))
        publish = stage(
            "publish",
            timeout=timedelta(hours=2),
            network=True,
            writes_shared=True,
            retries=2,
            result=read_release,
            links=(ModelLink(), ReportLink(), TrackingLink()),
        )

    with TaskGroup("keep", prefix_group_id=False, tooltip="the run as a commit, in every outcome") as keep:
        save = around(
            "save",
            SAVE,
            timeout=timedelta(hours=6),
            retries=2,
            writes_shared=True,
            doc_md="Push the run's data to the DVC remote if one is set; else it stays in the cache.",
        )
        recorded = record()

    made >> chosen
    made >> restore >> doctor >> ingest >> parse >> check >> split >> search >> tune >> train >> export >> evaluate
    evaluate >> gate >> report >> publish >> save >> recorded
    # The same order for the page, which sorts groups by edges of their own.
    prepare >> data >> model >> release >> keep
    # They run in every outcome once there is a workspace, and do not turn a red run green. Behind a teardown that may
    # fail the run publish would no longer count, so only the last one does.
    save.as_teardown(setups=made)
    recorded.as_teardown(setups=made, on_failure_fail_dagrun=True)
