"""The team's server of docker/ on stand-ins for what a registry would give, with stages that stand in for the real."""

import base64
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.airflow_server import REPOSITORY, Server, free_port, request, wait_for
from tests.airflow_stand_in import BODIES, STAGE, commit, make_repository
from tests.engine_fixture import USER_ID

STAND_INS = REPOSITORY / "tests" / "compose"
FILES = ("compose.yaml", "compose.celery.yaml", "airflow/service.yaml", ".env.example")
# Labels out of object storage, and a model in the team's registry.
INGEST = """
import boto3
bucket, _, prefix = params["ingest"]["source"].removeprefix("s3://").partition("/")
listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
write("data/raw/held.txt", "\\n".join(pathlib.Path(found["Key"]).name for found in listed))
"""
PUBLISH = """
import mlflow
mlflow.set_tracking_uri(params["tracking"]["uri"])
with mlflow.start_run() as run:
    mlflow.log_artifact("models/trained/weights.txt", "bundle")
client = mlflow.MlflowClient()
client.create_registered_model("sightline")
client.create_model_version("sightline", f"{run.info.artifact_uri}/bundle", run.info.run_id)
"""


@dataclass
class Team:
    """A running team's server."""

    airflow: Server
    data: Path
    command: list[str]  # docker compose with its files
    settings: dict[str, str]  # .env

    def compose(self, *arguments: str, check: bool = True) -> str:
        """What a docker compose command prints."""
        return subprocess.run([*self.command, *arguments], check=check, capture_output=True, text=True).stdout

    def container(self, service: str) -> str:
        """The id of a service's container, which is also its host name once cut to twelve digits."""
        return self.compose("ps", "--quiet", service).strip()

    @property
    def storage(self) -> dict[str, str]:
        """Variables by which a client on this machine reaches the storage."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.settings['S3_PORT']}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": self.settings["S3_ACCESS_KEY"],
            "AWS_SECRET_ACCESS_KEY": self.settings["S3_SECRET_KEY"],
        }


def compose_command(settings: Path, *files: Path) -> list[str]:
    """`docker compose`, or `docker-compose` where the engine is older than that; `settings` is the .env."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    chosen = [argument for file in files for argument in ("--file", str(file))]
    return [*(["docker", "compose"] if plugin else ["docker-compose"]), "--env-file", str(settings), *chosen]


def write_settings(file: Path, settings: dict[str, str]) -> Path:
    """Write an .env."""
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return file


def fill_in(example: str, values: dict[str, str]) -> dict[str, str]:
    """The settings of .env.example with `values`, and a secret for each that is empty."""
    lines = [line for line in example.splitlines() if line and not line.startswith("#")]
    settings = dict(line.split("=", 1) for line in lines) | values
    secret = {name for name, value in settings.items() if not value and name not in values}
    return settings | {name: base64.urlsafe_b64encode(os.urandom(32)).decode() for name in secret}


def team_repository(folder: Path) -> Path:
    """A stand-in repository as a team would clone it: with docker/ and without anything of one site."""
    path = make_repository(folder)
    for name in FILES:
        (path / "docker" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / "docker" / name, path / "docker" / name)
    shutil.copy(REPOSITORY / ".dvc" / "config", path / ".dvc" / "config")
    publish = BODIES["publish"].replace("write(out", f"{PUBLISH}\nwrite(out")
    for name, body in (("ingest", INGEST), ("publish", publish)):
        (path / "tasks" / f"{name}.py").write_text(STAGE.replace("{name}", name).replace("{body}", body))
    commit(path, "Take labels from storage and publish to the registry")
    return path


@contextmanager
def team_server(folder: Path) -> Iterator[Team]:
    """Build the stand-ins, bring everything up, give it once it is healthy, take it down; nothing of it may be left."""
    docker = team_repository(folder / "repository") / "docker"
    ports = {name: str(free_port()) for name in ("AIRFLOW_PORT", "MLFLOW_PORT", "S3_PORT")}
    project = f"sightline-test-{ports['AIRFLOW_PORT']}"
    settings = fill_in(
        (docker / ".env.example").read_text(),
        {
            **ports,
            "COMPOSE_PROJECT_NAME": project,
            "SIGHTLINE_DATA": str(folder / "data"),
            "SIGHTLINE_UID": str(os.getuid() or USER_ID),
            "SIGHTLINE_GID": str(os.getgid() or USER_ID),
            "DOCKER_GID": str(Path("/var/run/docker.sock").stat().st_gid),
            "SIGHTLINE_VERSION": "latest",
            "SIGHTLINE_ORIGIN": "",
        },
    )
    env = write_settings(docker / ".env", settings)
    build_stand_ins()
    files = (docker / "compose.yaml", docker / "compose.celery.yaml", STAND_INS / "stand-ins.yaml")
    command = compose_command(env, *files)
    with (folder / "up.log").open("w") as log:
        up = subprocess.Popen([*command, "up"], stdout=log, stderr=log, text=True, start_new_session=True)
    address = f"http://127.0.0.1:{ports['AIRFLOW_PORT']}"
    team = Team(Server(up, address, settings["AIRFLOW_ADMIN_PASSWORD"], folder), folder / "data", command, settings)
    try:
        wait_for(partial(is_ready, team), 420)
        yield team
    except TimeoutError as error:
        raise TimeoutError(f"{error}: {(folder / 'up.log').read_text()[-4000:]}") from error
    finally:
        # It would go on to start what another command takes down.
        up.kill()
        up.wait()
        team.compose("down", "--volumes", "--timeout", "5")
        # Databases belong to users of their own.
        owned = ["--user", "0", "--volume", f"{folder}:{folder}", "sightline/stand-ins"]
        said("docker", "run", "--rm", *owned, "rm", "-rf", f"{folder}/data")
    assert left_of(project) == []


def build_stand_ins() -> None:
    """From Debian's packages; the engine's cache knows them the second time."""
    arguments = shlex.split(os.environ.get("DOCKER_BUILD_ARGS", ""))
    named = ["--tag", "sightline/stand-ins", "--file", f"{STAND_INS}/Dockerfile"]
    said("docker", "build", *arguments, *named, f"{REPOSITORY}/tests")


def is_ready(team: Team) -> bool:
    """Whether the DAG is there, and MLflow's page and both workers are."""
    if team.airflow.process.poll() is not None:
        raise RuntimeError(f"it did not come up: {(team.airflow.home / 'up.log').read_text()[-4000:]}")
    request("GET", f"http://127.0.0.1:{team.settings['MLFLOW_PORT']}/health")
    log = (team.airflow.home / "up.log").read_text()
    return log.count("ready.") >= 2 and team.airflow.knows()


def left_of(project: str) -> list[str]:
    """Containers, networks and volumes of a compose project."""
    label = f"label=com.docker.compose.project={project}"
    kinds = (["ps", "--all"], ["network", "ls"], ["volume", "ls"])
    return [line for kind in kinds for line in said("docker", *kind, "--quiet", "--filter", label).split()]


def said(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
