"""Make what a team's server lacks: databases, the pool of GPUs, buckets, the repository, the first login.

Runs before Airflow's components do, and does nothing that is done already.

Example: python dags/airflow_site/prepare.py
"""

import json
import logging
import os
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import boto3
from git_command import AUTHOR, git
from params_file import write_params, yaml
from sqlalchemy import create_engine, text

log = logging.getLogger(__name__)

# Of labels to take in, of DVC's data and of MLflow's artefacts.
BUCKETS = ("labels", "dvc", "mlflow")
# What the pipeline as it is shipped has for one machine, and what this server has for it.
EMBEDDED = {"tracking.uri": "sqlite:///mlflow.db", "ingest.source": "samples"}
SERVED = {"tracking.uri": "http://mlflow:5000", "ingest.source": "s3://labels/exports"}


def make_database(url: str, name: str) -> None:
    """A database beside that of `url`, if there is none of the name."""
    with create_engine(url, isolation_level="AUTOCOMMIT").connect() as server:
        if not server.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}):
            server.execute(text(f'CREATE DATABASE "{name}"'))
            log.info("made database %s", name)


def migrate() -> None:
    """Bring Airflow's database to this version, and make the pool without which GPU stages would wait for ever."""
    subprocess.run(["airflow", "db", "migrate"], check=True)  # noqa: S607
    # Reads the site's settings at import, and its tables are there only now.
    from airflow.models.pool import Pool  # noqa: PLC0415

    # Slots that somebody has changed stay.
    if Pool.get_pool("gpu") is None:
        description = "stages that train: one at a time per GPU"
        Pool.create_or_update_pool("gpu", slots=1, description=description, include_deferred=False)
        log.info("made pool gpu")


def make_buckets() -> None:
    """The buckets that are missing; server and keys come from the AWS_* variables."""
    storage = boto3.client("s3")
    there = {bucket["Name"] for bucket in storage.list_buckets()["Buckets"]}
    for name in BUCKETS:
        if name not in there:
            storage.create_bucket(Bucket=name)
            log.info("made bucket %s", name)


def make_repository(path: Path, origin: str) -> None:
    """Clone what runs are made of and recorded in, once, and point it at this server.

    It is a checkout, as Airflow reads its DAGs and the form's defaults from it; a push to its branch updates both.
    """
    # Within the folder, which is a mount of its own that nothing can be renamed to. Another one was killed there.
    partial = path / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    if (path / ".git").is_dir():
        return
    git("clone", "--quiet", "--", origin, str(partial), cwd=path)
    git("config", "receive.denyCurrentBranch", "updateInstead", cwd=partial)
    params = yaml.load(partial / "params.yaml")
    embedded = [name for name, value in EMBEDDED.items() if _value(params, name) == value]
    if embedded:
        write_params(partial / "params.yaml", {name: SERVED[name] for name in embedded})
    set_remote(partial / ".dvc" / "config")
    if git("status", "--porcelain", "--untracked-files=no", cwd=partial):
        git(*AUTHOR, "commit", "--quiet", "--all", "--message", "Point the pipeline at this server", cwd=partial)
    git(f"--work-tree={path}", "reset", "--quiet", "--hard", cwd=partial)
    # Last: the folder is a repository now, and a whole one.
    (partial / ".git").rename(path / ".git")
    shutil.rmtree(partial)
    log.info("cloned %s, now at %s", origin, git("rev-parse", "HEAD", cwd=path))


def set_remote(file: Path) -> None:
    """Give DVC this server's storage as its remote, if it has none."""
    config = ConfigParser(interpolation=None)
    config.read(file)
    if not config.get("core", "remote", fallback=""):
        config.read_dict({"core": {"remote": "storage"}, "'remote \"storage\"'": {"url": "s3://dvc"}})
        with file.open("w") as opened:
            config.write(opened)


def _value(params: object, dotted: str) -> object:
    for part in dotted.split("."):
        params = params[part]  # type: ignore[index]
    return params


def set_password(file: Path, password: str) -> None:
    """Give user admin this password; those of others stay, and a user without one gets it from Airflow."""
    logins = json.loads(file.read_text() or "{}") if file.is_file() else {}
    if logins.get("admin") == password:
        return
    partial = file.with_name(f".{file.name}.partial")
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(logins | {"admin": password}))
    partial.replace(file)
    log.info("set the password of admin")


def main() -> None:
    """Make everything, as the variables of docker/airflow/service.yaml say."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    variables = os.environ
    make_repository(Path(variables["SIGHTLINE_REPOSITORY"]), variables["SIGHTLINE_ORIGIN"])
    make_buckets()
    make_database(variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], "mlflow")
    migrate()
    set_password(
        Path(variables["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]), variables["AIRFLOW_ADMIN_PASSWORD"]
    )


if __name__ == "__main__":
    main()
