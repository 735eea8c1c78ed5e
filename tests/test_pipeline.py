"""The whole pipeline by `dvc repro`, small: labels to a registered model, and only what has changed runs again."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow


def environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def stages_run(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def change_params(folder: Path, changes: dict[str, dict[str, object]]) -> None:
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for section, values in changes.items():
        params[section].update(values)
    path.write_text(yaml.safe_dump(params, sort_keys=False))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    tracked = run(REPOSITORY, "git", "ls-files", "tasks", ".dvc", ".gitignore", "dvc.yaml", "params.yaml")
    for name in tracked.stdout.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, folder / name)
    run(folder, "git", "init", "--quiet")
    change_params(
        folder,
        {
            "use_case": {"target": "onnx"},
            "tune": {"trials": 0},
            "train": {"epochs": 1},
            "export": {"targets": ["pytorch", "onnx", "champion"]},
            "evaluate": {"resamples": 100, "latency_images": 20},
            "gate": {"rules": ["size <= 50 MB"]},
        },
    )
    drawn = run(folder, "python", "-m", "tasks.sample", "--to", "samples", "--images", "96")
    assert drawn.returncode == 0, drawn.stderr
    done = run(folder, "dvc", "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_labels_become_a_registered_champion(checkout: Path) -> None:
    release = json.loads((checkout / "reports" / "release.json").read_text())
    assert (release["version"], release["alias"]) == ("1", "champion")
    assert release["targets"] == ["onnx", "pytorch"]
    assert (checkout / "reports" / "report.html").stat().st_size > 50_000


def test_second_repro_does_nothing(checkout: Path) -> None:
    done = run(checkout, "dvc", "repro")
    assert "Data and pipelines are up to date" in done.stdout
    assert stages_run(done.stdout) == []


def test_rejection_stops_at_publish_and_says_what_fell_short(checkout: Path) -> None:
    before = (checkout / "dvc.lock").read_bytes()
    change_params(checkout, {"gate": {"rules": ["size <= 0.01 MB"]}})
    done = run(checkout, "dvc", "repro")
    assert done.returncode != 0
    assert stages_run(done.stdout) == ["gate", "report", "publish"]
    assert "onnx is rejected and not published" in done.stderr
    assert "short by" in done.stderr
    assert "ejected" in (checkout / "reports" / "report.html").read_text()
    assert (checkout / "dvc.lock").read_bytes() != before
