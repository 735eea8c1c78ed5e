"""Whole runs on the sample scene, triggered by REST: real stages and components, for each runner in turn."""

import json
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.airflow_server import REPOSITORY, Server, request
from tests.airflow_site import airflow_of
from tests.airflow_stand_in import commit, git
from tests.engine_fixture import has_engine, need_engine

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


@pytest.fixture(scope="module")
def repository() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sightline-") as folder:
        yield copy_of_this_repository(Path(folder) / "repository")


def test_sample_goes_from_labels_to_the_registry_in_containers(repository: Path, tmp_path: Path) -> None:
    need_engine()
    with airflow_of(repository, "docker") as server:
        goes_green(server, "sample", FORM)
        is_registered(repository, "sample")
        is_the_same_elsewhere(repository, "sample", tmp_path)


def test_processes_go_on_with_what_containers_have_made(repository: Path, tmp_path: Path) -> None:
    form = FORM | {"gate.rules": ["map50 >= 0", "size <= 50 MB"]}
    with airflow_of(repository, "process") as server:
        goes_green(server, "again", form)
        made = {stage: "Running stage" in server.log("again", stage) for stage in ("check", "train", "gate", "publish")}
        # Where there is no engine nothing was made before.
        before = has_engine()
        assert made == {"check": not before, "train": not before, "gate": True, "publish": True}
        # What was judged by other rules is the same model.
        is_registered(repository, "again")
        is_the_same_elsewhere(repository, "again", tmp_path)


def goes_green(server: Server, run_id: str, form: dict[str, object]) -> None:
    """A run triggered with a form of its own does every task, and shows its verdict and report."""
    server.trigger(run_id, form)
    assert server.wait(run_id, 900) == "success", server.states(run_id)
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


def is_the_same_elsewhere(repository: Path, run_id: str, folder: Path) -> None:
    """A clone of the run's branch gets all files of the run from the DVC remote, and DVC takes its stages for done."""
    clone = folder / "elsewhere"
    git(folder, "clone", "--quiet", "--branch", f"runs/{run_id}", str(repository), str(clone))
    subprocess.run([BIN / "dvc", "pull", "--quiet"], cwd=clone, check=True)
    workspace = repository / ".airflow" / "workspaces" / run_id
    files = [file.relative_to(clone) for name in ("data", "models", "reports") for file in (clone / name).rglob("*")]
    assert {"data", "models", "reports"} == {file.parts[0] for file in files}
    for file in files:
        assert (clone / file).is_dir() or (clone / file).read_bytes() == (workspace / file).read_bytes(), file
    status = subprocess.run([BIN / "dvc", "status", "--json"], cwd=clone, check=True, capture_output=True).stdout
    # The labels are no part of the repository.
    assert json.loads(status) == {"ingest": [{"changed deps": {"samples": "deleted"}}]}
