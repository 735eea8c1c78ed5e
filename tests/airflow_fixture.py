"""Where Airflow's environment is, and what the DAGs say when that environment imports them."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
AIRFLOW_PYTHON = REPOSITORY / ".venv-airflow" / "bin" / "python"
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
    """What tests/airflow_probe.py says, run by Airflow's Python with an AIRFLOW_HOME of its own."""
    if not AIRFLOW_PYTHON.is_file():
        pytest.fail("Airflow's environment is missing: `make test` makes it")
    answer, kubeconfig = folder / "answer.json", folder / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG.replace("SERVER", cluster))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SIGHTLINE"))}
    done = subprocess.run(
        [AIRFLOW_PYTHON, REPOSITORY / "tests" / "airflow_probe.py", what, answer],
        env={
            **inherited,
            "AIRFLOW_HOME": str(folder / "home"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "KUBECONFIG": str(kubeconfig),
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return cast("dict[str, Any]", json.loads(answer.read_text()))
