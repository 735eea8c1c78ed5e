"""Airflow's own cost: per task, between tasks, over a chain in which DVC skips every stage, and over mapped tasks."""

import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from tests.bench.ratios import Ratio, at_most, interleaved
from tests.fixtures.airflow_site import Site, running_site
from tests.fixtures.airflow_stand_in import commit
from tests.fixtures.engine import has_engine
from tests.fixtures.repository import REPOSITORY

STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text("utf-8"))["stages"]
FORM = {"train.epochs": 1}
MAPPED = 100
# In the workspace of a run that is there already.
MANY = f"""
from datetime import timedelta

from airflow.sdk import DAG
from airflow_stage import command
from workspace import run_name

with DAG("many", schedule=None, user_defined_macros={{"run_name": run_name}}, is_paused_upon_creation=False):
    command("nothing", ["true"], over=[str(number) for number in range({MAPPED})], timeout=timedelta(minutes=1))
"""


def measure() -> list[Ratio]:
    """With the embedded server of `make airflow`, and stages that are of no matter: none of them runs."""
    found = _measure("process")
    return [*found, *_measure("docker")[:1]] if has_engine() else found


def _measure(runner: str) -> list[Ratio]:
    with tempfile.TemporaryDirectory() as folder, running_site(Path(folder), runner, prepare=_prepare) as site:
        site.server.trigger("first", FORM)
        assert site.server.wait("first", 900) == "success", site.server.states("first")
        site.server.trigger("unchanged", FORM)
        assert site.server.wait("unchanged", 900) == "success", site.server.states("unchanged")
        # Whether another model is live by now is looked at each time.
        assert site.notes("unchanged", "start") == ["export"]
        tasks = site.server.tasks("unchanged")
        run = site.server.run("unchanged")
        ours = statistics.median(task["duration"] for task in tasks if task["task_id"] in STAGES)
        bare = interleaved(5, *(lambda name=name: _bare(site, name) for name in ("ingest", "check", "train")))
        ratios = [
            at_most(f"a task over its bare command, {runner}", ours, statistics.median(bare), 3.0),
            at_most("between two tasks, over 0.5 s", statistics.median(_gaps(site, tasks)), 0.5, 1.0),
            at_most("the chain with nothing changed, over 60 s", _seconds(run["start_date"], run["end_date"]), 60, 1.0),
        ]
        if runner == "process":
            ratios.append(at_most(f"{MAPPED} mapped tasks, over 60 s", _mapped(site), 60, 1.0))
        return ratios


def _prepare(repository: Path) -> None:
    """All targets, as they are by default, and a DAG of many tasks."""
    shutil.copy(REPOSITORY / "params.yaml", repository / "params.yaml")
    (repository / "dags" / "many.py").write_text(MANY)
    commit(repository, "Measure")


def _bare(site: Site, name: str) -> None:
    """What the task of a stage runs, without Airflow, where there is nothing to do."""
    dvc = REPOSITORY / ".venv" / "bin" / "dvc"
    command = [str(dvc), "--wait-for-lock", "repro", "--single-item", name]
    subprocess.run(command, cwd=site.workspace("unchanged"), check=True, capture_output=True)


def _gaps(site: Site, tasks: list[dict[str, Any]]) -> Iterator[float]:
    """Seconds from the end of the last task before a task to its start, for every task that has one before it."""
    declared = site.server.call("GET", "/dags/training/tasks")["tasks"]
    for task in declared:
        before = [other["task_id"] for other in declared if task["task_id"] in other["downstream_task_ids"]]
        ended = [each["end_date"] for each in tasks if each["task_id"] in before]
        started = [each["start_date"] for each in tasks if each["task_id"] == task["task_id"]]
        if ended:
            yield _seconds(max(ended), min(started))


def _mapped(site: Site) -> float:
    """Seconds of a run of many tasks that do nothing."""
    site.server.trigger("unchanged", {}, "many")
    assert site.server.wait("unchanged", 600, "many") == "success"
    run = site.server.run("unchanged", "many")
    return _seconds(run["start_date"], run["end_date"])


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
