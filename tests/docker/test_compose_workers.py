"""Celery's workers of docker/: how long tasks may wait for one, and what one finds on its engine as it starts."""

import os
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures.airflow_environment import AIRFLOW_PYTHON, probe, probe_alone
from tests.fixtures.engine_stand_in import container, engine_of
from tests.fixtures.repository import REPOSITORY

pytestmark = pytest.mark.slow

DAY = 86_400
# Stands in for airflow and says what it was given.
AIRFLOW = """#!/bin/sh
echo "$SIGHTLINE_WORKER,$SIGHTLINE_PASS_ON,$*"
"""
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((REPOSITORY / "docker" / "compose.celery.yaml").read_text())[
    "services"
]
WORKERS = {name: " ".join(service["command"]) for name, service in SERVICES.items() if name.startswith("worker")}


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How Airflow understands the settings of the scheduler."""
    variables = SERVICES["scheduler"]["environment"].items()
    filled = {name: re.sub(r"\$\{.*?\}", "none", value) for name, value in variables}
    return probe_alone("waiting", tmp_path_factory.mktemp("waiting"), **filled)


def test_task_may_wait_for_a_worker_and_run_on_it_for_days(waiting: dict[str, Any], tmp_path: Path) -> None:
    tasks = probe("dags", tmp_path)["dags"]["training"]["tasks"].values()
    longest = max(task["timeout"] for task in tasks)
    # Three other runs train before.
    assert min(waiting["queued"], waiting["token"]) > 3 * longest
    assert waiting["delivered"] > longest + DAY / 2


def test_no_more_tasks_are_sent_than_workers_have_places(waiting: dict[str, Any]) -> None:
    places = [int(found) for command in WORKERS.values() for found in re.findall(r"--concurrency=(\d+)", command)]
    assert len(places) == len(WORKERS) == 2
    assert waiting["together"] == sum(places)


def test_worker_removes_what_lost_workers_left_on_its_engine_before_it_takes_tasks(tmp_path: Path) -> None:
    own = socket.gethostname()
    containers = {
        "scheduler": container("a scheduler"),
        "itself": container(own),
        "neighbour": container("a neighbour"),
        "of-itself": container("1", started_by=own, attempt="train"),
        "of-a-lost-one": container("2", started_by="gone", attempt="search"),
        "of-a-lost-one-ended": container("3", started_by="gone", attempt="tune", running=False),
        "of-a-neighbour": container("4", started_by="a neighbour", attempt="export"),
        "of-the-scheduler": container("5", attempt="parse"),
    }
    (tmp_path / "airflow").write_text(AIRFLOW)
    (tmp_path / "airflow").chmod(0o755)
    python, script, *options = SERVICES["worker-gpu"]["command"]
    assert (python, script) == ("python", "/opt/sightline/dags/airflow_site/worker.py")
    with engine_of(containers) as address:
        done = subprocess.run(
            [AIRFLOW_PYTHON, REPOSITORY / script.removeprefix("/opt/sightline/"), *options],
            env={
                "PATH": f"{tmp_path}{os.pathsep}{os.defpath}",
                "PYTHONPATH": str(REPOSITORY / "dags"),
                "AIRFLOW_HOME": str(tmp_path),
                "DOCKER_HOST": address,
                "SIGHTLINE_PASS_ON": "AWS_ENDPOINT_URL",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert "removed 3 stages of lost workers" in done.stderr
    assert set(containers) == {"scheduler", "itself", "neighbour", "of-a-neighbour", "of-the-scheduler"}
    # What it starts from now on is known as its own.
    assert done.stdout == f"{own},AWS_ENDPOINT_URL SIGHTLINE_WORKER,celery worker {' '.join(options)}\n"
