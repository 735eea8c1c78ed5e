"""The folder of a site on one machine: logins, the variables of all components, and Airflow's database."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
# Marks the stages of this server, so that they are found whoever their parent is now. Airflow's own processes write
# their title over such marks; those are known by the session that their component leads.
MARK = "SIGHTLINE_SERVER"
CONNECTION = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
# Seconds that one waits for another's write. On a busy machine SQLite's own five pass while DAGs are stored, and who
# presses Trigger then gets an error of the server.
PATIENCE = 60
MIGRATION_FAILED = """
{database} is not whole, or of a newer Airflow. Bring back a copy of it, or move it away: a new one is made. Runs are
recorded in Git whatever becomes of it; their history on the page, and changes of pools and settings, go with it"""


def environment(home: Path, port: int, login: dict[str, str]) -> dict[str, str]:
    """The variables of all components."""
    address = f"http://127.0.0.1:{port}"
    settings = {
        "CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "CORE__PLUGINS_FOLDER": str(CHECKOUT / "dags" / "airflow_site" / "plugins"),
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": str(max(4, os.cpu_count() or 1)),
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": address,
        "API__WORKERS": "1",
        "API__SECRET_KEY": login["session"],
        "API_AUTH__JWT_SECRET": login["jwt"],
        "CORE__FERNET_KEY": "",
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "DATABASE__SQL_ALCHEMY_CONN": connection(home / "airflow.db"),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")}
    return {
        **inherited,
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        "AIRFLOW_HOME": str(home),
        # What every site shares; here stands what is this one's own.
        "AIRFLOW_CONFIG": str(CHECKOUT / "docker" / "airflow" / "airflow.cfg"),
        "PYTHONPATH": str(CHECKOUT / "dags"),
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        MARK: str(home),
    }


def connection(database: Path) -> str:
    """The URL of an embedded database."""
    return f"sqlite:///{database}?timeout={PATIENCE}"


def logins(home: Path) -> dict[str, str]:
    """Password and keys of this server: made once, readable by its user alone."""
    file = home / "logins.json"
    if not file.is_file() or not file.read_text().endswith("}"):
        # Not there, or cut short by a kill.
        write_whole(file, {name: secrets.token_urlsafe(24) for name in ("password", "session", "jwt")})
    login: dict[str, str] = json.loads(file.read_text())
    write_whole(home / "passwords.json", {"admin": login["password"]})
    return login


def write_whole(file: Path, content: object) -> None:
    """Write JSON whole or not at all: a kill halfway must not stop every later start."""
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(json.dumps(content))
    partial.replace(file)


def prepare(home: Path, variables: dict[str, str]) -> None:
    """Make or migrate the database, and the pool without which GPU stages would wait for ever."""
    database = home / "airflow.db"
    is_new = not database.is_file() or not database.stat().st_size
    if not is_new:
        run(home, variables, "db", "migrate", hint=MIGRATION_FAILED.format(database=database))
    else:
        # A new one is made aside: one half made by a kill could not be migrated.
        partial = home / ".airflow.db.partial"
        for left in home.glob(f"{partial.name}*"):
            left.unlink()
        for left in home.glob("airflow.db-*"):
            # Of a database that was taken away; it would be taken for a part of the new one.
            left.replace(home / f"left-of-{left.name}")
        aside = {CONNECTION: connection(partial)}
        run(home, variables | aside, "db", "migrate")
        partial.replace(database)
    # Slots that somebody has changed stay; each command takes seconds.
    if is_new or run(home, variables, "pools", "get", "gpu", check=False) != 0:
        run(home, variables, "pools", "set", "gpu", "1", "stages that train: one at a time per GPU")


def run(home: Path, variables: dict[str, str], *arguments: str, check: bool = True, hint: str = "") -> int:
    """Run an airflow command; what it says goes to its log. SystemExit if it fails."""
    with (home / "logs" / "prepare.log").open("ab") as log:
        code = subprocess.run(  # noqa: S603
            [BIN / "airflow", *arguments], env=variables, stdout=log, stderr=log, check=False
        ).returncode
    if check and code:
        sys.exit(f"airflow {' '.join(arguments)} failed, see {log.name}{hint}")
    return code
