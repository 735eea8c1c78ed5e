"""MLflow's store gets the schema of the installed MLflow before a page is served from it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
import yaml
from alembic import command
from alembic.script import ScriptDirectory
from mlflow.exceptions import MlflowException
from mlflow.store.db import utils as mlflow_database

from tests.fixtures.airflow_server import free_port
from tests.fixtures.repository import REPOSITORY

# Stands in for mlflow, says what it was asked for and makes the store that it is to upgrade.
MLFLOW = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/asked.txt"
case "$1" in db) echo tables >"${3#sqlite:///}" ;; esac
[ "$1" != "$FAILING" ]
"""


def make_older(uri: str) -> None:
    """A store as the version before the newest schema has left it."""
    config = mlflow_database._get_alembic_config(uri)
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_revision("head")
    assert newest is not None
    engine = sqlalchemy.create_engine(uri)
    mlflow_database.InitialBase.metadata.create_all(engine)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, str(newest.down_revision))
    with pytest.raises(MlflowException, match="out-of-date database schema"):
        mlflow_database._verify_schema(engine)


@pytest.mark.slow
@pytest.mark.parametrize("older", [True, False], ids=["store of an older version", "new store"])
def test_server_of_a_team_upgrades_the_store_before_it_serves_it(older: bool, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    if older:
        make_older(uri)
    services = yaml.safe_load((REPOSITORY / "docker" / "compose.yaml").read_text())["services"]
    awaited = services["mlflow"]["depends_on"]
    assert awaited == {"mlflow-upgrade": {"condition": "service_completed_successfully"}}
    upgrade = services["mlflow-upgrade"]
    assert (
        upgrade["environment"]["MLFLOW_BACKEND_STORE_URI"]
        == services["mlflow"]["environment"]["MLFLOW_BACKEND_STORE_URI"]
    )
    assert "POSTGRES_PASSWORD" not in str(upgrade["command"])
    python, *arguments = upgrade["command"]
    assert python == "python"
    variables = {**os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    subprocess.run([sys.executable, *arguments], env=variables, check=True, capture_output=True)
    mlflow_database._verify_schema(sqlalchemy.create_engine(uri))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with an environment whose mlflow stands in."""
    requirements = ("docker/stages/requirements.txt", "docker/stages/overrides.txt")
    for file in (*requirements, "tasks/command/sightline.py", "Makefile", "pyproject.toml"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / file, tmp_path / file)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    mlflow = tmp_path / ".venv" / "bin" / "mlflow"
    mlflow.write_text(MLFLOW)
    mlflow.chmod(0o755)
    (tmp_path / ".venv" / "stages").touch()
    return tmp_path


def page_of_airflow(checkout: Path) -> list[str]:
    """The command by which `make airflow` serves the page, as that checkout has it."""
    site = checkout / "dags" / "airflow_site"
    shutil.copytree(REPOSITORY / "dags" / "airflow_site", site, ignore=shutil.ignore_patterns("__pycache__"))
    asked = f"import json, standalone; print(json.dumps(standalone.mlflow_command({free_port()})))"
    command: list[str] = json.loads(subprocess.check_output([sys.executable, "-c", asked], cwd=site))
    return command


@pytest.mark.parametrize("by", ["make tracking", "make airflow"])
@pytest.mark.parametrize("failing", ["", "db"], ids=["made", "failed"])
@pytest.mark.parametrize("there", [True, False], ids=["old store", "new store"])
def test_embedded_store_is_made_whole_or_upgraded_before_its_page_is_served(
    checkout: Path, by: str, failing: str, there: bool
) -> None:
    if there:
        (checkout / "mlflow.db").write_text("older tables")
    served = by.split() if by == "make tracking" else page_of_airflow(checkout)
    subprocess.run(served, cwd=checkout, env={**os.environ, "FAILING": failing}, check=False, capture_output=True)
    asked = (checkout / ".venv" / "bin" / "asked.txt").read_text().splitlines()
    first = Path(asked[0].removeprefix("db upgrade sqlite:///"))
    assert first.name == ("mlflow.db" if there else ".mlflow.db.new")
    assert [line.split(" --host")[0].rpartition("/")[2] for line in asked[1:]] == ([] if failing else ["mlflow.db"])
    assert (checkout / "mlflow.db").exists() == (there or not failing)
