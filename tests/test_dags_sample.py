"""A whole training run on the sample scene, triggered by REST: real stages, real components, processes as runner."""

import json
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.airflow_server import REPOSITORY, airflow_server, request
from tests.airflow_stand_in import commit, git

pytestmark = pytest.mark.flows


def copy_of_this_repository(path: Path) -> Path:
    """What Git holds, or would hold, of the working tree, committed; and the sample scene drawn into it."""
    for name in git(REPOSITORY, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (REPOSITORY / name).is_file() and name != "dvc.lock" and not name.startswith("reports/"):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, path / name)
    commit(path, "Working tree")
    python = REPOSITORY / ".venv" / "bin" / "python"
    subprocess.run([python, "-m", "tasks.sample", "--to", "samples"], cwd=path, check=True, capture_output=True)
    return path


def test_sample_goes_from_labels_to_the_registry(tmp_path: Path) -> None:
    repository = copy_of_this_repository(tmp_path / "repository")
    form = {
        "tune.trials": 0,
        "train.epochs": 2,
        "export.targets": ["pytorch", "onnx"],
        "use_case.target": "onnx",
        "gate.rules": ["map50 >= 0"],
    }
    with airflow_server(repository, {}) as server:
        server.trigger("sample", form)
        assert server.wait("sample", 900) == "success", server.states("sample")
        verdict = server.xcom("sample", "gate")
        assert (verdict["accepted"], verdict["released"]) == (True, ["pytorch", "onnx"])
        links = server.call("GET", "/dags/training/dagRuns/sample/taskInstances/report/links")["extra_links"]
        page = request("GET", f"{server.address}{links['Report']}", headers={"Authorization": f"Bearer {server.token}"})
        assert "<html" in page
    assert yaml.safe_load(git(repository, "show", "runs/sample:params.yaml"))["train"]["epochs"] == 2
    release = json.loads(git(repository, "show", "runs/sample:reports/release.json"))
    with sqlite3.connect(repository / "mlflow.db") as store:
        held = store.execute("select name, version, storage_location from model_versions").fetchall()
    assert [(name, version) for name, version, _ in held] == [(release["model"], int(release["version"]))]
    # The model must outlive the run's workspace.
    assert Path(held[0][2]).is_relative_to(repository / "mlartifacts")
