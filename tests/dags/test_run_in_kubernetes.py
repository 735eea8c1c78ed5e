"""Tasks that run as pods: which pods of a run they leave alone, wait for, take over or end, and what they hand on."""

import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.dags.test_dags import RUN
from tests.fixtures.airflow_environment import probe
from tests.fixtures.airflow_stand_in import commit, git
from tests.fixtures.cluster import Cluster, running

pytestmark = pytest.mark.slow

# As the operator shortens the run's id for a label.
OF_RUN = {
    "app": "sightline",
    "dag_id": "training",
    "run_id": "manual__2026-01-01T0000000000-daff4c10d",
    "kubernetes_pod_operator": "True",
}
OF_TRAIN = {**OF_RUN, "sightline/network": "yes", "task_id": "train", "try_number": "1"}
STALE = '{"write": {"models/onnx": {"pid": 2, "cmd": "dvc repro export@onnx"}}}'


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A run's, with the locks of a DVC that was killed."""
    path = tmp_path / "workspaces" / RUN
    (path / ".git").mkdir(parents=True)
    (path / ".dvc" / "tmp").mkdir(parents=True)
    rwlock(path).write_text(STALE)
    return path


def rwlock(workspace: Path) -> Path:
    return workspace / ".dvc" / "tmp" / "rwlock"


def execute(cluster: Cluster, workspace: Path, *tasks: str, **variables: str) -> dict[str, Any]:
    """What tasks push or raise on a cluster."""
    site = {"SIGHTLINE_RUNNER": "kubernetes", "SIGHTLINE_WORKSPACES": str(workspace.parent), "TASKS": " ".join(tasks)}
    with running(cluster) as url:
        return probe("executed", workspace.parents[1], url, **site | variables)


def test_result_of_a_stage_is_handed_on(cluster: Cluster, workspace: Path) -> None:
    rule = {"rule": "map50 >= 0.6", "outcome": "accepted", "reason": "map50 is 0.7"}
    verdict = {"accepted": True, "outcome": "accepted", "target": "onnx", "reason": "map50 decides", "released": []}
    targets = {"onnx": {"outcome": "accepted", "rules": [rule]}}
    (workspace / "reports").mkdir()
    (workspace / "reports" / "verdict.json").write_text(json.dumps(verdict | {"targets": targets}))
    pushed = execute(cluster, workspace, "gate")["gate"]
    assert pushed["return_value"] == verdict | {"targets": {"onnx": "accepted"}, "rules": [rule]}


def test_result_of_a_detached_stage_is_read_from_the_branch(cluster: Cluster, workspace: Path, tmp_path: Path) -> None:
    release = {"model": "sightline", "version": "1"}
    (tmp_path / "repository" / "reports").mkdir(parents=True)
    (tmp_path / "repository" / "reports" / "release.json").write_text(json.dumps(release))
    commit(tmp_path / "repository", "Publish")
    git(tmp_path / "repository", "branch", f"runs/{RUN}")
    url = (tmp_path / "repository").as_uri()
    pushed = execute(cluster, workspace, "publish", SIGHTLINE_DETACHED="1", SIGHTLINE_REPOSITORY=url)["publish"]
    assert pushed["return_value"] == release
    # Not its to touch, wherever it lies.
    assert rwlock(workspace).read_text() == STALE


@pytest.mark.parametrize(("phase", "stays"), [("Pending", True), ("Running", True), ("Failed", False)])
def test_locks_of_a_killed_pod_go_unless_another_pod_of_the_run_is_alive(
    cluster: Cluster, workspace: Path, phase: str, *, stays: bool
) -> None:
    cluster.add("other-run", "Running", **OF_RUN | {"run_id": "other", "task_id": "export"})
    cluster.add("neighbour", phase, **OF_RUN, task_id="export", map_index="1")
    seen: list[bool] = []
    cluster.when_made = lambda: seen.append(rwlock(workspace).exists())
    execute(cluster, workspace, "export@onnx")
    assert seen == [stays]


def test_locks_of_a_stage_that_has_just_begun_stay(cluster: Cluster, workspace: Path) -> None:
    both_look, made, both_made = threading.Barrier(2), threading.Event(), threading.Event()

    def begin() -> None:
        """The first one takes its locks at once."""
        if made.is_set():
            both_made.set()
        else:
            rwlock(workspace).write_text("held")
            made.set()

    def answer(selector: str) -> None:
        """If both tasks look for pods of the run before there is any, one of them learns it only after the other."""
        if "task_id" not in selector:
            with suppress(threading.BrokenBarrierError):
                if both_look.wait(timeout=3):
                    made.wait(timeout=3)

    cluster.when_made, cluster.when_listed, cluster.when_read = begin, answer, lambda: both_made.wait(timeout=60)
    execute(cluster, workspace, "export@onnx", "export@pytorch")
    assert len(cluster.made) == 2
    assert rwlock(workspace).read_text() == "held"


def test_pod_that_goes_on_is_taken_over(cluster: Cluster, workspace: Path) -> None:
    cluster.add("earlier", "Running", **OF_TRAIN)
    assert execute(cluster, workspace, "train")["train"]["pod_name"] == "earlier"
    assert cluster.made == []
    assert rwlock(workspace).read_text() == STALE


def test_pod_that_is_being_deleted_is_not_taken_over_but_waited_for(cluster: Cluster, workspace: Path) -> None:
    cluster.add("earlier", "Running", **OF_TRAIN)
    cluster.delete("earlier")
    gone: list[bool] = []
    cluster.when_made = lambda: gone.append("earlier" not in cluster.pods)
    assert cluster.made == [execute(cluster, workspace, "train")["train"]["pod_name"]]
    assert gone == [True]


def test_task_in_a_workspace_that_was_swept_is_not_tried(cluster: Cluster, workspace: Path) -> None:
    workspace.rename(workspace.with_name("aside"))
    assert "was swept: clear the task `workspace`" in execute(cluster, workspace, "train")["train"]["raised"]
    assert cluster.made == []


def test_pods_of_a_run_have_ended_before_it_is_recorded(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add("ours", "Running", **OF_TRAIN)
    cluster.add("other-run", "Running", **OF_TRAIN | {"run_id": "other"})
    cluster.add("not-a-stage", "Running", run_id=OF_RUN["run_id"], dag_id="training")
    with running(cluster) as url:
        left = probe("ended", tmp_path, url, SIGHTLINE_RUNNER="kubernetes")
    assert left == {"pods": ["other-run", "not-a-stage"]}
