"""S3 round trips against a local server: exports in, data versions out and back, and what happens when it breaks."""

import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from mypy_boto3_s3 import S3Client

from tasks.clients.archives import Limits
from tasks.clients.label_sources import exports_in
from tasks.clients.object_storage import Bucket, StoredObject
from tasks.clients.registry import pull_champion
from tasks.contracts.errors import PipelineError
from tasks.contracts.manifest import Manifest
from tasks.contracts.params import Tracking
from tasks.contracts.record import read_record
from tasks.contracts.release import Release
from tasks.ingest import ingest
from tests.release_fixture import Workspace

pytest_plugins = ["mlflow_fixture"]

LIMITS = Limits(max_files=1000, max_gigabytes=1, max_ratio=1000)
XML = b"<annotations/>"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[S3Client]:
    """A client of the server; there is one bucket, `labels`, that is empty."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    client: S3Client = boto3.client("s3")
    client.create_bucket(Bucket="labels")
    yield client
    for entry in client.list_objects_v2(Bucket="labels").get("Contents", []):
        client.delete_object(Bucket="labels", Key=entry["Key"])
    client.delete_bucket(Bucket="labels")


def put(s3: S3Client, key: str, data: bytes) -> StoredObject:
    return StoredObject(key, len(data), s3.put_object(Bucket="labels", Key=key, Body=data)["ETag"].strip('"'))


def zipped(path: Path, files: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return path.read_bytes()


def take(source: str, raw: Path, held: Manifest | None = None) -> Manifest:
    found = exports_in(source, None, raw.parent / "work")
    return ingest(found, held or Manifest(exports=[]), raw, LIMITS, lambda: "2026-01-01")


def test_exports_below_a_prefix_are_taken_and_nothing_beside_it(s3: S3Client, tmp_path: Path) -> None:
    put(s3, "team/a.zip", zipped(tmp_path / "a.zip", {"annotations.xml": XML}))
    put(s3, "team/b/annotations.xml", XML)
    put(s3, "team/b/images/1.jpg", b"picture")
    put(s3, "team/", b"")
    put(s3, "team-of-others/c.zip", b"not ours")
    manifest = take("s3://labels/team", tmp_path / "raw")
    assert [(export.name, export.source) for export in manifest.exports] == [
        ("a", "s3://labels/team/a.zip"),
        ("b", "s3://labels/team/b"),
    ]
    assert (tmp_path / "raw" / "a" / "annotations.xml").read_bytes() == XML
    assert (tmp_path / "raw" / "b" / "images" / "1.jpg").read_bytes() == b"picture"
    assert not [path for path in (tmp_path / "work").rglob("*") if path.is_file()], "downloads go once they are taken"


def test_one_zip_can_be_the_source(s3: S3Client, tmp_path: Path) -> None:
    put(s3, "team/a.zip", zipped(tmp_path / "a.zip", {"annotations.xml": XML}))
    (export,) = take("s3://labels/team/a.zip", tmp_path / "raw").exports
    assert (export.name, export.source) == ("a", "s3://labels/team/a.zip")


def test_export_that_is_held_is_not_even_downloaded_again(s3: S3Client, tmp_path: Path) -> None:
    put(s3, "a.zip", zipped(tmp_path / "a.zip", {"annotations.xml": XML}))
    (found,) = exports_in("s3://labels", None, tmp_path / "work")
    held = ingest([found], Manifest(exports=[]), tmp_path / "raw", LIMITS, lambda: "2026-01-01")
    s3.delete_object(Bucket="labels", Key="a.zip")  # a download would fail now
    assert ingest([found], held, tmp_path / "raw", LIMITS, lambda: "2026-02-01") == held


def upload_in_parts(s3: S3Client, key: str, data: bytes) -> None:
    upload = s3.create_multipart_upload(Bucket="labels", Key=key)["UploadId"]
    etag = s3.upload_part(Bucket="labels", Key=key, UploadId=upload, PartNumber=1, Body=data)["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    s3.complete_multipart_upload(Bucket="labels", Key=key, UploadId=upload, MultipartUpload=parts)


@pytest.mark.parametrize("again", [put, upload_in_parts])
@pytest.mark.parametrize("key", ["a.zip", "copy.zip"])
def test_bytes_that_are_held_are_downloaded_once_more_at_most(
    key: str, again: Callable[[S3Client, str, bytes], object], s3: S3Client, tmp_path: Path
) -> None:
    data = zipped(tmp_path / "a.zip", {"annotations.xml": XML})
    put(s3, "a.zip", data)
    first = take("s3://labels", tmp_path / "raw")
    again(s3, key, data)
    found = exports_in("s3://labels", None, tmp_path / "work")
    held = ingest(found, first, tmp_path / "raw", LIMITS, lambda: "2026-02-01")
    assert [export.folder for export in held.exports] == ["a"]
    assert held == read_record(tmp_path / "raw" / "manifest.json", Manifest)
    for listed in {"a.zip", key}:
        s3.delete_object(Bucket="labels", Key=listed)  # a download would fail now
    assert ingest(found, held, tmp_path / "raw", LIMITS, lambda: "2026-03-01") == held


def test_new_content_of_an_object_is_a_new_version(s3: S3Client, tmp_path: Path) -> None:
    put(s3, "a.zip", zipped(tmp_path / "a.zip", {"annotations.xml": XML}))
    held = take("s3://labels", tmp_path / "raw")
    put(s3, "a.zip", zipped(tmp_path / "a.zip", {"annotations.xml": XML + b" "}))
    assert [export.name for export in take("s3://labels", tmp_path / "raw", held).exports] == ["a", "a"]


@pytest.mark.parametrize("key", ["b\\..\\evil.jpg", "b//evil.jpg", "/evil.jpg", "b/../../evil.jpg"])
def test_key_that_would_leave_its_folder_is_refused(key: str, s3: S3Client, tmp_path: Path) -> None:
    put(s3, "team/b/annotations.xml", XML)
    put(s3, f"team/b/{key}", b"1")
    with pytest.raises(PipelineError, match=r"could leave its folder|are no paths"):
        take("s3://labels/team", tmp_path / "raw")
    assert not list((tmp_path).rglob("evil*"))


@pytest.mark.parametrize(
    ("source", "key"),
    [
        pytest.param("s3://labels", "/a.zip", id="slash first"),
        pytest.param("s3://labels/team", "team//a.zip", id="two slashes behind the prefix"),
        pytest.param("s3://labels/team", "team/b//a.zip", id="two slashes"),
        pytest.param("s3://labels", ".", id="folder itself"),
    ],
)
def test_key_that_is_no_path_is_named(source: str, key: str, s3: S3Client, tmp_path: Path) -> None:
    put(s3, key, zipped(tmp_path / "a.zip", {"annotations.xml": XML}))
    with pytest.raises(PipelineError) as raised:
        take(source, tmp_path / "raw")
    assert str(raised.value).startswith(f"keys in the bucket are no paths:\n  - s3://labels/{key}\nRename or remove")


def test_broken_download_goes_on_where_it_stopped(s3: S3Client, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    found = put(s3, "big.zip", data)
    (tmp_path / "big.part").write_bytes(data[:2_000_000])
    told: list[int] = []
    Bucket("s3://labels").download(found, tmp_path / "big", told.append)
    assert (tmp_path / "big").read_bytes() == data
    assert told[0] == 2_000_000
    assert sum(told) == len(data)


def test_download_that_broke_off_is_kept_until_its_object_changes(s3: S3Client, tmp_path: Path) -> None:
    s3.put_object(Bucket="labels", Key="a.zip", Body=b"far away", StorageClass="GLACIER")
    with pytest.raises(PipelineError, match="InvalidObjectState"):
        take("s3://labels", tmp_path / "raw")
    (part,) = (tmp_path / "work").rglob("*.part")
    exports_in("s3://labels", None, tmp_path / "work")
    assert part.is_file()
    put(s3, "a.zip", zipped(tmp_path / "a.zip", {"annotations.xml": XML}))
    exports_in("s3://labels", None, tmp_path / "work")
    assert list((tmp_path / "work" / "ingest").iterdir()) == []


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


def test_limits_are_held_before_anything_is_downloaded(s3: S3Client, tmp_path: Path) -> None:
    put(s3, "a.zip", bytes(5000))
    limits = LIMITS.model_copy(update={"max_gigabytes": 1e-6})
    found = exports_in("s3://labels", None, tmp_path / "work")
    with pytest.raises(PipelineError, match=r"ingest\.max_gigabytes is 1e-06"):
        ingest(found, Manifest(exports=[]), tmp_path / "raw", limits, lambda: "2026-01-01")
    assert not (tmp_path / "work").exists()


def test_object_that_cannot_be_read_is_told_and_sound_exports_are_taken(s3: S3Client, tmp_path: Path) -> None:
    s3.put_object(Bucket="labels", Key="a.zip", Body=b"far away", StorageClass="GLACIER")
    put(s3, "b.zip", zipped(tmp_path / "b.zip", {"annotations.xml": XML}))
    with pytest.raises(PipelineError, match=r"faults in the source(.|\n)*labels/a\.zip.*InvalidObjectState"):
        take("s3://labels", tmp_path / "raw")
    assert (tmp_path / "raw" / "b" / "annotations.xml").read_bytes() == XML


@pytest.mark.slow
def test_storage_that_is_gone_breaks_ingest_off(s3: S3Client, tmp_path: Path) -> None:
    for key in ("a.zip", "b.zip"):
        put(s3, key, XML)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    found = exports_in("s3://labels", "http://{}:{}".format(*server.get_host_and_port()), tmp_path / "work")
    server.stop()
    with pytest.raises(PipelineError, match=r"storage failed: s3://labels/a\.zip.*Check bucket, credentials and"):
        ingest(found, Manifest(exports=[]), tmp_path / "raw", LIMITS, lambda: "2026-01-01")


@pytest.mark.parametrize("url", ["s3://no-such-bucket/labels", "s3://labels/nothing-here"])
def test_missing_bucket_or_prefix_is_told_with_its_name(url: str, s3: S3Client, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=url):
        take(url, tmp_path / "raw")


@pytest.mark.slow
def test_server_that_is_not_there_is_told_with_what_to_check(s3: S3Client, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(PipelineError, match="Check bucket, credentials and endpoint URL"):
        exports_in("s3://labels", nobody, tmp_path / "work")


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
PARAMS = "ingest: {source: s3://labels/team, endpoint_url: null, max_files: 1000, max_gigabytes: 1, max_ratio: 1000}\n"


@pytest.mark.slow
def test_dvc_notices_new_exports_in_s3_and_data_comes_back_from_a_remote(s3: S3Client, tmp_path: Path) -> None:
    def dvc(*arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
        return done.stdout

    put(s3, "team/a.zip", zipped(tmp_path / "a.zip", {"annotations.xml": XML, "images/1.jpg": b"1"}))
    (tmp_path / "dvc.yaml").write_text(DVC_YAML.format(python=sys.executable))
    (tmp_path / "params.yaml").write_text(PARAMS)
    dvc("init", "--no-scm", "-q")
    dvc("config", "core.analytics", "false")
    assert "Running stage 'ingest'" in dvc("repro")
    assert "didn't change" in dvc("repro")
    put(s3, "team/b.zip", zipped(tmp_path / "b.zip", {"annotations.xml": XML + b" "}))
    assert "Running stage 'ingest'" in dvc("repro")
    dvc("remote", "add", "-d", "store", "s3://labels/store")
    dvc("push")
    subprocess.run(["rm", "-rf", "data", ".dvc/cache"], cwd=tmp_path, check=True)
    dvc("pull")
    assert (tmp_path / "data" / "raw" / "a" / "images" / "1.jpg").read_bytes() == b"1"
    assert (tmp_path / "data" / "raw" / "b" / "annotations.xml").read_bytes() == XML + b" "
    assert "up to date" in dvc("status")
