"""Whole runs through api-server, scheduler and dag-processor, with stages that stand in for the real ones."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import yaml

from tests.airflow_server import REPOSITORY, RefusedError, Server, airflow_server, request, wait_for
from tests.airflow_stand_in import git, make_repository

pytestmark = pytest.mark.flows
TARGETS = ["pytorch", "onnx"]
FORM: dict[str, object] = {"export.targets": TARGETS, "use_case.target": "onnx", "workers": 2, "train.epochs": 2}
DVC = REPOSITORY / ".venv" / "bin" / "dvc"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of stages that stand in."""
    return make_repository(tmp_path_factory.mktemp("airflow") / "repository")


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Server]:
    """Its Airflow; at the end nothing of it may be left."""
    variables = {"STAND_IN_JOURNAL": str(repository / "journal.txt"), "STAND_IN_EPOCH_SECONDS": "0.2"}
    with airflow_server(repository, variables) as running:
        yield running
    left = [process.cmdline() for process in psutil.process_iter() if str(repository) in " ".join(cmdline(process))]
    assert left == []


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return [*process.cmdline(), process.cwd()]
    except psutil.Error:
        return []


def workspace(server: Server, run_id: str) -> Path:
    return server.home / "workspaces" / run_id


def started(repository: Path, run_id: str) -> list[str]:
    """The stages that have really run for a run, in order."""
    lines = [json.loads(line) for line in (repository / "journal.txt").read_text().splitlines()]
    return [name for name, event, _, _, folder, _ in lines if event == "start" and Path(folder).name == run_id]


def epochs(server: Server, run_id: str) -> list[tuple[int, int]]:
    """Epoch and process of each epoch that was trained, as written."""
    file = workspace(server, run_id) / ".work" / "train" / "epochs.txt"
    pairs = [line.split(":") for line in file.read_text().split()] if file.is_file() else []
    return [(int(epoch), int(pid)) for epoch, pid in pairs]


def went_on_alone(done: list[tuple[int, int]], count: int, tries: int) -> None:
    """Every epoch once, each try's in one piece: no two at the same time, and none from the start again."""
    assert [epoch for epoch, _ in done] == list(range(count))
    pids = [pid for _, pid in done]
    assert len(set(pids)) == tries
    assert sum(first != second for first, second in pairwise(pids)) == tries - 1


def test_bad_value_of_the_form_is_refused(server: Server) -> None:
    with pytest.raises(RefusedError) as refused:
        server.trigger("bad", {"train.epochs": -3})
    assert refused.value.status == 400
    assert "-3 is less than the minimum of 1" in refused.value.detail


def test_run_is_green_and_recorded_as_a_branch_that_gives_the_same_files_elsewhere(
    server: Server, repository: Path, tmp_path: Path
) -> None:
    server.trigger("first", FORM | {"train.lr0": 0.02, "params": {"train.momentum": 0.5}})
    assert server.wait("first") == "success", server.states("first")
    assert set(server.states("first").values()) == {"success"}
    assert sorted(started(repository, "first")).count("export") == len(TARGETS)
    assert server.xcom("first", "gate")["outcome"] == "accepted"
    assert server.xcom("first", "record") == "runs/first"
    params = yaml.safe_load(git(repository, "show", "runs/first:params.yaml"))
    assert (params["train"]["lr0"], params["train"]["momentum"]) == (0.02, 0.5)
    assert "dvc.lock" in git(repository, "ls-tree", "-r", "--name-only", "runs/first").splitlines()

    git(tmp_path, "clone", "--quiet", "--branch", "runs/first", str(repository), "elsewhere")
    subprocess.run([DVC, "pull", "--quiet"], cwd=tmp_path / "elsewhere", check=True)
    for file in ("data/split.parquet", "models/trained/weights.txt", "reports/report.html", "reports/release.json"):
        assert (tmp_path / "elsewhere" / file).read_text() == (workspace(server, "first") / file).read_text()


def test_second_run_remembers_the_first_and_does_nothing_twice(server: Server, repository: Path) -> None:
    server.trigger("second", FORM | {"train.lr0": 0.02, "params": {"train.momentum": 0.5}})
    assert server.wait("second") == "success"
    assert started(repository, "second") == []
    # A label more: the sides of the old ones are those of the first run.
    (repository / "samples" / "a-new-one.zip").write_text("labels")
    server.trigger("third", FORM)
    assert server.wait("third") == "success"
    sides = json.loads((workspace(server, "third") / "data" / "split.parquet").read_text())
    assert sides == {"belt.zip": 0, "a-new-one.zip": 1}


def test_two_runs_at_the_same_time_do_not_touch_each_other(server: Server, repository: Path) -> None:
    for run_id, rate in (("left", 0.11), ("right", 0.12)):
        server.trigger(run_id, FORM | {"train.lr0": rate})
    for run_id, rate in (("left", 0.11), ("right", 0.12)):
        assert server.wait(run_id) == "success"
        assert (workspace(server, run_id) / "models" / "trained" / "weights.txt").read_text() == str(rate)
        assert yaml.safe_load(git(repository, "show", f"runs/{run_id}:params.yaml"))["train"]["lr0"] == rate


