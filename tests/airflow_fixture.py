"""Where Airflow's environment is, and what the DAGs say when that environment imports them."""

import atexit
import functools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, cast

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
AIRFLOW_PYTHON = REPOSITORY / ".venv-airflow" / "bin" / "python"
PROBE = REPOSITORY / "tests" / "airflow_probe.py"
# pod_of needs no cluster, but the provider wants to know of one.
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "SERVER"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
users: [{name: none, user: {}}]
current-context: none
"""


def probe(what: str, folder: Path, cluster: str = "http://127.0.0.1:1", **variables: str) -> dict[str, Any]:
    """What tests/airflow_probe.py says in a fork with these variables; it has imported Airflow, but nothing of ours."""
    assert not any(name.startswith("AIRFLOW") for name in variables), "Airflow reads some at import: probe_alone"
    home, server = _airflow()
    answer, said = folder / "answer.json", folder / "said.txt"
    question = [what, str(answer), str(said), _environment(home, cluster) | variables]
    assert server.stdin
    assert server.stdout
    server.stdin.write(json.dumps(question) + "\n")
    server.stdin.flush()
    assert server.stdout.readline() == "0\n", said.read_text() if said.exists() else "Airflow has ended"
    return cast("dict[str, Any]", json.loads(answer.read_text()))


def probe_alone(what: str, folder: Path, **variables: str) -> dict[str, Any]:
    """The same in a process that has imported nothing before, with an AIRFLOW_HOME of its own."""
    answer = folder / "answer.json"
    done = subprocess.run(
        [_python(), PROBE, what, answer],
        env=_environment(folder, "http://127.0.0.1:1") | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return cast("dict[str, Any]", json.loads(answer.read_text()))


@functools.cache
def _airflow() -> tuple[Path, subprocess.Popen[str]]:
    """A process that has imported Airflow, which takes seconds, and the home that it has; it ends with its stdin."""
    home = Path(tempfile.mkdtemp(prefix="sightline-airflow-"))
    atexit.register(shutil.rmtree, home)
    server = subprocess.Popen(
        [_python(), PROBE],
        env=_environment(home, "http://127.0.0.1:1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)
    return home, server


def _python() -> Path:
    if not AIRFLOW_PYTHON.is_file():
        pytest.fail("Airflow's environment is missing: `make test` makes it")
    return AIRFLOW_PYTHON


def _environment(folder: Path, cluster: str) -> dict[str, str]:
    """What Airflow is to know of this machine: its home, and a cluster at this URL."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG.replace("SERVER", cluster))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SIGHTLINE"))}
    return {
        **inherited,
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "KUBECONFIG": str(kubeconfig),
    }
