"""S3 round trips against a local server: downloads, releases and data versions, and what happens when they break."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mypy_boto3_s3 import S3Client

from tasks.clients.object_storage import Bucket
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Tracking
from tasks.contracts.record import read_record
from tasks.contracts.release import Release
from tasks.releases.known_releases import pull_champion
from tests.fixtures.release import Workspace
from tests.fixtures.repository import REPOSITORY
from tests.fixtures.storage import put, zipped

pytest_plugins = ["tests.fixtures.mlflow_store", "tests.fixtures.storage"]

XML = b"<annotations/>"


def test_broken_download_goes_on_where_it_stopped(s3: S3Client, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    found = put(s3, "big.zip", data)
    (tmp_path / "big.part").write_bytes(data[:2_000_000])
    told: list[int] = []
    Bucket("s3://labels").download(found, tmp_path / "big", told.append)
    assert (tmp_path / "big").read_bytes() == data
    assert told[0] == 2_000_000
    assert sum(told) == len(data)


def test_joined_download_that_does_not_match_is_thrown_away_and_works_the_next_time(
    s3: S3Client, tmp_path: Path
) -> None:
    data = os.urandom(1000)
    found = put(s3, "big.zip", data)
    (tmp_path / "big.part").write_bytes(b"of an older version")
    with pytest.raises(PipelineError, match="Run again to download it afresh"):
        Bucket("s3://labels").download(found, tmp_path / "big", print)
    Bucket("s3://labels").download(found, tmp_path / "big", print)
    assert (tmp_path / "big").read_bytes() == data


def test_object_that_changed_since_it_was_listed_is_not_joined(s3: S3Client, tmp_path: Path) -> None:
    found = put(s3, "a.zip", b"first")
    put(s3, "a.zip", b"other")
    with pytest.raises(PipelineError, match="run again"):
        Bucket("s3://labels").download(found, tmp_path / "a", print)
    assert not (tmp_path / "a").exists()


def test_folder_is_uploaded_below_the_prefix(s3: S3Client, tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"weights")
    assert Bucket("s3://labels/releases").upload_folder(tmp_path, "belt/3") == "s3://labels/releases/belt/3"
    answer = s3.get_object(Bucket="labels", Key="releases/belt/3/onnx/model.onnx")
    assert answer["Body"].read() == b"weights"


def test_release_goes_to_s3_and_the_champion_comes_back_from_there(
    s3: S3Client, tracking: Tracking, tmp_path: Path
) -> None:
    in_s3 = tracking.model_copy(update={"artifacts": "s3://labels/mlflow"})
    workspace = Workspace(tmp_path / "workspace").write("first")
    workspace.publish(in_s3, copy_to="s3://labels/releases")
    locations = read_record(workspace.release, Release).locations
    assert locations["artifacts"].startswith("s3://labels/mlflow/")
    assert locations["copy"] == f"s3://labels/releases/{tracking.experiment}/1"
    copied = s3.get_object(Bucket="labels", Key=f"releases/{tracking.experiment}/1/onnx/model.bin")
    assert copied["Body"].read() == b"first as onnx"
    assert pull_champion(in_s3, "onnx", tmp_path / "champion") == "1"
    assert (tmp_path / "champion" / "model.bin").read_text() == "first as onnx"


DVC_YAML = """\
stages:
  ingest:
    cmd: "{python} -m tasks.ingest --raw data/raw"
    deps: ["${{ingest.source}}"]
    params: [ingest]
    outs: [data/raw: {{persist: true}}]
"""
DVC_CONFIG = """\
[core]
    analytics = false
    no_scm = True
    remote = store
['remote "store"']
    url = s3://labels/store
"""
PARAMS = "ingest: {source: s3://labels/team, endpoint_url: null, max_files: 1000, max_gigabytes: 1, max_ratio: 1000}\n"


@pytest.mark.slow
def test_dvc_notices_new_exports_in_s3_and_data_comes_back_from_a_remote(s3: S3Client, tmp_path: Path) -> None:
    def dvc(*arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
        return done.stdout

    put(s3, "team/a.zip", zipped(tmp_path / "a.zip", {"annotations.xml": XML, "images/1.jpg": b"1"}))
    (tmp_path / "dvc.yaml").write_text(DVC_YAML.format(python=sys.executable))
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(DVC_CONFIG)
    assert "Running stage 'ingest'" in dvc("repro")
    assert "didn't change" in dvc("repro")
    put(s3, "team/b.zip", zipped(tmp_path / "b.zip", {"annotations.xml": XML + b" "}))
    assert "Running stage 'ingest'" in dvc("repro")
    dvc("push")
    subprocess.run(["rm", "-rf", "data", ".dvc/cache"], cwd=tmp_path, check=True)
    dvc("pull")
    assert (tmp_path / "data" / "raw" / "a" / "images" / "1.jpg").read_bytes() == b"1"
    assert (tmp_path / "data" / "raw" / "b" / "annotations.xml").read_bytes() == XML + b" "
    assert "up to date" in dvc("status")
