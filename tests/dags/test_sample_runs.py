"""A whole run on the sample scene, triggered by REST: real stages in containers, beside those that stand in."""

import json
import sqlite3
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.fixtures.airflow_sample import BRANCH, SOURCE
from tests.fixtures.airflow_server import Server, request
from tests.fixtures.airflow_site import Site
from tests.fixtures.airflow_stand_in import git
from tests.fixtures.repository import REPOSITORY

pytestmark = [pytest.mark.flows, pytest.mark.parametrize("site", ["docker"], indirect=True)]
FORM = {
    "revision": BRANCH,
    "ingest.source": SOURCE,
    "tune.trials": 0,
    "workers": 0,
    "train.epochs": 2,
    "export.targets": ["pytorch", "onnx", "champion"],
    "use_case.target": "onnx",
    "gate.rules": ["map50 >= 0"],
    "params": {"evaluate.resamples": 100, "evaluate.latency_images": 20},
}


def test_sample_goes_from_labels_to_the_registry_in_containers(site: Site, tmp_path: Path) -> None:
    goes_green(site.server, "sample")
    is_registered(site.repository, "sample")
    is_the_same_elsewhere(site, "sample", tmp_path)


def goes_green(server: Server, run_id: str) -> None:
    """A run triggered with a form of its own does every task, and shows its verdict and report."""
    server.trigger(run_id, FORM)
    assert server.wait(run_id, 900) == "success", (server.states(run_id), server.run(run_id)["note"])
    green = {task: state for task, state in server.states(run_id).items() if state != "skipped"}
    assert set(green.values()) == {"success"}
    assert set(server.states(run_id)) - set(green) == {"search"}
    verdict = server.xcom(run_id, "gate")
    assert (verdict["accepted"], verdict["released"]) == (True, ["pytorch", "onnx"])
    links = server.call("GET", f"/dags/training/dagRuns/{run_id}/taskInstances/report/links")["extra_links"]
    page = request("GET", f"{server.address}{links['Report']}", headers={"Authorization": f"Bearer {server.token}"})
    assert "<html" in page


def is_registered(repository: Path, run_id: str) -> None:
    """The registry holds one model, which the run's branch names, apart from the run's workspace."""
    assert yaml.safe_load(git(repository, "show", f"runs/{run_id}:params.yaml"))["train"]["epochs"] == 2
    release = json.loads(git(repository, "show", f"runs/{run_id}:reports/release.json"))
    with sqlite3.connect(f"file:{repository}/mlflow.db?mode=ro", uri=True) as store:
        held = store.execute("select name, version, storage_location from model_versions").fetchall()
    assert [(name, version) for name, version, _ in held] == [(release["model"], int(release["version"]))]
    assert Path(held[0][2]).is_relative_to(repository / "mlartifacts")


def is_the_same_elsewhere(site: Site, run_id: str, folder: Path) -> None:
    """A clone of the run's branch gets all files of the run from the DVC remote, and DVC takes its stages for done."""
    dvc, clone, workspace = REPOSITORY / ".venv" / "bin" / "dvc", folder / "elsewhere", site.workspace(run_id)
    git(folder, "clone", "--quiet", "--branch", f"runs/{run_id}", str(site.repository), str(clone))
    subprocess.run([dvc, "pull", "--quiet"], cwd=clone, check=True)
    files = [file.relative_to(clone) for name in ("data", "models", "reports") for file in (clone / name).rglob("*")]
    assert {"data", "models", "reports"} == {file.parts[0] for file in files}
    for file in files:
        assert (clone / file).is_dir() or (clone / file).read_bytes() == (workspace / file).read_bytes(), file
    status = subprocess.run([dvc, "status", "--json"], cwd=clone, check=True, capture_output=True).stdout
    # The labels are no part of the repository.
    assert json.loads(status) == {"ingest": [{"changed deps": {SOURCE: "deleted"}}]}
