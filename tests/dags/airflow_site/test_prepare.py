"""The team's server before its first start: its repository is there whole, however often making it was broken off."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.fixtures.airflow_stand_in import commit, git, make_repository
from tests.fixtures.repository import REPOSITORY

pytestmark = pytest.mark.slow

MAKE = (
    "import pathlib, sys; from prepare import make_repository; make_repository(pathlib.Path(sys.argv[1]), sys.argv[2])"
)
# Stands before Git, and kills whoever calls it once a call of the given number has ended.
KILLING = """#!/bin/sh
echo >>{calls}
{git} "$@"
code=$?
[ $(wc -l <{calls}) = {number} ] && kill -9 $PPID
exit $code
"""


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A team's checkout as it comes: tracking and labels on this machine, no DVC remote."""
    path = make_repository(tmp_path / "origin")
    shutil.copy(REPOSITORY / ".dvc" / "config", path / ".dvc" / "config")
    commit(path, "Know no remote")
    return path


def make(path: Path, origin: Path, programs: str = "") -> int:
    """Make the server's repository in a process of its own; how that ended."""
    variables = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{REPOSITORY}/dags:{REPOSITORY}/dags/airflow_site",
    }
    command = [sys.executable, "-c", MAKE, str(path), str(origin)]
    return subprocess.run(command, env=variables, capture_output=True, check=False).returncode


@pytest.mark.parametrize("number", range(1, 6), ids=["clone", "config", "status", "commit", "reset"])
def test_repository_that_was_broken_off_is_made_whole_by_the_next_start(
    number: int, origin: Path, tmp_path: Path
) -> None:
    path, killing = tmp_path / "repository", tmp_path / "killing"
    path.mkdir()
    killing.mkdir()
    script = KILLING.format(calls=tmp_path / "calls", number=number, git=shutil.which("git"))
    (killing / "git").write_text(script)
    (killing / "git").chmod(0o755)
    assert make(path, origin, str(killing)) == -9
    assert make(path, origin) == 0
    assert git(path, "status", "--porcelain") == ""
    assert not (path / ".partial").exists()
    params = yaml.safe_load((path / "params.yaml").read_text())
    assert (params["tracking"]["uri"], params["ingest"]["source"]) == ("http://mlflow:5000", "s3://labels/exports")
    assert "url = s3://dvc" in (path / ".dvc" / "config").read_text()
    git(tmp_path, "clone", "--quiet", str(path), "mine")
    (tmp_path / "mine" / "new.txt").write_text("new")
    commit(tmp_path / "mine", "Add something")
    git(tmp_path / "mine", "push", "--quiet", "origin", "HEAD")
    assert (path / "new.txt").read_text() == "new"


def test_repository_that_is_there_stays_as_it_is(origin: Path, tmp_path: Path) -> None:
    path = tmp_path / "repository"
    path.mkdir()
    assert make(path, origin) == 0
    before = git(path, "rev-parse", "HEAD")
    (path / "params.yaml").write_text("changed: by hand")
    assert make(path, origin) == 0
    assert (git(path, "rev-parse", "HEAD"), (path / "params.yaml").read_text()) == (before, "changed: by hand")
