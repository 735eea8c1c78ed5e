"""Whole runs through api-server, scheduler and dag-processor, with stages that stand in for the real ones."""

import json
import os
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures.airflow_server import RefusedError, request, wait_for
from tests.fixtures.airflow_site import FORM, LONG, Site, tries_of
from tests.fixtures.airflow_stand_in import git
from tests.fixtures.repository import REPOSITORY

pytestmark = pytest.mark.flows
DVC = REPOSITORY / ".venv" / "bin" / "dvc"


def test_bad_value_of_the_form_is_refused(site: Site) -> None:
    with pytest.raises(RefusedError) as refused:
        site.server.trigger("bad", {"train.epochs": -3})
    assert refused.value.status == 400
    assert "-3 is less than the minimum of 1" in refused.value.detail


@pytest.mark.parametrize("site", ["process"], indirect=True)  # all sites on one machine have such a database
def test_trigger_waits_while_another_writes_to_the_database(site: Site) -> None:
    writer = sqlite3.connect(site.server.home / "airflow.db", isolation_level=None)
    with closing(writer), ThreadPoolExecutor() as pool:
        writer.execute("BEGIN IMMEDIATE")
        triggered = pool.submit(site.server.trigger, "patient", {})
        time.sleep(7)  # SQLite by itself gives up after five
        writer.execute("ROLLBACK")
        assert triggered.result() == "patient"
    site.server.call("PATCH", "/dags/training/dagRuns/patient", {"state": "failed"})


def test_run_is_green_although_a_task_process_was_killed(site: Site, first: dict[str, Any]) -> None:
    assert set(site.server.states("first").values()) == {"success"}
    assert tries_of(site.epochs("first"), count=100) <= 2
    assert site.left("first") == []
    assert site.notes("first", "start").count("export") == 2
    assert site.server.xcom("first", "gate")["outcome"] == "accepted"
    assert site.server.xcom("first", "record") == "runs/first"


def test_recorded_branch_gives_the_same_files_elsewhere(site: Site, first: dict[str, Any], tmp_path: Path) -> None:
    params = yaml.safe_load(git(site.repository, "show", "runs/first:params.yaml"))
    assert (params["train"]["lr0"], params["train"]["momentum"]) == (0.02, 0.5)
    git(tmp_path, "clone", "--quiet", "--branch", "runs/first", str(site.repository), "elsewhere")
    subprocess.run([DVC, "pull", "--quiet"], cwd=tmp_path / "elsewhere", check=True)
    for file in ("data/split.parquet", "models/trained/weights.txt", "reports/report.html", "reports/release.json"):
        assert (tmp_path / "elsewhere" / file).read_text() == (site.workspace("first") / file).read_text()


def test_container_has_few_rights(site: Site, first: dict[str, Any]) -> None:
    if site.runner != "docker":
        pytest.skip("processes have the rights of Airflow")
    assert first["Config"]["User"].split(":")[0] not in {"", "0"}
    host = first["HostConfig"]
    assert (host["ReadonlyRootfs"], host["Privileged"], host["CapDrop"]) == (True, False, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (32 * 1024**3, 32 * 1024**3, 2048)
    writable = {mount["Destination"] for mount in first["Mounts"] if mount["RW"] and mount["Type"] == "bind"}
    repository = str(site.repository)
    assert writable == {repository, f"{repository}/.dvc/cache", str(site.workspace("first"))}
    # Airflow's database and keys, and other runs.
    hidden = {mount["Destination"] for mount in first["Mounts"] if mount["Type"] == "tmpfs"}
    assert f"{repository}/.airflow" in hidden


@pytest.mark.parametrize("site", ["process"], indirect=True)
def test_runs_at_the_same_time_do_not_touch_each_other_and_do_only_what_has_changed(
    site: Site, first: dict[str, Any]
) -> None:
    site.server.trigger("other", FORM | {"train.lr0": 0.03})
    site.server.trigger("rejected", LONG | {"gate.rules": ["impossible"]})
    assert site.server.wait("rejected") == "failed"
    assert site.server.wait("other") == "success"
    assert set(site.server.states("other").values()) == {"success"}
    for run_id, rate in (("other", 0.03), ("rejected", 0.02)):
        assert (site.workspace(run_id) / "models" / "trained" / "weights.txt").read_text() == str(rate)
        assert yaml.safe_load(git(site.repository, "show", f"runs/{run_id}:params.yaml"))["train"]["lr0"] == rate
    # Whatever changes in params is looked at, and rules once more where labels are known.
    assert site.notes("rejected", "start") == ["doctor", "split", "gate", "report", "publish"]
    # Its stand-in exports the same whatever was trained, so nothing is measured or judged again.
    assert set(site.notes("other", "start")) == {"doctor", "tune", "train", "export", "report", "publish"}


@pytest.mark.parametrize("site", ["process"], indirect=True)
def test_rejected_model_ends_the_run_red_at_publish_without_a_retry(site: Site) -> None:
    states = site.server.states("rejected")
    assert {task for task, state in states.items() if state == "failed"} == {"publish"}
    publish = next(task for task in site.server.tasks("rejected") if task["task_id"] == "publish")
    assert publish["try_number"] == 1
    assert "short by 0.2" in site.server.log("rejected", "publish")
    assert "**rejected**" in site.server.run("rejected")["note"]
    assert "short by 0.2" in site.server.run("rejected")["note"]
    links = site.server.call("GET", "/dags/training/dagRuns/rejected/taskInstances/report/links")["extra_links"]
    token = {"Authorization": f"Bearer {site.server.token}"}
    assert request("GET", f"{site.server.address}{links['Report']}", headers=token) == "<h1>report</h1>"
    with pytest.raises(RefusedError) as refused:
        request("GET", f"{site.server.address}{links['Report']}")
    assert refused.value.status == 401


@pytest.mark.parametrize("site", ["process"], indirect=True)
def test_changed_labels_start_training_and_unchanged_ones_nothing(site: Site, first: dict[str, Any]) -> None:
    (site.repository / "samples" / "a-new-one.zip").write_text("labels")
    an_hour_ago = time.time() - 3600
    for file in (site.repository / "samples").iterdir():
        os.utime(file, (an_hour_ago, an_hour_ago))
    # It looks at once, and again every five minutes.
    site.server.call("PATCH", "/dags/labels", {"is_paused": False})
    run_id = wait_for(lambda: started_by_labels(site), 120)[0]
    assert site.server.wait(run_id) == "success"
    # The splits of the old ones are those of the first run.
    name = str(site.server.xcom(run_id, "record")).removeprefix("runs/")
    splits = json.loads((site.workspace(name) / "data" / "split.parquet").read_text())
    assert splits == {"belt.zip": 0, "a-new-one.zip": 1}
    site.server.trigger("again", {}, dag_id="labels")
    assert site.server.wait("again", dag_id="labels") == "success"
    assert site.server.states("again", dag_id="labels") == {"watch": "skipped"}
    assert started_by_labels(site) == [run_id]


def started_by_labels(site: Site) -> list[str]:
    """Runs of training that the asset has started."""
    runs = site.server.call("GET", "/dags/training/dagRuns?limit=100")["dag_runs"]
    return [str(run["dag_run_id"]) for run in runs if run["run_type"] == "asset_triggered"]
