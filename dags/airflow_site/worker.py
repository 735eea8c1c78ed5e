"""Start a Celery worker, once the stages that lost workers have left on this machine's engine are removed.

A stage is no child of its worker and outlives it. Where its task is tried again by a worker of another machine, nobody
there can remove it: two stages would write into one workspace.

Example: python dags/airflow_site/worker.py --queues=gpu --concurrency=1
"""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from docker.errors import NotFound
from run_in_docker import TRY, remove_containers

import docker

log = logging.getLogger(__name__)

# The host name of the worker that has started a stage: a variable that stages are given.
STARTED_BY = "SIGHTLINE_WORKER"


def remove_left(client: docker.APIClient, worker: str) -> int:
    """Remove the stages that were started by `worker`, which only begins now, or by one that is gone; how many."""
    living = {config["Hostname"] for _, config in _containers(client)} - {worker}
    removed = 0
    for labels, config in _containers(client, all=True, filters={"label": TRY}):
        started_by = dict(variable.split("=", 1) for variable in config["Env"]).get(STARTED_BY)
        if started_by and started_by not in living:
            removed += remove_containers(client, TRY, labels[TRY])
    return removed


def _containers(client: docker.APIClient, **which: Any) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    for found in client.containers(**which):
        # One of them may be gone by now.
        with suppress(NotFound):
            yield found["Labels"], client.inspect_container(found["Id"])["Config"]


def main() -> None:
    """Clean up, then become the worker."""
    # Airflow has set up its own at import.
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    # Of this container, also when it is started again.
    worker = socket.gethostname()
    log.info("removed %d stages of lost workers", remove_left(docker.from_env().api, worker))
    passed_on = f"{os.environ.get('SIGHTLINE_PASS_ON', '')} {STARTED_BY}"
    variables = {**os.environ, STARTED_BY: worker, "SIGHTLINE_PASS_ON": passed_on}
    os.execvpe("airflow", ["airflow", "celery", "worker", *sys.argv[1:]], variables)  # noqa: S606, S607


if __name__ == "__main__":
    main()
