"""Airflow on one machine: api-server, scheduler, dag-processor and MLflow's page on loopback, with embedded databases.

Everything lies in .airflow/ of the checkout. Ctrl-C or SIGTERM stops all of it; a component that dies is started again.
By hand: `airflow standalone` (3.3.2) starts no component again, stops on Ctrl-C alone, leaves stages behind when it is
killed, and half a database when it is killed as it makes one.

Example: make airflow
"""

import argparse
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from components import Components, end_all, say, wait_until_healthy
from site_home import CHECKOUT, environment, logins, prepare

# MLflow's page refuses a store of an older schema. A new store is made aside: one half made by a kill could neither be
# used nor upgraded. Stages hold the same lock when they open the store.
MLFLOW_PAGE = """
new="$(dirname "$0")/.mlflow.db.new"
flock "$0.lock" sh -c 'if test -s "$0"; then "$1" db upgrade "sqlite:///$0"
else rm -f "$2"*; "$1" db upgrade "sqlite:///$2" && mv "$2" "$0"; fi' "$0" "$1" "$new" && exec "$@"
"""


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
