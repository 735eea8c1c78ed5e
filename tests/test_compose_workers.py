"""Celery's workers of docker/: how long tasks may wait for one, and what one finds on its engine as it starts."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.airflow_fixture import REPOSITORY, probe

DAY = 86_400
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((REPOSITORY / "docker" / "compose.celery.yaml").read_text())[
    "services"
]
WORKERS = {name: " ".join(service["command"]) for name, service in SERVICES.items() if name.startswith("worker")}


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How Airflow understands the settings of the scheduler."""
    variables = SERVICES["scheduler"]["environment"].items()
    filled = {name: re.sub(r"\$\{.*?\}", "none", value) for name, value in variables}
    return probe("waiting", tmp_path_factory.mktemp("waiting"), **filled)


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