def test_rejected_model_ends_the_run_red_at_publish_without_a_retry(server: Server, repository: Path) -> None:
    server.trigger("rejected", FORM | {"gate.rules": ["impossible"]})
    assert server.wait("rejected") == "failed"
    states = server.states("rejected")
    assert {task for task, state in states.items() if state == "failed"} == {"publish"}
    publish = next(task for task in server.tasks("rejected") if task["task_id"] == "publish")
    assert publish["try_number"] == 1
    assert "short by 0.2" in server.log("rejected", "publish")
    assert "**rejected**" in server.run("rejected")["note"]
    assert "short by 0.2" in server.run("rejected")["note"]
    assert git(repository, "rev-parse", "--verify", "runs/rejected")
    links = server.call("GET", "/dags/training/dagRuns/rejected/taskInstances/report/links")["extra_links"]
    page = request("GET", f"{server.address}{links['Report']}", headers={"Authorization": f"Bearer {server.token}"})
    assert page == "<h1>report</h1>"
    with pytest.raises(RefusedError) as refused:
        request("GET", f"{server.address}{links['Report']}")
    assert refused.value.status == 401


def test_killed_task_process_is_tried_again_and_goes_on_from_its_last_epoch(server: Server) -> None:
    server.trigger("killed", FORM | {"train.epochs": 60, "train.lr0": 0.21})
    wait_for(lambda: len(epochs(server, "killed")) > 3, 180)
    stage = psutil.Process(epochs(server, "killed")[-1][1])
    task = next(parent for parent in stage.parents() if "airflow" in " ".join(parent.cmdline()))
    task.kill()
    assert server.wait("killed") == "success"
    went_on_alone(epochs(server, "killed"), count=60, tries=2)


def test_task_marked_failed_stops_its_stage_within_seconds(server: Server) -> None:
    server.trigger("stopped", FORM | {"train.epochs": 600, "train.lr0": 0.22})
    wait_for(lambda: len(epochs(server, "stopped")) > 3, 180)
    pid = epochs(server, "stopped")[-1][1]
    server.call("PATCH", "/dags/training/dagRuns/stopped/taskInstances/train", {"new_state": "failed"})
    wait_for(lambda: not psutil.pid_exists(pid), 15)
    assert server.wait("stopped") == "failed"
    assert server.states("stopped")["record"] == "success"
    assert len({pid for _, pid in epochs(server, "stopped")}) == 1


def test_killed_scheduler_leaves_no_second_training_beside_the_first(server: Server) -> None:
    server.trigger("orphan", FORM | {"train.epochs": 150, "train.lr0": 0.23})
    wait_for(lambda: len(epochs(server, "orphan")) > 3, 180)
    component(server, "scheduler").kill()
    assert server.wait("orphan", 400) == "success"
    done = epochs(server, "orphan")
    went_on_alone(done, count=150, tries=len({pid for _, pid in done}))


def test_api_server_away_for_half_a_minute_does_not_stop_training(server: Server) -> None:
    server.trigger("away", FORM | {"train.epochs": 250, "train.lr0": 0.24})
    wait_for(lambda: len(epochs(server, "away")) > 3, 180)
    api = component(server, "api-server")
    api.suspend()
    time.sleep(30)
    api.kill()
    assert server.wait("away", 400) == "success"
    went_on_alone(epochs(server, "away"), count=250, tries=1)


def component(server: Server, name: str) -> psutil.Process:
    """A component's first process."""
    title = {"scheduler": "airflow scheduler", "api-server": "airflow api_server"}[name]
    children = psutil.Process(server.process.pid).children()
    return next(child for child in children if title in " ".join(child.cmdline()) or name in child.cmdline())


def test_changed_labels_start_training_and_unchanged_ones_nothing(server: Server, repository: Path) -> None:
    an_hour_ago = time.time() - 3600
    for file in (repository / "samples").iterdir():
        os.utime(file, (an_hour_ago, an_hour_ago))
    # It looks at once, and again every five minutes.
    server.call("PATCH", "/dags/labels", {"is_paused": False})
    run_id = wait_for(lambda: started_by_labels(server), 120)[0]
    assert server.wait(run_id) == "success"
    server.trigger("again", {}, dag_id="labels")
    assert server.wait("again", dag_id="labels") == "success"
    assert server.states("again", dag_id="labels") == {"watch": "skipped"}
    assert started_by_labels(server) == [run_id]


def started_by_labels(server: Server) -> list[str]:
    """Runs of training that the asset has started."""
    runs = server.call("GET", "/dags/training/dagRuns?limit=100")["dag_runs"]
    return [str(run["dag_run_id"]) for run in runs if run["run_type"] == "asset_triggered"]
