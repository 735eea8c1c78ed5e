"""What containers on one machine have to agree on, with a real engine."""

import subprocess
from pathlib import Path

from tests.airflow_server import wait_for
from tests.engine_fixture import IMAGE, USER_ID, hand_over, need_engine

REPOSITORY = Path(__file__).resolve().parents[1]
HOLD = """
import pathlib, sys, time
from tasks.contracts.work import only_one
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
