"""Airflow as `make airflow` starts it, and its REST API, for tests that run the real components."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

REPOSITORY = Path(__file__).resolve().parents[1]
AIRFLOW = REPOSITORY / ".venv-airflow" / "bin"
OVER = {"success", "failed"}

T = TypeVar("T")


class RefusedError(Exception):
    """The API's answer was that it will not, or not so."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


@dataclass
class Server:
    """A running Airflow."""

    process: subprocess.Popen[str]
    address: str
    password: str
    home: Path
    token: str = ""

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The JSON answer of the API; RefusedError if it is an error."""
        if not self.token:
            login = {"username": "admin", "password": self.password}
            self.token = json.loads(request("POST", f"{self.address}/auth/token", login))["access_token"]
        answer = request(method, f"{self.address}/api/v2{path}", body, {"Authorization": f"Bearer {self.token}"})
        return cast("dict[str, Any]", json.loads(answer or "{}"))

    def knows(self, dag_id: str = "training") -> bool:
        """Whether the dag-processor has read a DAG."""
        return any(dag["dag_id"] == dag_id for dag in self.call("GET", "/dags?limit=100")["dags"])

    def trigger(self, run_id: str, conf: Mapping[str, object], dag_id: str = "training") -> str:
        """Start a run with values of the form."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run(self, run_id: str, dag_id: str = "training") -> dict[str, Any]:
        """The run as it stands."""
        return self.call("GET", f"/dags/{dag_id}/dagRuns/{quoted(run_id)}")

    def tasks(self, run_id: str, dag_id: str = "training") -> list[dict[str, Any]]:
        """Its task instances."""
        listed = self.call("GET", f"/dags/{dag_id}/dagRuns/{quoted(run_id)}/taskInstances?limit=200")
        return list(listed["task_instances"])

    def states(self, run_id: str, dag_id: str = "training") -> dict[str, str]:
        """State of each task; of a mapped one, its states, sorted and joined."""
        found: dict[str, set[str]] = {}
        for task in self.tasks(run_id, dag_id):
            found.setdefault(task["task_id"], set()).add(str(task["state"]))
        return {task_id: " ".join(sorted(states)) for task_id, states in found.items()}

    def wait(self, run_id: str, seconds: float = 900, dag_id: str = "training") -> str:
        """The state that the run ends in."""
        # Asked more often, the api-server takes from the run what it needs to come to its end.
        return wait_for(lambda: (state := str(self.run(run_id, dag_id)["state"])) in OVER and state, seconds, every=1)

    def wait_until(self, run_id: str, found: Callable[[], T | bool | None], dag_id: str = "training") -> T:
        """What `found` gives as soon as it gives something while the run goes on."""
        looked = time.monotonic()

        def while_running() -> T | bool | None:
            nonlocal looked
            value = found()
            # Asked each time, the api-server would take from the run what it needs to go on.
            if not value and time.monotonic() - looked > 2:
                looked = time.monotonic()
                assert self.run(run_id, dag_id)["state"] not in OVER, self.states(run_id, dag_id)
            return value

        return wait_for(while_running, 900)

    def xcom(self, run_id: str, task_id: str) -> Any:
        """What a task returned."""
        path = f"/dags/training/dagRuns/{quoted(run_id)}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.call("GET", f"{path}?deserialize=true")["value"]

    def log(self, run_id: str, task_id: str, try_number: int = 1) -> str:
        """What a task logged."""
        path = f"/dags/training/dagRuns/{quoted(run_id)}/taskInstances/{task_id}/logs/{try_number}"
        return json.dumps(self.call("GET", f"{path}?full_content=true"))


def wait_for(found: Callable[[], T | bool | None], seconds: float, every: float = 0.3) -> T:
    """What `found` gives as soon as it gives something, asked every so many seconds.

    Raises TimeoutError if that takes too long.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            value = found()
            if value:
                return cast("T", value)
        time.sleep(every)
    raise TimeoutError(f"not within {seconds} s")


def request(method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None) -> str:
    """One HTTP request with a JSON body."""
    data = json.dumps(body).encode() if body is not None else None
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        # Like no answer: SQLite may be locked for a moment where a component was killed.
        if error.code >= 500:
            raise
        raise RefusedError(error.code, error.read().decode()) from error


def quoted(run_id: str) -> str:
    """A run id as part of a path."""
    return urllib.parse.quote(run_id, safe="")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def as_owner(folder: Path) -> list[str]:
    """What runs a command as the owner of a folder, if root asks, with the engine's socket and root's environments."""
    owner = folder.stat()
    if os.getuid() != 0 or owner.st_uid == 0:
        return []
    groups = str(Path("/var/run/docker.sock").stat().st_gid)
    reading = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    return ["setpriv", "--reuid", str(owner.st_uid), "--regid", str(owner.st_gid), "--groups", groups, *reading]


@contextmanager
def airflow_server(repository: Path, variables: Mapping[str, str]) -> Iterator[Server]:
    """Start `repository`'s Airflow, give it once it is healthy, stop it at the end."""
    server = start_airflow(repository, variables)
    try:
        yield server
    finally:
        stop_airflow(server.process)


def start_airflow(repository: Path, variables: Mapping[str, str], seconds: float = 240) -> Server:
    """Start `repository`'s Airflow as its owner; returns once it is healthy and knows its DAGs."""
    port, home = free_port(), repository / ".airflow"
    process = subprocess.Popen(
        [
            *as_owner(repository),
            AIRFLOW / "python",
            repository / "docker" / "airflow" / "standalone.py",
            "--port",
            str(port),
            "--mlflow-port",
            "0",
        ],
        env={**os.environ, "SIGHTLINE_ENVIRONMENT": str(REPOSITORY / ".venv"), **variables},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        return _healthy(process, home, seconds)
    except BaseException:
        stop_airflow(process)
        raise


def _healthy(process: subprocess.Popen[str], home: Path, seconds: float) -> Server:
    """The server of a start script, once it says where it is."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"(http://\S+).*password: (\S+)", line):
            server = Server(process, found[1], found[2], home)
            # The dag-processor may still be reading.
            wait_for(server.knows, seconds)
            return server
    raise RuntimeError("".join(said))


def stop_airflow(process: subprocess.Popen[str]) -> None:
    """Stop a server by its start script; nothing if that has ended."""
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
