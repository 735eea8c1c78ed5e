"""The processes of a site on one machine: started, watched, started again when they die, and ended for good."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil
from site_home import BIN, CHECKOUT, MARK, write_whole

LEADERS = "components.json"
STOP_SECONDS = 10
# A component that dies this often within a minute is broken, and not to be cured by another start.
MOST_STARTS = 5


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


def say(line: str) -> None:
    """Print a line for whoever started the server."""
    print(line, flush=True)  # noqa: T201
