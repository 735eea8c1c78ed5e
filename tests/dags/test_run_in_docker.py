"""What containers on one machine have to agree on, with a real engine."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.fixtures.airflow_environment import probe
from tests.fixtures.airflow_server import wait_for
from tests.fixtures.airflow_site import epochs_in, tries_of
from tests.fixtures.airflow_stand_in import make_repository
from tests.fixtures.engine import IMAGE, USER_ID, hand_over, need_engine
from tests.fixtures.repository import REPOSITORY

pytestmark = pytest.mark.slow

HOLD = """
import pathlib, sys, time
from tasks.execution.work_folder import only_one
with only_one(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(folder: Path, seconds: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Hold a work folder in a container of its own."""
    mounts = [
        "--volume",
        f"{folder}:{folder}",
        "--volume",
        f"{REPOSITORY}:{REPOSITORY}:ro",
        "--workdir",
        str(REPOSITORY),
    ]
    limits = ["--rm", "--network", "none", "--user", str(USER_ID), *options]
    command = ["docker", "run", *limits, *mounts, IMAGE, "python", "-c", HOLD, str(folder), str(seconds)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_two_containers_cannot_train_in_one_folder_and_a_killed_one_frees_it(tmp_path: Path) -> None:
    need_engine()
    hand_over(tmp_path)
    first = hold(tmp_path, 60, "--detach").stdout.strip()
    try:
        wait_for(lambda: (tmp_path / "lock").is_file() and (tmp_path / "lock").read_text(), 30)
        second = hold(tmp_path, 0)
        assert second.returncode != 0
        assert "another process is at this very work" in second.stderr
    finally:
        subprocess.run(["docker", "kill", first], check=True, capture_output=True)
    assert hold(tmp_path, 0).stdout == "held\n"


def pod_on_a_shared_volume(workspace: Path, command: list[str]) -> str:
    """A container that is to the engine what a pod of that command is to a cluster; its id."""
    rights = ["--read-only", "--tmpfs=/tmp", f"--user={USER_ID}", "--network=none"]
    where = [f"--volume={workspace}:{workspace}", f"--workdir={workspace}"]
    where += ["--env=HOME=/tmp", "--env=DVC_SITE_CACHE_DIR=/tmp/dvc"]
    started = ["docker", "run", "--detach", *rights, *where, IMAGE, *command]
    return subprocess.run(started, capture_output=True, text=True, check=True).stdout.strip()


def test_stopped_pod_ends_its_stage_frees_the_workspace_and_goes_on_later(tmp_path: Path) -> None:
    need_engine()
    workspace = make_repository(tmp_path / "workspace")
    params = workspace / "params.yaml"
    params.write_text(params.read_text().replace("\n  epochs: ", "\n  epochs: 600  # "))
    hand_over(tmp_path)
    pod = probe("pods", tmp_path, SIGHTLINE_RUNNER="kubernetes")["train"]["pod"]
    # With the stages before it, which here have not run.
    command = [part for part in pod["spec"]["containers"][0]["command"] if part != "--single-item"]
    for attempt in (1, 2):
        assert stop_seconds(workspace, command, pod["spec"]["terminationGracePeriodSeconds"]) < 20
        journal = [json.loads(line) for line in (workspace / "journal.txt").read_text().splitlines()]
        assert journal[-1][:2] == ["train", "end"]
        assert json.loads((workspace / ".dvc" / "tmp" / "rwlock").read_text()) == {}
        done = epochs_in(workspace)
        assert tries_of(done, len(done)) == attempt


def stop_seconds(workspace: Path, command: list[str], grace: int) -> float:
    """How long a pod that trains takes to end once it is told to."""
    before = len(epochs_in(workspace))
    container = pod_on_a_shared_volume(workspace, command)
    try:
        wait_for(lambda: len(epochs_in(workspace)) > before + 3, 90)
        asked = time.monotonic()
        subprocess.run(["docker", "stop", "--time", str(grace), container], check=True, capture_output=True)
        return time.monotonic() - asked
    finally:
        subprocess.run(["docker", "rm", "--force", container], check=True, capture_output=True)
