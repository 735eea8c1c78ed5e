"""Whether the outside systems of a run answer, asked once and within seconds.

Their own clients try again for minutes: a PostgreSQL that refuses is told by MLflow after two of them.
"""

import os
import shutil
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from tasks.contracts.errors import PipelineError, without_passwords

Question = Callable[[], str]  # the answer is a fault, or empty
_SERVERS = ("postgresql", "mysql")
_SECONDS = 10  # for a database that a stage is about to use
_REFUSES_TO_LIST = {"AccessDenied", "403"}


def faults(questions: Mapping[str, Question], seconds: float) -> Iterator[str]:
    """Ask all at once; for each param that names a store what is wrong with it. None gets much more than `seconds`."""
    answers: dict[str, str] = {}

    def ask(param: str, question: Question) -> None:
        answers[param] = question()

    # Nobody waits for a daemon at the end: a name server that is silent would hold all up.
    asked = [threading.Thread(target=ask, args=item, daemon=True) for item in questions.items()]
    until = time.monotonic() + seconds + 1
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join(max(until - time.monotonic(), 0))
    for param in questions:
        if fault := answers.get(param, f"no answer within {seconds:g} s"):
            yield without_passwords(f"{param}: {fault}")


def tracking_answers(uri: str, seconds: float) -> str:
    """An MLflow server, a database, or a file that can be one."""
    if uri.startswith(("http://", "https://")):
        return _server_answers(uri, seconds)
    # Others are names that MLflow alone knows.
    return database_answers(uri, seconds) if "://" in uri else ""


def _server_answers(uri: str, seconds: float) -> str:
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    health = urlunsplit((parts.scheme, host, f"{parts.path.rstrip('/')}/health", "", ""))
    try:
        with urllib.request.urlopen(health, timeout=seconds):  # noqa: S310  # of http or https
            return ""
    except urllib.error.HTTPError as error:
        # It may want a password for this, or know no such page; it is there.
        return f"{uri} answers with an error of its own, {error.code}" if error.code >= 500 else ""
    except (OSError, ValueError) as error:
        return f"{uri} does not answer: {getattr(error, 'reason', error)}"


def database_answers(url: str, seconds: float) -> str:
    """A database that SQLAlchemy knows; of SQLite a file, or a folder to make it in."""
    try:
        parsed = sa.make_url(url)
        kind = parsed.get_backend_name()
        if kind == "sqlite":
            return _file_answers(Path(parsed.database or ""))
        # libpq takes whole seconds, 2 at least.
        limit = {"connect_timeout": max(int(seconds), 2)} if kind in _SERVERS else {}
        with sa.create_engine(parsed, poolclass=sa.NullPool, connect_args=limit).connect():
            return ""
    except (SQLAlchemyError, ImportError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        return f"{url} cannot be used: {reason}"


def refuse_silent_database(uri: str) -> None:
    """Raises PipelineError if a database server does not answer; of other URIs nothing is asked."""
    if uri.startswith(_SERVERS) and (fault := database_answers(uri, _SECONDS)):
        raise PipelineError(
            "MLflow cannot be used", fault, "Start the database, install its driver, or correct tracking in params.yaml"
        )


def _file_answers(file: Path) -> str:
    if not file.name:
        return ""  # in memory
    if not file.is_file():
        return folder_answers(file.parent)
    if not os.access(file, os.W_OK) or not os.access(file.parent, os.W_OK):
        return f"{file} and its folder cannot be written"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as database:
            database.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError as error:
        # Somebody is writing, so it is sound.
        return "" if "locked" in str(error) else f"{file} cannot be read: {error}"
    except sqlite3.Error as error:
        return f"{file} is no sound SQLite file: {error}"
    return ""


def folder_answers(folder: Path) -> str:
    """A folder that is there or can be made, and written."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        return f"{folder} cannot be made: {place} is a file"
    return "" if os.access(place, os.W_OK | os.X_OK) else f"{folder} cannot be written"


def bucket_answers(url: str, endpoint_url: str | None, seconds: float, *, holds_something: bool = False) -> str:
    """A bucket that is there and takes our credentials; one to be read must hold something below the prefix."""
    # Every stage that tracks imports this module, and few have a bucket.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    name, _, prefix = url.removeprefix("s3://").partition("/")
    once = Config(connect_timeout=seconds, read_timeout=seconds, retries={"total_max_attempts": 1})
    try:
        # A session of its own: the common one is made by whoever comes first, and several ask at once.
        client = boto3.session.Session().client("s3", endpoint_url=endpoint_url, config=once)
        listed = client.list_objects_v2(Bucket=name, Prefix=prefix, MaxKeys=1)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        # To write does not take the right to list.
        return f"{url}: {error}" if holds_something or code not in _REFUSES_TO_LIST else ""
    except (BotoCoreError, ValueError) as error:
        return f"{url}: {error}"
    return f"{url} holds nothing" if holds_something and not listed.get("KeyCount") else ""


def source_answers(source: str, endpoint_url: str | None, seconds: float) -> str:
    """Where labels come from: a bucket, a zip, or a folder that is not empty."""
    if source.startswith("s3://"):
        return bucket_answers(source, endpoint_url, seconds, holds_something=True)
    path = Path(source)
    if path.is_dir():
        return "" if any(path.iterdir()) else f"{source} is empty"
    if not path.exists():
        return f"{source} is not there; give a zip, a folder of exports, or s3://bucket/prefix"
    return "" if path.suffix.lower() == ".zip" else f"{source} is neither a folder nor a zip"


def disk_faults(folder: Path, least_gigabytes: float) -> Iterator[str]:
    """A folder that cannot be written, or whose disk has less space than is asked for."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < least_gigabytes:
        yield f"{free:.1f} GB are free on the disk, doctor.min_free_gigabytes asks for {least_gigabytes:g}"
    yield from filter(None, [folder_answers(folder)])
