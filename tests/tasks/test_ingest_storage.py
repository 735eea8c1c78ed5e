"""ingest from object storage: what is taken, what is not downloaded again, and whose fault stops what."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from mypy_boto3_s3 import S3Client

from tasks.contracts.errors import PipelineError
from tasks.contracts.manifest import Manifest
from tasks.contracts.record import read_record
from tasks.ingest import ingest
from tasks.sources.archives import Limits
from tasks.sources.label_sources import exports_in
from tests.fixtures.storage import put, zipped

pytest_plugins = ["tests.fixtures.storage"]

LIMITS = Limits(max_files=1000, max_gigabytes=1, max_ratio=1000)
XML = b"<annotations/>"


def take(source: str, raw: Path, manifest: Manifest | None = None) -> Manifest:
    found = exports_in(source, None, raw.parent / "work")
    return ingest(found, manifest or Manifest(exports=[]), raw, LIMITS)


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
    manifest = ingest([found], Manifest(exports=[]), tmp_path / "raw", LIMITS)
    s3.delete_object(Bucket="labels", Key="a.zip")  # a download would fail now
    assert ingest([found], manifest, tmp_path / "raw", LIMITS) == manifest


def upload_in_parts(s3: S3Client, key: str, data: bytes) -> None:
    upload = s3.create_multipart_upload(Bucket="labels", Key=key)["UploadId"]
    etag = s3.upload_part(Bucket="labels", Key=key, UploadId=upload, PartNumber=1, Body=data)["ETag"]
    s3.complete_multipart_upload(
        Bucket="labels", Key=key, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
    )


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
    manifest = ingest(found, first, tmp_path / "raw", LIMITS)
    assert [export.folder for export in manifest.exports] == ["a"]
    assert manifest == read_record(tmp_path / "raw" / "manifest.json", Manifest)
    for listed in {"a.zip", key}:
        s3.delete_object(Bucket="labels", Key=listed)  # a download would fail now
    assert ingest(found, manifest, tmp_path / "raw", LIMITS) == manifest


def test_new_content_of_an_object_is_a_new_version(s3: S3Client, tmp_path: Path) -> None:
    put(s3, "a.zip", zipped(tmp_path / "a.zip", {"annotations.xml": XML}))
    manifest = take("s3://labels", tmp_path / "raw")
    put(s3, "a.zip", zipped(tmp_path / "a.zip", {"annotations.xml": XML + b" "}))
    assert [export.name for export in take("s3://labels", tmp_path / "raw", manifest).exports] == ["a", "a"]


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


def test_limits_are_held_before_anything_is_downloaded(s3: S3Client, tmp_path: Path) -> None:
    put(s3, "a.zip", bytes(5000))
    limits = LIMITS.model_copy(update={"max_gigabytes": 1e-6})
    found = exports_in("s3://labels", None, tmp_path / "work")
    with pytest.raises(PipelineError, match=r"ingest\.max_gigabytes is 1e-06"):
        ingest(found, Manifest(exports=[]), tmp_path / "raw", limits)
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
        ingest(found, Manifest(exports=[]), tmp_path / "raw", LIMITS)


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
