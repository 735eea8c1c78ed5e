"""The start script: one server per home, nothing left behind by one that was killed."""

import os
import signal
import subprocess
from pathlib import Path

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


def test_killed_server_is_cleared_away_by_the_next_one(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    with airflow_server(repository, {}) as first:
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


def test_only_loopback_is_listened_on_and_secrets_are_their_users_alone(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    with airflow_server(repository, {}) as server:
        own = sessions_of(server)
        pids = set(living(own))
        listening = {
            connection.laddr[0]
            for connection in psutil.net_connections("tcp")
            if connection.laddr and connection.status == psutil.CONN_LISTEN and connection.pid in pids
        }
        assert listening == {"127.0.0.1"}
        for name in ("airflow.db", "logins.json", "passwords.json"):
            assert (server.home / name).stat().st_mode & 0o077 == 0, name
