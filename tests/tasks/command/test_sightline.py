"""The command `sightline`, built and installed as `make` does it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.repository import REPOSITORY

pytestmark = pytest.mark.slow

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder it is installed in, alone."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in ("pyproject.toml", "README.md", "tasks/command/sightline.py"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, source / name)
    uv = Path(sys.executable).with_name("uv")
    options = ["--offline", "--no-deps", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([uv, "pip", "install", *options, "--target", site, source], check=True)
    return site


def sightline(installed: Path, folder: Path, *words: str) -> Done:
    return called(folder, str(installed / "bin" / "sightline"), *words, PYTHONPATH=str(installed))


def called(folder: Path, *command: str, **variables: str) -> Done:
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with other code than this repository's: its stages write down what they were called with."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").write_text('"""Stages.\n\ntrain    another training\npublish  says\n"""\n')
    for name in ("train", "publish"):
        (tmp_path / "tasks" / f"{name}.py").write_text("import json, sys\nprint(json.dumps(sys.argv))\nsys.exit(7)\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["gate", "--help"], 0, id="manual"),
        pytest.param(["gate", "--params", "nowhere.yaml", "--verdict", "verdict.json"], 2, id="fault of the user"),
    ],
)
def test_stage_says_and_ends_as_it_does_by_its_module(installed: Path, words: list[str], code: int) -> None:
    name, *options = words
    by_module = called(REPOSITORY, sys.executable, "-m", f"tasks.{name}", *options)
    by_command = sightline(installed, REPOSITORY, *words)
    assert (by_command.returncode, by_command.stdout, by_command.stderr) == (
        by_module.returncode,
        by_module.stdout,
        by_module.stderr,
    )
    assert by_command.returncode == code


def test_code_that_runs_is_that_of_the_folder(installed: Path, workspace: Path) -> None:
    done = sightline(installed, workspace, "train", "--raw", "a b")
    assert json.loads(done.stdout) == [str(workspace / "tasks" / "train.py"), "--raw", "a b"]
    assert done.returncode == 7


def test_rollback_is_an_option_of_publish(installed: Path, workspace: Path) -> None:
    done = sightline(installed, workspace, "rollback", "3", "--why", "misses cracks")
    assert json.loads(done.stdout)[1:] == ["--rollback", "3", "--why", "misses cracks"]
    turned = sightline(installed, workspace, "rollback", "--why", "misses cracks", "3")
    assert json.loads(turned.stdout)[1:] == ["--rollback", "3", "--why", "misses cracks"]
    assert json.loads(sightline(installed, workspace, "rollback", "--help").stdout)[1:] == ["--help"]


@pytest.mark.parametrize("words", [[], ["--help"]], ids=["alone", "help"])
def test_list_has_the_stages_of_the_folder_in_their_order(installed: Path, workspace: Path, words: list[str]) -> None:
    said = sightline(installed, workspace, *words)
    assert re.search(r"train +another training\n +publish +says\n +rollback ", said.stdout + said.stderr)


def test_unknown_command_is_told_with_the_nearest(installed: Path, workspace: Path) -> None:
    done = sightline(installed, workspace, "trian")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such command 'trian'. Did you mean 'train'?" in done.stderr


def test_folder_without_a_pipeline_is_told(installed: Path, tmp_path: Path) -> None:
    done = sightline(installed, tmp_path, "train")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: no tasks/ in {tmp_path}. Change to the folder of the pipeline, where dvc.yaml is\n"
