"""### Starts training when labels have changed

Looks at the label source of `params.yaml` (`ingest.source`: a zip, a folder or an `s3://` prefix) every few minutes.
A source whose names, sizes and times are those of the last update starts nothing; any other updates the asset `labels`,
which schedules DAG `training`. What was seen is kept with the asset's event. Unpause this DAG to have it watch.
"""

# Airflow fills in what tasks take from their context.
# mypy: disable-error-code="call-arg, arg-type"

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import DAG, Asset, task
from airflow.sdk.exceptions import AirflowSkipException
from settings import read_settings
from training_form import DEFAULTS

SETTINGS = read_settings()
LABELS = Asset("labels")
# What changed this recently may still be being copied; the next look takes it.
QUIET = timedelta(seconds=60)


@task(
    inlets=[LABELS],
    outlets=[LABELS],
    retries=2,
    retry_delay=timedelta(seconds=30),
    retry_exponential_backoff=2,
    execution_timeout=timedelta(minutes=30),
)
def watch(inlet_events: Any, outlet_events: Any) -> str:
    """Update the asset if the source's listing is not that of the last update; skipped otherwise."""
    source = str(DEFAULTS["ingest"]["source"])
    listed = sorted(listing(source, DEFAULTS["ingest"].get("endpoint_url")))
    if not listed:
        raise AirflowSkipException(f"nothing in {source} yet")
    digest = hashlib.sha256(json.dumps([source, listed]).encode()).hexdigest()
    events = inlet_events[LABELS]
    if len(events) and events[-1].extra.get("listing") == digest:
        raise AirflowSkipException(f"{source} is as it was: {len(listed)} files")
    now = datetime.now(UTC)
    # A time that lies further ahead is a wrong one, and says nothing: waiting for it could take years.
    if any(abs(now - datetime.fromisoformat(changed)) < QUIET for _, _, changed in listed):
        raise AirflowSkipException(f"{source} has changed within the last {QUIET.seconds} s and may still be changing")
    outlet_events[LABELS].extra = {"listing": digest, "files": len(listed), "source": source}
    return digest


def listing(source: str, endpoint_url: str | None) -> Iterator[tuple[str, int, str]]:
    """Name, size in bytes and time of change in UTC of every file of the source."""
    address = urlsplit(source)
    if address.scheme == "s3":
        yield from _in_storage(address.netloc, address.path.lstrip("/"), endpoint_url)
        return
    path = Path(SETTINGS.shared, source)
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            status = file.stat()
            changed = datetime.fromtimestamp(status.st_mtime, UTC).isoformat()
            yield file.relative_to(path.parent).as_posix(), status.st_size, changed


def _in_storage(bucket: str, prefix: str, endpoint_url: str | None) -> Iterator[tuple[str, int, str]]:
    import boto3  # noqa: PLC0415  # only for a source in object storage

    client = boto3.client("s3", endpoint_url=endpoint_url)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            yield found["Key"], found["Size"], found["LastModified"].astimezone(UTC).isoformat()


with DAG(
    dag_id="labels",
    description="Starts training when labels have changed",
    doc_md=__doc__,
    schedule=timedelta(minutes=SETTINGS.watch_every_minutes),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    # Two looks at the same time would both see the change.
    max_active_runs=1,
    default_args={"owner": "vision"},
    tags=["sightline"],
) as dag:
    watch()
