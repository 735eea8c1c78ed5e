"""Object storage that speaks S3: listing, downloads that go on where they stopped, uploads."""

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from boto3.exceptions import S3UploadFailedError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from urllib3.exceptions import HTTPError

from tasks.contracts.errors import PipelineError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES = 1 << 20
CONTENT = "content.sha256"  # object that says what a release's copy holds
MD5_ETAG_LENGTH = 32  # an ETag of another length is no MD5: multipart uploads have one with a dash


@dataclass(frozen=True)
class StoredObject:
    """One object as a listing names it."""

    key: str
    size_bytes: int
    etag: str  # changes with the content


class ObjectError(PipelineError):
    """One object cannot be had; others may well be."""


class Bucket:
    """A bucket's objects below a prefix, written `s3://bucket/prefix`.

    Credentials and region come from the environment, as boto3 finds them; an endpoint URL of None means
    AWS_ENDPOINT_URL or else AWS.
    Every method raises PipelineError where the storage refuses or cannot be reached.
    """

    def __init__(self, url: str, endpoint_url: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.name, _, self.prefix = self.url.removeprefix("s3://").partition("/")
        # boto3 tells at level INFO where it found its credentials.
        logging.getLogger("botocore").setLevel(logging.WARNING)
        with self._reported(self.url):
            self._client: S3Client = boto3.client(
                "s3",
                endpoint_url=endpoint_url,
                config=Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 5}),
            )

    def url_of(self, key: str) -> str:
        """Where an object lies, for people."""
        return f"s3://{self.name}/{key}"

    def objects(self) -> list[StoredObject]:
        """All objects below the prefix, or the one object that the prefix names; folder markers are left out."""
        with self._reported(self.url):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=self.prefix)
            listed = [
                StoredObject(entry["Key"], entry["Size"], entry["ETag"].strip('"'))
                for page in pages
                for entry in page.get("Contents", [])
            ]
        # The prefix `labels` must not bring what lies below `labels-old/`.
        below = f"{self.prefix}/" if self.prefix else ""
        return [
            found
            for found in listed
            if (found.key == self.prefix or found.key.startswith(below)) and not found.key.endswith("/")
        ]

    def download(self, found: StoredObject, to: Path, progress: Callable[[int], object]) -> None:
        """Bring an object to the file `to`, going on from `<to>.part` if a download of it broke off.

        `progress` is told of the bytes that are there, those of an earlier try included. By hand, as boto3's
        `download_file` begins again whenever it is broken off, and takes whatever version lies there by then.

        Raises ObjectError if it is this object that cannot be had.
        """
        if to.is_file():
            progress(found.size_bytes)
            return
        to.parent.mkdir(parents=True, exist_ok=True)
        part = to.with_name(f"{to.name}.part")
        where = self.url_of(found.key)
        with self._reported(where, ObjectError), part.open("ab") as file:
            start = file.tell()
            progress(start)
            if start < found.size_bytes:
                # IfMatch: bytes of another version must not be joined to those that are there.
                answer = self._client.get_object(
                    Bucket=self.name, Key=found.key, Range=f"bytes={start}-", IfMatch=found.etag
                )
                for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
                    file.write(chunk)
                    progress(len(chunk))
        # Joined bytes have to match the ETag, unbroken ones only the size: under some encryptions an ETag is no MD5.
        if part.stat().st_size != found.size_bytes or (start and not _matches_etag(part, found.etag)):
            part.unlink()
            raise ObjectError("downloaded bytes are not those of the object", where, "Run again to download it afresh")
        part.replace(to)

    def claim(self, key: str, sha256: str) -> None:
        """Mark a key below the prefix as the place of what has this digest.

        Raises PipelineError if something else lies there: a copy that was made is never written over.
        """
        below = f"{self.prefix}/{key}" if self.prefix else key
        with self._reported(self.url_of(below)):
            listed = self._client.list_objects_v2(Bucket=self.name, Prefix=f"{below}/").get("Contents", [])
            mark = f"{below}/{CONTENT}"
            if not listed:
                self._client.put_object(Bucket=self.name, Key=mark, Body=sha256.encode())
                return
            marked = any(entry["Key"] == mark for entry in listed)
            found = self._client.get_object(Bucket=self.name, Key=mark)["Body"].read() if marked else b""
        if found != sha256.encode():
            raise PipelineError(
                "another release lies there already", self.url_of(below), "Set publish.copy_to to another prefix"
            )

    def upload_folder(self, folder: Path, key: str) -> str:
        """Store a folder's files under a key below the prefix; returns its URL."""
        below = f"{self.prefix}/{key}" if self.prefix else key
        with self._reported(self.url_of(below)):
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                self._client.upload_file(str(path), self.name, f"{below}/{path.relative_to(folder).as_posix()}")
        return self.url_of(below)

    @contextmanager
    def _reported(self, where: str, refused: type[PipelineError] = PipelineError) -> Iterator[None]:
        """Tell of faults: as `refused` where the server answers, but not with what was asked for."""
        try:
            yield
        except (ClientError, BotoCoreError, HTTPClientError, HTTPError, S3UploadFailedError) as error:
            kind = refused if isinstance(error, ClientError) else PipelineError
            raise kind(
                "object storage failed",
                f"{where}: {error}",
                "Check bucket, credentials and endpoint URL, then run again: it goes on where it stopped",
            ) from error


def _matches_etag(path: Path, etag: str) -> bool:
    if len(etag) != MD5_ETAG_LENGTH:
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == etag
