"""The team's server of docker/: what it refuses, and a training on it with workers, one of which is killed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
import yaml

from tests.fixtures.airflow_server import RefusedError, request, wait_for
from tests.fixtures.airflow_site import epochs_in, tries_of
from tests.fixtures.airflow_stand_in import git
from tests.fixtures.compose_project import Team, compose_command, fill_in, team_server, write_settings
from tests.fixtures.engine import containers, need_engine
from tests.fixtures.repository import REPOSITORY

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DOCKER = REPOSITORY / "docker"
DVC = REPOSITORY / ".venv" / "bin" / "dvc"
# Training still goes on when Celery has noticed that its worker is gone.
EPOCHS = 600
TRAINS = {"search", "tune", "train"}
FORM: dict[str, object] = {
    "ingest.source": "s3://labels/exports",
    "export.targets": ["onnx"],
    "use_case.target": "onnx",
    "workers": 1,
    "train.epochs": EPOCHS,
}


def configuration(folder: Path, settings: dict[str, str], *files: str) -> subprocess.CompletedProcess[str]:
    """What compose makes of its files."""
    command = compose_command(write_settings(folder / ".env", settings), *(DOCKER / file for file in files))
    return subprocess.run([*command, "config"], capture_output=True, text=True, check=False)


@pytest.fixture
def complete() -> dict[str, str]:
    """Settings of a site with all secrets made."""
    need_engine()
    return fill_in((DOCKER / ".env.example").read_text(), {"SIGHTLINE_ORIGIN": ""})


def test_settings_of_a_site_reach_the_dags() -> None:
    sys.path.append(str(REPOSITORY / "dags"))
    from settings import read_settings  # noqa: PLC0415  # the folder is no package

    example = (DOCKER / ".env.example").read_text()
    site = fill_in(example, {"SIGHTLINE_KEEP_WORKSPACES": "3", "SIGHTLINE_KEEP_DAYS": "5", "SIGHTLINE_GPUS": "1"})
    service = yaml.safe_load((DOCKER / "airflow" / "service.yaml").read_text())["services"]["airflow"]
    settings = read_settings({name: filled(value, site) for name, value in service["environment"].items()})
    assert (settings.keep_workspaces, settings.keep_days, settings.gpus) == (3, 5, True)
    assert settings.workspaces == Path("/srv/sightline/workspaces")


def filled(value: str, site: dict[str, str]) -> str:
    """What compose makes of a value."""
    return re.sub(r"\$\{(\w+)(?::-(.*?))?(?::\?.*?)?\}", lambda name: site.get(name[1]) or name[2] or "", value)


def test_server_refuses_to_start_without_its_secrets(complete: dict[str, str], tmp_path: Path) -> None:
    texts = [(DOCKER / file).read_text() for file in ("compose.yaml", "compose.celery.yaml", "airflow/service.yaml")]
    example = (DOCKER / ".env.example").read_text()
    secrets = re.findall("(?m)^([A-Z0-9_]+)=$", example[example.index("# Secrets") :])
    assert len(secrets) == 8
    assert [name for name in secrets if f"${{{name}:?see .env.example}}" not in "".join(texts)] == []
    refused = configuration(tmp_path, complete | {"POSTGRES_PASSWORD": ""}, "compose.yaml")
    assert refused.returncode != 0
    assert "POSTGRES_PASSWORD" in refused.stderr


@pytest.mark.parametrize("files", [("compose.yaml",), ("compose.yaml", "compose.celery.yaml")], ids=["one", "celery"])
def test_only_loopback_is_published_and_nothing_may_gain_rights(
    complete: dict[str, str], files: tuple[str, ...], tmp_path: Path
) -> None:
    parsed = configuration(tmp_path, complete, *files)
    assert parsed.returncode == 0, parsed.stderr
    services = yaml.safe_load(parsed.stdout)["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 3
    # The old compose writes them as text, the new one as a mapping.
    addresses = [port["host_ip"] if isinstance(port, dict) else port.split(":")[0] for port in published]
    assert set(addresses) == {"127.0.0.1"}
    assert {name for name, service in services.items() if "security_opt" not in service} == {"folders"}
    with_socket = {name for name, service in services.items() if "docker.sock" in str(service.get("volumes"))}
    assert with_socket <= {"prepare", "scheduler", "worker-cpu", "worker-gpu"}


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A team's server with two workers."""
    need_engine()
    folder = tmp_path_factory.mktemp("team")
    with pytest.MonkeyPatch.context() as patch:
        # Git does not trust what belongs to others; root's tests look into what belongs to the server's user.
        (folder / "gitconfig").write_text("[safe]\n    directory = *\n")
        patch.setenv("GIT_CONFIG_GLOBAL", str(folder / "gitconfig"))
        with team_server(folder) as running:
            yield running


