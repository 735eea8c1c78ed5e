"""The images that `make images` builds: what is in them and what is not, and that it starts without write access."""

import json
import subprocess
import tomllib
from typing import Any, cast

import pytest

from tests.fixtures.engine import need_engine
from tests.fixtures.repository import REPOSITORY

pytestmark = pytest.mark.slow

STAGES, AIRFLOW = "sightline/stages:latest", "sightline/airflow:latest"
# Locked down as stages are, and as a user that the image does not know.
LOCKED = ["--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "ALL", "--user", "1234:1234"]
TRAIN = """
import torch, cv2, openvino, onnxruntime, mlflow, optuna, psycopg, great_expectations, dvc_s3
from ultralytics import YOLO
model = YOLO("/code/tasks/detectors/architectures/yolo-micro.yaml")
loss = model.model.train()(torch.rand(1, 3, 64, 64))
"""
PROVIDERS = """
from airflow.providers.celery.executors.celery_executor import CeleryExecutor, app
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.docker.operators.docker import DockerOperator
import airflow.providers.postgres.hooks.postgres, airflow.providers.redis.hooks.redis
app.conf.update(broker_url="memory://", result_backend="cache+memory://", task_always_eager=True)
def seven():
    return 7
assert app.task(seven).delay().get() == 7
CeleryExecutor()
"""


@pytest.fixture(autouse=True)
def _engine() -> None:
    need_engine()


def inspected(image: str) -> dict[str, Any]:
    asked = subprocess.run(["docker", "image", "inspect", image], check=True, capture_output=True, text=True)
    return cast("dict[str, Any]", json.loads(asked.stdout)[0])


def run(image: str, *command: str, options: tuple[str, ...] = ()) -> str:
    """What a command prints in a locked down container."""
    done = subprocess.run(
        ["docker", "run", "--rm", *LOCKED, *options, image, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("image", [STAGES, AIRFLOW])
def test_image_says_what_it_was_built_from_and_does_not_run_as_root(image: str) -> None:
    config = inspected(image)["Config"]
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert config["Labels"]["org.opencontainers.image.version"] == version
    assert len(config["Labels"]["org.opencontainers.image.revision"]) == 40
    assert config["User"] not in {"", "0", "root"}


@pytest.mark.parametrize("image", [STAGES, AIRFLOW])
def test_image_holds_no_history_no_secret_and_no_installer(image: str) -> None:
    script = (
        "find / -xdev \\( -name .git -o -name .env \\) 2>/dev/null; find /opt /tmp -maxdepth 3 -name uv -o -name pip"
    )
    assert run(image, "sh", "-c", script) == ""
    names = {line.split("=")[0] for line in inspected(image)["Config"]["Env"]}
    assert [name for name in names if "SECRET" in name or "PASSWORD" in name or "KEY" in name] == []


def test_stages_train_in_a_container_where_only_tmp_can_be_written() -> None:
    code = ("--volume", f"{REPOSITORY}:/code:ro", "--env", "HOME=/tmp", "--env", "USER=stages")
    run(STAGES, "python", "-c", TRAIN, options=code)


def test_airflow_image_has_every_provider_working_and_nothing_of_the_stages() -> None:
    home = ("--tmpfs", "/opt/airflow:mode=1777")
    # As the official chart's probes call it.
    assert run(AIRFLOW, "/entrypoint", "airflow", "version", options=home).startswith("3.")
    run(AIRFLOW, "python", "-c", PROVIDERS, options=home)
    found = run(AIRFLOW, "sh", "-c", "ls /opt/venv/lib/python3*/site-packages", options=home).split()
    assert {"torch", "dvc", "ultralytics", "mlflow"} & set(found) == set()
