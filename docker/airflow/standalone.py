"""Airflow on one machine: api-server, scheduler, dag-processor and MLflow's page on loopback, with embedded databases.

Everything lies in .airflow/ of the checkout. Ctrl-C or SIGTERM stops all of it; a component that dies is started again.

Example: make airflow
"""

import argparse
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
# Marks the stages of this server, so that they are found whoever their parent is now. Airflow's own processes write
# their title over such marks; those are known by the session that their component leads.
MARK = "SIGHTLINE_SERVER"
LEADERS = "components.json"
CONNECTION = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
MIGRATION_FAILED = """
{database} is not whole, or of a newer Airflow. Bring back a copy of it, or move it away: a new one is made. Runs are
recorded in Git whatever becomes of it; their history on the page, and changes of pools and settings, go with it"""
STOP_SECONDS = 10
# MLflow's page refuses a store of an older schema. A new store is made aside: one half made by a kill could neither be
# used nor upgraded. Stages hold the same lock when they open the store.
MLFLOW_PAGE = """
new="$(dirname "$0")/.mlflow.db.new"
flock "$0.lock" sh -c 'if test -s "$0"; then "$1" db upgrade "sqlite:///$0"
else rm -f "$2"*; "$1" db upgrade "sqlite:///$2" && mv "$2" "$0"; fi' "$0" "$1" "$new" && exec "$@"
"""
# A component that dies this often within a minute is broken, and not to be cured by another start.
MOST_STARTS = 5


def environment(home: Path, port: int, login: dict[str, str]) -> dict[str, str]:
    """The variables of all components."""
    address = f"http://127.0.0.1:{port}"
    settings = {
        "CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "CORE__PLUGINS_FOLDER": str(CHECKOUT / "docker" / "airflow" / "plugins"),
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
        run(home, variables, "db", "migrate", mend=MIGRATION_FAILED.format(database=database))
    else:
        # A new one is made aside: one half made by a kill could not be migrated.
        partial = home / ".airflow.db.partial"
        for left in home.glob(f"{partial.name}*"):
            left.unlink()
        for left in home.glob("airflow.db-*"):
            # Of a database that was taken away; it would be taken for a part of the new one.
            left.replace(home / f"left-of-{left.name}")
        aside = {CONNECTION: f"sqlite:///{partial}"}
        run(home, variables | aside, "db", "migrate")
        partial.replace(database)
    # Slots that somebody has changed stay; each command takes seconds.
    if is_new or run(home, variables, "pools", "get", "gpu", check=False) != 0:
        run(home, variables, "pools", "set", "gpu", "1", "stages that train: one at a time per GPU")


def run(home: Path, variables: dict[str, str], *arguments: str, check: bool = True, mend: str = "") -> int:
    """Run an airflow command; what it says goes to its log. SystemExit if it fails."""
    with (home / "logs" / "prepare.log").open("ab") as log:
        code = subprocess.run(  # noqa: S603
            [BIN / "airflow", *arguments], env=variables, stdout=log, stderr=log, check=False
        ).returncode
    if check and code:
        sys.exit(f"airflow {' '.join(arguments)} failed, see {log.name}{mend}")
    return code


class Components:
    """The processes of the server; each leads a group of its own."""

    def __init__(self, home: Path, variables: dict[str, str], mlflow: list[str]) -> None:
        self.commands = {name: [str(BIN / "airflow"), name] for name in ("api-server", "scheduler", "dag-processor")}
        # Logs come from files, so that nothing but the api-server listens.
        self.commands["scheduler"].append("--skip-serve-logs")
        if mlflow:
            self.commands["mlflow"] = mlflow
        self.home = home
        self.variables = variables
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.starts: dict[str, list[float]] = {name: [] for name in self.commands}
        self.leaders: dict[int, float] = {}

    def start(self, name: str) -> None:
        """Start one component; its output goes to a log of its own."""
        variables = self.variables
        if name == "mlflow":
            # The jobs of its server are for language models, and take a dozen processes.
            variables = {**os.environ, MARK: str(self.home), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.home / "logs" / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(  # noqa: S603
                self.commands[name], env=variables, stdout=log, stderr=log, start_new_session=True, cwd=CHECKOUT
            )
        self.starts[name] = [*self.starts[name], time.monotonic()][-MOST_STARTS:]
        # Those that have died, too: workers of a killed scheduler are still in its session.
        process = self.running[name]
        self.leaders[process.pid] = psutil.Process(process.pid).create_time()
        write_whole(self.home / LEADERS, self.leaders)

    def tend(self) -> None:
        """Start again what has died; SystemExit if that does not help."""
        for name, process in self.running.items():
            if process.poll() is None:
                continue
            starts = self.starts[name]
            if len(starts) == MOST_STARTS and time.monotonic() - starts[0] < 60:
                sys.exit(f"{name} does not stay up, see {self.home / 'logs' / f'{name}.log'}")
            say(f"{name} ended with {process.returncode} and is started again")
            self.start(name)


def end_all(home: Path) -> None:
    """Stop every process of this server: components, workers, tasks, stages; first kindly, then for good."""
    file = home / LEADERS
    leaders = {int(pid): started for pid, started in json.loads(file.read_text()).items()} if file.is_file() else {}
    for action, seconds in (("terminate", STOP_SECONDS), ("kill", 5)):
        found = [process for process in psutil.process_iter() if is_ours(process, home, leaders)]
        for process in found:
            with suppress(psutil.NoSuchProcess):
                getattr(process, action)()
        psutil.wait_procs(found, timeout=seconds)
    file.unlink(missing_ok=True)


def is_ours(process: psutil.Process, home: Path, leaders: dict[int, float]) -> bool:
    """Whether a process is a stage of this server, or in the session of one of its components."""
    try:
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        session = os.getsid(process.pid)
        if session in leaders:
            # A leader that started at another time has only got an old one's number.
            gone = not psutil.pid_exists(session)
            return gone or bool(psutil.Process(session).create_time() == leaders[session])
        return bool(process.environ().get(MARK) == str(home))
    except (psutil.Error, OSError):
        return False


def wait_until_healthy(components: Components, address: str, seconds: float) -> None:
    """Return once every component reports healthy; SystemExit if that takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        components.tend()
        if healthy(address):
            return
        time.sleep(0.5)
    sys.exit(f"not healthy after {seconds:.0f} s, see {components.home / 'logs'}")


def healthy(address: str) -> bool:
    """Whether the api-server answers and knows all components to be well."""
    try:
        with urllib.request.urlopen(f"{address}/api/v2/monitor/health", timeout=5) as answer:  # noqa: S310
            health = json.load(answer)
    except (OSError, ValueError):
        return False
    return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold the home's lock: two servers on one database would work against each other."""
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"a server of {home} is running already")
        yield


def free(port: int) -> bool:
    """Whether nothing listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def say(line: str) -> None:
    """To whoever started the server."""
    print(line, flush=True)  # noqa: T201


def stop(_signal: int, _frame: FrameType | None) -> None:
    """End by way of the finally blocks; a second signal must not break into them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Start, say where, and stay until stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=CHECKOUT / ".airflow", help="folder of database, logs, workspaces")
    parser.add_argument("--port", type=int, default=8080, help="of the page and the API on 127.0.0.1")
    parser.add_argument("--mlflow-port", type=int, default=5000, help="of MLflow's page on 127.0.0.1; 0: none")
    options = parser.parse_args(arguments)
    home: Path = options.home.resolve()
    os.umask(0o077)
    (home / "logs").mkdir(parents=True, exist_ok=True)
    # Runner docker covers it with an empty folder of the same mode, which a stage passes on the way to its workspace.
    home.chmod(0o711)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with alone(home):
        # Left by a server that was killed.
        end_all(home)
        if not free(options.port):
            sys.exit(f"port {options.port} is taken: stop what listens there, or pass --port")
        serve(home, options.port, options.mlflow_port)