def epochs(team: Team) -> list[tuple[int, str]]:
    """Number and process of each epoch trained so far, as written."""
    return epochs_in(team.data / "workspaces" / "team")


def training_alone(team: Team) -> str:
    """The run's state once it is over; never are there two containers that train."""
    training = containers("sightline.attempt", "training/team/train/-1/")
    assert len([found for found in training if found["State"]["Running"]]) <= 1
    state = str(team.airflow.run("team")["state"])
    return state if state in {"success", "failed"} else ""


@pytest.mark.flows
def test_training_outlives_the_worker_that_it_began_on(team: Team) -> None:
    storage(team).put_object(Bucket="labels", Key="exports/belt.zip", Body=b"labels")
    team.airflow.trigger("team", FORM)
    wait_for(lambda: len(epochs(team)) > 3, 420)
    team.compose("exec", "-T", "worker-gpu", "sh", "-c", "kill -9 -1", check=False)
    # Each look starts the engine's command twice.
    assert wait_for(lambda: training_alone(team), 420, every=3) == "success", team.airflow.states("team")
    assert tries_of(epochs(team), EPOCHS) == 2
    tasks = team.airflow.tasks("team")
    assert {task["state"] for task in tasks} == {"success"}
    assert {task["task_id"]: task["try_number"] for task in tasks if task["try_number"] > 1} == {"train": 2}


@pytest.mark.flows
def test_both_tries_can_be_read(team: Team) -> None:
    for attempt in (1, 2):
        assert "epoch" in team.airflow.log("team", "train", attempt)


@pytest.mark.flows
def test_each_task_ran_on_its_queue(team: Team) -> None:
    hosts = {"cpu": team.container("worker-cpu")[:12], "gpu": team.container("worker-gpu")[:12]}
    for task in team.airflow.tasks("team"):
        queue = "gpu" if task["task_id"] in TRAINS else "cpu"
        assert (task["queue"], task["hostname"]) == (queue, hosts[queue]), task["task_id"]


@pytest.mark.flows
def test_branch_and_data_of_the_run_can_be_had_elsewhere(team: Team, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--branch", "runs/team", str(team.data / "repository"), "elsewhere")
    subprocess.run([DVC, "pull", "--quiet"], cwd=tmp_path / "elsewhere", env={**os.environ, **team.storage}, check=True)
    for file in ("data/raw/manifest.json", "models/trained/weights.txt", "reports/report.html"):
        assert (tmp_path / "elsewhere" / file).read_text() == (team.data / "workspaces" / "team" / file).read_text()


@pytest.mark.flows
def test_model_is_in_the_registry_and_its_files_in_the_storage(team: Team) -> None:
    mlflow = f"http://127.0.0.1:{team.settings['MLFLOW_PORT']}"
    assert "MLflow" in request("GET", f"{mlflow}/")
    assert '"version": "1"' in request("GET", f"{mlflow}/api/2.0/mlflow/model-versions/search")
    listed = storage(team).list_objects_v2(Bucket="mlflow")
    assert [found["Key"].rsplit("/", 1)[1] for found in listed["Contents"]] == ["weights.txt"]
    with pytest.raises(RefusedError):
        request("GET", f"{mlflow}/", headers={"Host": "elsewhere.example"})


@pytest.mark.flows
def test_push_changes_the_form_and_the_next_run(team: Team, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(team.data / "repository"), "mine")
    params = tmp_path / "mine" / "params.yaml"
    params.write_text(params.read_text().replace("seed: 7", "seed: 8"))
    git(tmp_path / "mine", "-c", "user.name=T", "-c", "user.email=t@localhost", "commit", "-qam", "Seed anew")
    git(tmp_path / "mine", "push", "--quiet", "origin", "HEAD")

    def default() -> bool:
        return bool(team.airflow.call("GET", "/dags/training/details")["params"]["seed"]["value"] == 8)

    wait_for(default, 120)


def storage(team: Team) -> "S3Client":
    """A client of the server's storage."""
    client: S3Client = boto3.client(
        "s3",
        endpoint_url=team.storage["AWS_ENDPOINT_URL"],
        region_name=team.storage["AWS_DEFAULT_REGION"],
        aws_access_key_id=team.storage["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=team.storage["AWS_SECRET_ACCESS_KEY"],
    )
    return client
