"""`reports/release.json`: what went live; and the lines of the release log."""

from typing import Literal

from tasks.contracts.record import Record


class Change(Record):
    """One line of the release log: the alias `champion` was moved. Lines are added, never changed."""

    time: str  # UTC, ISO 8601
    who: str
    action: Literal["release", "rollback"]
    version: str  # that is live from then on
    before: str | None  # that was live until then; null: none
    why: str
    # Lines of earlier versions have none of these.
    model: str | None = None  # registered model's name
    content_sha256: str | None = None  # of all that the version ships
    signature: str | None = None  # base64, Ed25519, of all else in the line


class Release(Record):
    """What publish put into the registry."""

    model: str  # registered model's name
    version: str
    alias: str
    target: str  # the artefact that is live
    targets: list[str]  # all bundles of the version
    change: Change
    run_id: str  # MLflow run that holds the artefacts
    locations: dict[str, str]  # registry, artefacts and, where asked for, copy -> URI
    files_sha256: dict[str, dict[str, str]]  # target -> file of its bundle -> sha256
    bundles_sha256: dict[str, str] = {}  # target -> of the whole bundle, see contracts.bundle
    content_sha256: str | None = None  # of all that ships: bundles, checkpoint, and which of them is live
    lineage: dict[str, str]  # as the version's tags have it
