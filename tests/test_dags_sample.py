"""A whole training run on the sample scene, triggered by REST: real stages, real components, for each runner."""

import json
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml

from tests.airflow_server import REPOSITORY, Server, request
from tests.airflow_site import airflow_of
from tests.airflow_stand_in import commit, git
from tests.engine_fixture import need_engine

pytestmark = pytest.mark.flows
BIN = REPOSITORY / ".venv" / "bin"
FORM = {
    "tune.trials": 0,
    "workers": 0,
    "train.epochs": 2,
    "export.targets": ["pytorch", "onnx", "champion"],
    "use_case.target": "onnx",
    "gate.rules": ["map50 >= 0"],
    "params": {"evaluate.resamples": 100, "evaluate.latency_images": 20},
}


def copy_of_this_repository(path: Path) -> Path:
    """What Git would hold of the working tree, committed, with a DVC remote; the sample scene drawn into it."""
    for name in git(REPOSITORY, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (REPOSITORY / name).is_file() and name != "dvc.lock" and not name.startswith("reports/"):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, path / name)
    with (path / ".dvc" / "config").open("a") as config:
        config.write(f"    remote = storage\n['remote \"storage\"']\n    url = {path / '.cache' / 'remote'}\n")
    commit(path, "Working tree")
    draw = [str(BIN / "python"), "-m", "tasks.sample", "--to", "samples", "--images", "96"]
    subprocess.run(draw, cwd=path, check=True, capture_output=True)
    return path


@pytest.mark.parametrize("runner", ["process", "docker"])
def test_sample_goes_from_labels_to_the_registry(tmp_path: Path, runner: str) -> None:
    if runner == "docker":
        need_engine()
    with tempfile.TemporaryDirectory(prefix="sightline-") as folder:
        repository = copy_of_this_repository(Path(folder) / "repository")
        with airflow_of(repository, runner) as server:
            goes_green(server)
            is_registered(repository)
            is_the_same_elsewhere(repository, tmp_path)


def goes_green(server: Server) -> None:
    """A run triggered with a form of its own does every task, and shows its verdict and report."""
    server.trigger("sample", FORM)
    assert server.wait("sample", 900) == "success", server.states("sample")
    green = {task: state for task, state in server.states("sample").items() if state != "skipped"}
    assert set(green.values()) == {"success"}
    assert set(server.states("sample")) - set(green) == {"search"}
    verdict = server.xcom("sample", "gate")
    assert (verdict["accepted"], verdict["released"]) == (True, ["pytorch", "onnx"])
    links = server.call("GET", "/dags/training/dagRuns/sample/taskInstances/report/links")["extra_links"]
    page = request("GET", f"{server.address}{links['Report']}", headers={"Authorization": f"Bearer {server.token}"})
    assert "<html" in page


def is_registered(repository: Path) -> None:
    """The registry holds the model that the run's branch names, apart from the run's workspace."""
    assert yaml.safe_load(git(repository, "show", "runs/sample:params.yaml"))["train"]["epochs"] == 2
    release = json.loads(git(repository, "show", "runs/sample:reports/release.json"))
    with sqlite3.connect(f"file:{repository}/mlflow.db?mode=ro", uri=True) as store:
        held = store.execute("select name, version, storage_location from model_versions").fetchall()
    assert [(name, version) for name, version, _ in held] == [(release["model"], int(release["version"]))]
    assert Path(held[0][2]).is_relative_to(repository / "mlartifacts")


def is_the_same_elsewhere(repository: Path, folder: Path) -> None:
    """A clone of the run's branch gets all files of the run from the DVC remote, and DVC takes its stages for done."""
    clone = folder / "elsewhere"
    git(folder, "clone", "--quiet", "--branch", "runs/sample", str(repository), str(clone))
    subprocess.run([BIN / "dvc", "pull", "--quiet"], cwd=clone, check=True)
    workspace = repository / ".airflow" / "workspaces" / "sample"
    files = [file.relative_to(clone) for name in ("data", "models", "reports") for file in (clone / name).rglob("*")]
    assert {"data", "models", "reports"} == {file.parts[0] for file in files}
    for file in files:
        assert (clone / file).is_dir() or (clone / file).read_bytes() == (workspace / file).read_bytes(), file
    status = subprocess.run([BIN / "dvc", "status", "--json"], cwd=clone, check=True, capture_output=True).stdout
    # The labels are no part of the repository.
    assert json.loads(status) == {"ingest": [{"changed deps": {"samples": "deleted"}}]}
