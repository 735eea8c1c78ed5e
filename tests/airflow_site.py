"""A running Airflow with stages that stand in, and what its runs have left in their workspaces."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.airflow_server import Server, airflow_server, start_airflow, stop_airflow
from tests.airflow_stand_in import commit, make_repository
from tests.engine_fixture import containers, hand_over, need_engine

FORM: dict[str, object] = {"workers": 2, "train.epochs": 20}
# Training still goes on when a task is tried again.
LONG = FORM | {"train.epochs": 100, "train.lr0": 0.02, "params": {"train.momentum": 0.5}}
# Training alone, in a workspace that is there already: that of the run whose name it is given.
TRAINING_ALONE = """
from datetime import timedelta

from airflow.sdk import DAG
from airflow_stage import stage
from workspace import run_name

for name, seconds in (("train_alone", 600), ("train_briefly", 25)):
    with DAG(name, schedule=None, user_defined_macros={"run_name": run_name}, is_paused_upon_creation=False):
        stage("train", timeout=timedelta(seconds=seconds), retries=2, pool="gpu")
"""


@dataclass
class Site:
    """One Airflow."""

    runner: str
    repository: Path
    server: Server

    def restart(self) -> None:
        """Start its Airflow again, which has ended."""
        self.server = start_airflow(self.repository, variables_of(self.repository, self.runner))

    def workspace(self, run_id: str) -> Path:
        """A run's workspace."""
        return self.server.home / "workspaces" / run_id

    def notes(self, run_id: str, event: str) -> list[str]:
        """The stages that have really run in a workspace, or that were left to end, in order."""
        file = self.workspace(run_id) / "journal.txt"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
        return [name for name, noted, _, _ in lines if noted == event]

    def epochs(self, run_id: str) -> list[tuple[int, str]]:
        """Number and process of each epoch that was trained, as written."""
        return epochs_in(self.workspace(run_id))

    def task_process(self, run_id: str, task_id: str, dag_id: str = "training") -> psutil.Process:
        """Airflow's process of a running task, as its heartbeats name it."""
        task = next(task for task in self.server.tasks(run_id, dag_id) if task["task_id"] == task_id)
        return psutil.Process(task["pid"])

    def kill_stage(self, run_id: str) -> None:
        """End all that works in a workspace, with no chance to tidy up."""
        if self.runner == "docker":
            for container in containers("sightline.run", f"training/{run_id}/"):
                subprocess.run(["docker", "kill", container["Id"]], check=True, capture_output=True)
        for process in self.processes(run_id):
            process.kill()

    def processes(self, run_id: str) -> list[psutil.Process]:
        """Processes that work in a workspace."""
        workspace = str(self.workspace(run_id))
        return [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == workspace]

    def left(self, run_id: str) -> list[object]:
        """Processes or containers that still work in a workspace."""
        if self.runner == "docker":
            found = [container for dag in DAGS for container in containers("sightline.run", f"{dag}/{run_id}/")]
            return [container["State"] for container in found]
        return [
            process.info["name"]
            for process in psutil.process_iter(["name", "cwd"])
            if process.info["cwd"] == str(self.workspace(run_id))
        ]


DAGS = ("training", "train_alone", "train_briefly")


def epochs_in(workspace: Path) -> list[tuple[int, str]]:
    """Number and process of each epoch that was trained in a workspace, as written."""
    file = workspace / ".work" / "train" / "epochs.txt"
    pairs = [line.split(":") for line in file.read_text().split()] if file.is_file() else []
    return [(int(epoch), process) for epoch, process in pairs]


def tries_of(done: list[tuple[int, str]], count: int) -> int:
    """How many processes have trained, one after another: every epoch must be there once, and in order.

    One that nobody watches any more may come to its end before it is tried again.
    """
    assert [epoch for epoch, _ in done] == list(range(count))
    changes = sum(first != second for (_, first), (_, second) in pairwise(done))
    assert len({process for _, process in done}) == changes + 1
    return changes + 1


def alone(repository: Path) -> None:
    """Add the DAGs that only train."""
    (repository / "dags" / "training_alone.py").write_text(TRAINING_ALONE)
    commit(repository, "Train alone")


def run_first(site: Site) -> dict[str, Any]:
    """Do the first run, kill the task process of its training, see it green; the container that it trained in."""
    site.server.trigger("first", LONG)
    site.server.wait_until("first", lambda: len(site.epochs("first")) > 3)
    container = next(iter(containers("sightline.run", "training/first/")), {}) if site.runner == "docker" else {}
    site.task_process("first", "train").kill()
    assert site.server.wait("first") == "success", site.server.states("first")
    return container


@contextmanager
def running_site(folder: Path, runner: str, prepare: Callable[[Path], None] = alone) -> Iterator[Site]:
    """Start one on a repository of stages that stand in, with what `prepare` adds to it."""
    if runner == "docker":
        need_engine()
    repository = make_repository(folder / "repository")
    prepare(repository)
    with airflow_of(repository, runner) as server:
        server.call("PATCH", "/pools/gpu", {"name": "gpu", "slots": 8, "include_deferred": False})
        site = Site(runner, repository, server)
        try:
            yield site
        finally:
            stop_airflow(site.server.process)


def variables_of(repository: Path, runner: str) -> dict[str, str]:
    """What tells a repository's Airflow how to run stages."""
    return {
        "SIGHTLINE_RUNNER": runner,
        "HOME": str(repository.parent),
        # Stages in containers take as many threads as those that are processes.
        "SIGHTLINE_PASS_ON": "OMP_NUM_THREADS OMP_WAIT_POLICY",
    }


@contextmanager
def airflow_of(repository: Path, runner: str) -> Iterator[Server]:
    """Start a repository's Airflow; at the end no process and no container of it may be left."""
    folder = repository.parent
    if runner == "docker":
        hand_over(folder)
    with pytest.MonkeyPatch.context() as patch:
        # Git does not trust what belongs to others; root's tests look into what they have handed over.
        (folder / "gitconfig").write_text("[safe]\n    directory = *\n")
        patch.setenv("GIT_CONFIG_GLOBAL", str(folder / "gitconfig"))
        with airflow_server(repository, variables_of(repository, runner)) as server:
            yield server
    found = (process.info for process in psutil.process_iter(["cmdline", "cwd"]))
    assert [info for info in found if str(repository) in f"{info['cmdline']} {info['cwd']}"] == []
    if runner == "docker":
        listed = ["docker", "ps", "--all", "--quiet", "--filter", f"volume={repository}"]
        assert subprocess.run(listed, capture_output=True, text=True, check=True).stdout == ""
