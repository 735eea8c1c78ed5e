"""Stores are asked whether they answer: those that refuse, are silent or are something else are told in seconds."""

import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tasks.clients.answers import bucket_answers, database_answers, source_answers, tracking_answers
from tasks.command.params_classes import params_classes
from tasks.contracts.sections import AllParams
from tasks.doctor import DoctorParams, doctor
from tests.fixtures.doctor import Sections, change, told
from tests.fixtures.repository import REPOSITORY

pytest_plugins = ["tests.fixtures.doctor"]


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def answering(status: int) -> HTTPServer:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_stores_that_refuse_are_all_told_with_their_param_and_without_passwords(
    sections: Sections, refusing: int
) -> None:
    change("tracking.uri", f"postgresql+psycopg://me:secret@127.0.0.1:{refusing}/mlflow")(sections)
    change("tune.storage", f"postgresql+psycopg://me:secret@127.0.0.1:{refusing}/study")(sections)
    change("ingest.source", "s3://labels/cvat")(sections)
    change("ingest.endpoint_url", f"http://127.0.0.1:{refusing}")(sections)
    change("publish.copy_to", "s3://models")(sections)
    change("publish.endpoint_url", f"http://127.0.0.1:{refusing}")(sections)
    found = told(sections)
    params = [fault.split(": ")[0] for fault in found]
    assert params == ["ingest.source", "tracking.uri", "tune.storage", "publish.copy_to"]
    assert all("secret" not in fault for fault in found)
    assert "Connection refused" in found[1]


ASK = """
import sys
from tasks.clients.tracking import connected
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Tracking
try:
    with connected(Tracking(uri=sys.argv[1], experiment="test")):
        print("connected")
except PipelineError as error:
    print(error, sorted({"mlflow", "boto3"} & set(sys.modules)))
"""


def test_a_stage_does_not_wait_for_the_tries_of_mlflow_where_the_database_refuses(refusing: int) -> None:
    uri = f"postgresql+psycopg://me:secret@127.0.0.1:{refusing}/mlflow"
    done = subprocess.run([sys.executable, "-c", ASK, uri], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert "MLflow cannot be used" in done.stdout
    assert "Connection refused" in done.stdout
    assert "secret" not in done.stdout
    assert done.stdout.endswith(" []\n")  # it was not even asked, nor is there a bucket


def test_a_store_that_is_silent_is_not_waited_for(sections: Sections, silent: int) -> None:
    change("tracking.uri", f"http://127.0.0.1:{silent}")(sections)
    change("tune.storage", f"postgresql+psycopg://me@127.0.0.1:{silent}/study")(sections)
    found = doctor(AllParams(sections, params_classes()), DoctorParams(timeout_seconds=2, min_free_gigabytes=0))
    assert [fault.split(": ")[0] for fault in found] == ["tracking.uri", "tune.storage"]


@pytest.mark.parametrize(("status", "fault"), [(200, ""), (401, ""), (404, ""), (503, "an error of its own, 503")])
def test_a_tracking_server_answers_if_it_is_there(status: int, fault: str) -> None:
    server = answering(status)
    try:
        said = tracking_answers(f"http://me:secret@127.0.0.1:{server.server_port}/", 5)
    finally:
        server.shutdown()
        server.server_close()
    assert (fault in said) if fault else not said


def test_a_file_that_is_no_database_is_told_and_one_to_be_made_is_not(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"half of a database" * 100)
    assert "is no sound SQLite file" in database_answers(f"sqlite:///{tmp_path}/broken.db", 1)
    assert database_answers(f"sqlite:///{tmp_path}/new/mlflow.db", 1) == ""
    assert "is a file" in database_answers(f"sqlite:///{tmp_path}/broken.db/mlflow.db", 1)
    with closing(sqlite3.connect(tmp_path / "sound.db")) as database:
        database.execute("CREATE TABLE runs (id)")
    assert database_answers(f"sqlite:///{tmp_path}/sound.db", 1) == ""


@pytest.mark.parametrize("url", ["postgres://host/db", "mysqll://host/db", "sqlite//mlflow.db"])
def test_a_database_that_no_driver_knows_is_told(url: str) -> None:
    assert database_answers(url, 1)


def test_buckets_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    moto = pytest.importorskip("moto")
    boto3 = pytest.importorskip("boto3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with moto.mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="labels")
        assert source_answers("s3://labels/cvat", None, 5) == "s3://labels/cvat holds nothing"
        assert bucket_answers("s3://labels/models", None, 5) == ""
        client.put_object(Bucket="labels", Key="cvat/a.zip", Body=b"PK")
        assert source_answers("s3://labels/cvat", None, 5) == ""
        assert "NoSuchBucket" in bucket_answers("s3://models", None, 5)