def mlflow_command(port: int) -> list[str]:
    """The page that tasks link to, out of the stages' environment; nothing if it is there already or not wanted."""
    mlflow = Path(os.environ.get("SIGHTLINE_ENVIRONMENT", CHECKOUT / ".venv")) / "bin" / "mlflow"
    if not port or not mlflow.is_file():
        return []
    if not free(port):
        say(f"port {port} is taken: taking what listens there for MLflow's page")
        return []
    store = str(CHECKOUT / "mlflow.db")
    page = ["--backend-store-uri", f"sqlite:///{store}", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return ["sh", "-c", MLFLOW_PAGE, store, str(mlflow), "ui", *page]


def serve(home: Path, port: int, mlflow_port: int) -> None:
    """Run all components until a signal comes."""
    login = logins(home)
    variables = {"SIGHTLINE_MLFLOW_URL": f"http://127.0.0.1:{mlflow_port}", **environment(home, port, login)}
    address = f"http://127.0.0.1:{port}"
    components = Components(home, variables, mlflow_command(mlflow_port))
    try:
        say("preparing the database")
        prepare(home, variables)
        for name in components.commands:
            components.start(name)
        wait_until_healthy(components, address, seconds=180)
        say(f"Airflow: {address}  login: admin  password: {login['password']}  (Ctrl-C stops it)")
        while True:
            components.tend()
            time.sleep(1)
    finally:
        end_all(home)
        say("stopped")


if __name__ == "__main__":
    main()
