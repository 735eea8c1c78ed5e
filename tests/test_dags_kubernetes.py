"""Tasks that run as pods, on a cluster that stands in."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.airflow_fixture import probe
from tests.airflow_stand_in import commit, git
from tests.cluster_fixture import Cluster, running
from tests.test_dags import RUN

# As the operator shortens the run's id for a label.
OF_RUN = {
    "app": "sightline",
    "dag_id": "training",
    "run_id": "manual__2026-01-01T0000000000-daff4c10d",
    "kubernetes_pod_operator": "True",
}
OF_TRAIN = {**OF_RUN, "sightline/network": "yes", "task_id": "train", "try_number": "1"}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A run's."""
    path = tmp_path / "workspaces" / RUN
    (path / ".git").mkdir(parents=True)
    return path


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


def test_pod_that_goes_on_is_taken_over(cluster: Cluster, workspace: Path) -> None:
    cluster.add("earlier", "Running", **OF_TRAIN)
    assert execute(cluster, workspace, "train")["train"]["pod_name"] == "earlier"
    assert cluster.made == []


def test_pod_that_is_being_deleted_is_not_taken_over_but_waited_for(cluster: Cluster, workspace: Path) -> None:
    cluster.add("earlier", "Running", **OF_TRAIN)
    cluster.delete("earlier")
    gone: list[bool] = []
    cluster.when_made = lambda: gone.append("earlier" not in cluster.pods)
    assert cluster.made == [execute(cluster, workspace, "train")["train"]["pod_name"]]
    assert gone == [True]
