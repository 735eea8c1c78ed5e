"""MLflow runs: found again by their key, complete at the end, and one message where the store fails."""

import logging
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.clients.tracking import open_run
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Tracking

pytest_plugins = ["tests.fixtures.mlflow_store"]


def test_same_name_and_key_go_on_in_the_same_run(tracking: Tracking) -> None:
    first = open_run(tracking, "train", "3f2a")
    first.end("KILLED")
    again = open_run(tracking, "train", "3f2a")
    assert again.run_id == first.run_id
    assert MlflowClient(tracking.uri).get_run(again.run_id).info.status == "RUNNING"
    assert open_run(tracking, "train", "9c41").run_id != first.run_id
    assert open_run(tracking, "tune", "3f2a").run_id != first.run_id


def test_run_is_nested_in_its_parent(tracking: Tracking) -> None:
    parent = open_run(tracking, "tune", "3f2a")
    trial = open_run(tracking, "tune", "3f2a trial 1", parent=parent.run_id)
    assert MlflowClient(tracking.uri).get_run(trial.run_id).data.tags["mlflow.parentRunId"] == parent.run_id


def test_everything_that_was_sent_is_there_at_the_end(tracking: Tracking, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "best.pt").write_bytes(b"weights")
    (tmp_path / "curve.csv").write_text("epoch")
    run = open_run(tracking, "train", "3f2a")
    run.log_params({f"train.p{number}": number for number in range(150)} | {"train.none": None})
    run.set_tags({"commit": "abc"})
    for step in range(20):
        run.log_metrics({"map50": step / 20, "loss": 1.0}, step)
    run.log_artifact(tmp_path / "weights")
    run.log_artifact(tmp_path / "curve.csv", "figures")
    run.end()
    client = MlflowClient(tracking.uri)
    held = client.get_run(run.run_id)
    assert held.info.status == "FINISHED"
    assert (len(held.data.params), held.data.params["train.none"], held.data.tags["commit"]) == (151, "None", "abc")
    assert [point.step for point in client.get_metric_history(run.run_id, "map50")] == list(range(20))
    stored = Path(held.info.artifact_uri)
    assert (stored / "weights" / "best.pt").read_bytes() == b"weights"
    assert (stored / "figures" / "curve.csv").exists()


def test_params_of_a_run_that_goes_on_stay_as_they_are(tracking: Tracking) -> None:
    open_run(tracking, "train", "3f2a").log_params({"batch": 16})
    run = open_run(tracking, "train", "3f2a")
    run.log_params({"batch": 8, "device": "cpu"})
    assert MlflowClient(tracking.uri).get_run(run.run_id).data.params == {"batch": "16", "device": "cpu"}


def test_metrics_that_did_not_arrive_are_counted_and_do_not_stop_the_stage(
    tracking: Tracking, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_run(tracking, "train", "3f2a")
    run.log_metrics({"map50": 0.5}, 1)
    run.log_metrics({"not a name?": 0.5}, 2)
    with caplog.at_level(logging.WARNING):
        run.end()
    assert "MLflow did not take 1 of 2 metric steps" in caplog.text
    assert MlflowClient(tracking.uri).get_run(run.run_id).info.status == "FINISHED"


def test_deleted_experiment_is_told_with_how_to_restore_it(tracking: Tracking) -> None:
    open_run(tracking, "train", "3f2a")
    client = MlflowClient(tracking.uri)
    client.delete_experiment(client.get_experiment_by_name(tracking.experiment).experiment_id)
    with pytest.raises(PipelineError, match="mlflow experiments restore"):
        open_run(tracking, "train", "3f2a")


def test_server_that_is_not_there_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    nobody = Tracking(uri="http://team:secret@127.0.0.1:9", experiment="belt")
    with pytest.raises(PipelineError, match=r"team:\*\*\*@127\.0\.0\.1:9(.|\n)*Start the server, or correct") as caught:
        open_run(nobody, "train", "3f2a")
    assert "secret" not in str(caught.value)


def test_experiment_that_another_run_begins_meanwhile_is_everybodys(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = MlflowClient.create_experiment

    def create_behind_another(client: MlflowClient, name: str, **how: str) -> object:
        create(client, name, **how)
        return create(client, name, **how)

    monkeypatch.setattr(MlflowClient, "create_experiment", create_behind_another)
    run = open_run(tracking, "tune", "3f2a")
    assert MlflowClient(tracking.uri).get_run(run.run_id).info.experiment_id == run.experiment_id


def test_store_of_an_older_mlflow_says_how_to_upgrade_it(tracking: Tracking, tmp_path: Path) -> None:
    store = tmp_path / "mlflow.db"
    open_run(tracking, "train", "3f2a")
    shutil.copy(tracking.uri.removeprefix("sqlite:///"), store)
    with sqlite3.connect(store) as database:
        database.execute("UPDATE alembic_version SET version_num = '728d730b5ebd'")
    with pytest.raises(PipelineError, match=f"run `mlflow db upgrade sqlite:///{store}`"):
        open_run(Tracking(uri=f"sqlite:///{store}", experiment="belt"), "train", "3f2a")


def test_store_where_no_file_can_be_is_one_message() -> None:
    with pytest.raises(PipelineError, match=r"sqlite:////proc/x\.db(.|\n)*Correct its path"):
        open_run(Tracking(uri="sqlite:////proc/x.db", experiment="belt"), "train", "3f2a")


OPEN = """
import sys
from tasks.clients.tracking import open_run
from tasks.contracts.params import Tracking
print(open_run(Tracking(uri=sys.argv[1], experiment="belt", artifacts="artifacts"), "tune", "3f2a").run_id)
"""


@pytest.mark.slow
def test_processes_that_start_together_on_a_new_store_share_tables_and_run(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, f"sqlite:///{tmp_path}/new/mlflow.db"]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    run_ids = {worker.communicate()[0].strip() for worker in workers}
    assert [worker.returncode for worker in workers] == [0, 0]
    assert len(run_ids) == 1
