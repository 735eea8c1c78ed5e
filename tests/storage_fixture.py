"""A local S3 server for tests."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from mypy_boto3_s3 import S3Client

from tasks.clients.object_storage import StoredObject


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
