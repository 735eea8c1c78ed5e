"""A Docker engine with the image of the stages, for tests of containers."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

from tests.needs import lacking

IMAGE = "sightline/stages:latest"
# Of the image's user; tests that root runs hand their folders over to it.
USER_ID = 1000


def has_engine() -> bool:
    """Whether there is an engine with the image."""
    asked = ["docker", "image", "inspect", IMAGE]
    return bool(shutil.which("docker")) and subprocess.run(asked, capture_output=True, check=False).returncode == 0


def need_engine() -> None:
    """Skip the test where there is no engine with the image; fail in CI."""
    if not has_engine():
        lacking("container tests need a Docker engine and `make images`")


def hand_over(folder: Path) -> None:
    """Give a folder of root's to the user that containers run as."""
    if os.getuid() == 0:
        subprocess.run(["chown", "--recursive", f"{USER_ID}:{USER_ID}", folder], check=True)


def containers(label: str, value: str) -> list[dict[str, Any]]:
    """All that the engine says of the containers with a label, running or not."""
    listed = ["docker", "ps", "--all", "--quiet", "--filter", f"label={label}={value}"]
    ids = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    # One of them may be gone by now, which is an error beside the answer.
    asked = subprocess.run(["docker", "inspect", *ids], check=False, capture_output=True, text=True)
    return cast("list[dict[str, Any]]", json.loads(asked.stdout or "[]"))
