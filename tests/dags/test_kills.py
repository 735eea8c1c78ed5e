"""What dies while training: nothing runs twice at once, nothing is left, and training goes on from its last epoch."""

import os
import subprocess
import time

import psutil
import pytest

from tests.fixtures.airflow_server import AIRFLOW, wait_for
from tests.fixtures.airflow_site import Site, tries_of

# The first run's workspace is what trainings start from.
pytestmark = [pytest.mark.flows, pytest.mark.usefixtures("first")]


def train(site: Site, run_id: str, epochs: int, dag_id: str = "train_alone") -> None:
    """Start training in a copy of the first run's workspace, and wait for its first epochs.

    Each test has its own number of epochs: DVC would know a training that another has done.
    """
    workspace = site.workspace(run_id)
    subprocess.run(["cp", "--archive", site.workspace("first"), workspace], check=True)
    (workspace / ".work" / "train" / "epochs.txt").unlink()
    (workspace / "journal.txt").unlink()
    params = workspace / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 100 ", f"epochs: {epochs} "))
    site.server.trigger(run_id, {}, dag_id)
    site.server.wait_until(run_id, lambda: len(site.epochs(run_id)) > 3, dag_id)


def tries_to_the_end(site: Site, run_id: str, epochs: int, dag_id: str = "train_alone") -> int:
    """In how many tries it was trained, one after another; the run must end green, and leave nothing."""
    assert site.server.wait(run_id, dag_id=dag_id) == "success"
    assert site.left(run_id) == []
    return tries_of(site.epochs(run_id), epochs)


def component(site: Site, name: str) -> psutil.Process:
    """A component's first process."""
    title = {"scheduler": "airflow scheduler", "api-server": "airflow api_server"}[name]
    children = psutil.Process(site.server.process.pid).children()
    return next(child for child in children if title in " ".join(child.cmdline()) or name in child.cmdline())


def test_killed_worker(site: Site) -> None:
    # Noticed after one and a half minutes of silence; the next tests pass the time, a later one looks at the end.
    train(site, "worker", epochs=800)
    worker = site.task_process("worker", "train", "train_alone").parent()
    assert worker is not None
    assert "airflow" in " ".join(worker.cmdline())
    worker.kill()


def test_killed_stage_goes_on_although_it_had_locked_all_that_it_wrote_to(site: Site) -> None:
    train(site, "killed", epochs=40)
    site.kill_stage("killed")
    assert tries_to_the_end(site, "killed", epochs=40) == 2


@pytest.mark.parametrize("site", ["process"], indirect=True)  # it is the task's process that asks, whatever it runs
def test_api_server_away_for_half_a_minute_does_not_stop_training(site: Site) -> None:
    train(site, "away", epochs=250)
    api = component(site, "api-server")
    api.suspend()
    time.sleep(30)
    api.kill()
    assert tries_to_the_end(site, "away", epochs=250) == 1


def test_killed_scheduler_leaves_no_second_training_beside_the_first(site: Site) -> None:
    train(site, "orphan", epochs=160)
    component(site, "scheduler").kill()
    assert tries_to_the_end(site, "orphan", epochs=160) <= 2


def test_task_marked_failed_is_stopped_within_seconds(site: Site) -> None:
    train(site, "stopped", epochs=600)
    site.server.call("PATCH", "/dags/train_alone/dagRuns/stopped/taskInstances/train", {"new_state": "failed"})
    wait_for(lambda: site.left("stopped") == [], 15)
    assert site.server.wait("stopped", dag_id="train_alone") == "failed"
    assert site.notes("stopped", "end") == ["train"]
    assert len({process for _, process in site.epochs("stopped")}) == 1


def test_execution_timeout_ends_a_try_and_the_next_one_goes_on(site: Site) -> None:
    train(site, "overtime", epochs=150, dag_id="train_briefly")
    tries = tries_to_the_end(site, "overtime", epochs=150, dag_id="train_briefly")
    assert tries > 1
    # Every try, the first one too, was left to end of its own will.
    assert site.notes("overtime", "end") == ["train"] * tries


def test_training_of_a_killed_worker_goes_on(site: Site) -> None:
    # On a slow machine what the tests between have killed may have cost it a try, too.
    assert tries_to_the_end(site, "worker", epochs=800) in {2, 3}


@pytest.mark.parametrize("site", ["process"], indirect=True)
def test_only_loopback_is_listened_on_and_secrets_are_their_users_alone(site: Site) -> None:
    pids = set(living(sessions_of(site)))
    listening = {
        connection.laddr[0]
        for connection in psutil.net_connections("tcp")
        if connection.laddr and connection.status == psutil.CONN_LISTEN and connection.pid in pids
    }
    assert listening == {"127.0.0.1"}
    for name in ("airflow.db", "logins.json", "passwords.json"):
        assert (site.server.home / name).stat().st_mode & 0o077 == 0, name


@pytest.mark.parametrize("site", ["process"], indirect=True)
def test_killed_server_is_cleared_away_by_the_next_one(site: Site) -> None:
    left, password = sessions_of(site), site.server.password
    assert len(left) == 3
    script = site.repository / "dags" / "airflow_site" / "standalone.py"
    refused = subprocess.run([AIRFLOW / "python", script], capture_output=True, text=True, check=False)
    assert "is running already" in refused.stderr
    site.server.process.kill()
    assert living(left)
    site.restart()
    assert not living(left)
    assert site.server.password == password


@pytest.mark.ends_server
def test_stopped_server_ends_what_still_trains(site: Site) -> None:
    train(site, "unfinished", epochs=700)
    own = sessions_of(site)
    site.server.process.terminate()
    assert site.server.process.wait(30) == 0
    assert site.left("unfinished") == []
    assert site.notes("unfinished", "end") == ["train"]
    wait_for(lambda: not living(own), 10)


def sessions_of(site: Site) -> set[int]:
    """Sessions that the components of its Airflow lead."""
    return {child.pid for child in psutil.Process(site.server.process.pid).children()}


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
