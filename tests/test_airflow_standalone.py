"""The start script: one server per home, nothing left behind by one that was killed."""

import os
import signal
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from tests.airflow_server import AIRFLOW, Server, airflow_server, wait_for
from tests.airflow_stand_in import make_repository

pytestmark = pytest.mark.flows


def sessions_of(server: Server) -> set[int]:
    """Sessions that the server's components lead."""
    return {child.pid for child in psutil.Process(server.process.pid).children()}


def living(sessions: set[int]) -> list[int]:
    """Processes of these sessions."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (ProcessLookupError, psutil.Error):
            continue
    return found


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Airflow on stages that stand in; the last test kills it."""
    with airflow_server(make_repository(tmp_path_factory.mktemp("standalone") / "repository"), {}) as server:
        yield server


def test_only_loopback_is_listened_on_and_secrets_are_their_users_alone(first: Server) -> None:
    pids = set(living(sessions_of(first)))
    listening = {
        connection.laddr[0]
        for connection in psutil.net_connections("tcp")
        if connection.laddr and connection.status == psutil.CONN_LISTEN and connection.pid in pids
    }
    assert listening == {"127.0.0.1"}
    for name in ("airflow.db", "logins.json", "passwords.json"):
        assert (first.home / name).stat().st_mode & 0o077 == 0, name


def test_killed_server_is_cleared_away_by_the_next_one(first: Server) -> None:
    repository = first.home.parent
    left = sessions_of(first)
    assert len(left) == 3
    script = repository / "docker" / "airflow" / "standalone.py"
    refused = subprocess.run([AIRFLOW / "python", script], capture_output=True, text=True, check=False)
    assert "is running already" in refused.stderr
    # What the first one listened on must be free again for the second.
    os.kill(first.process.pid, signal.SIGKILL)
    assert living(left)
    with airflow_server(repository, {}) as second:
        assert not living(left)
        assert second.password == first.password
        own = sessions_of(second)
    wait_for(lambda: not living(own), 10)
