"""`data/raw/manifest.json`: which exports there are and where they came from.

Equal exports give equal manifests, whenever and in whatever order they were taken; only versions of one name stand in
the order in which they came.
"""

from typing import Any

from pydantic import model_validator

from tasks.contracts.record import Record

MANIFEST = "manifest.json"


class Export(Record):
    """One export, exactly as it came; its files lie in `data/raw/<folder>/`."""

    name: str  # the zip's stem or the folder's name in the source
    folder: str  # below data/raw: the name, or name-<first 8 of sha256> where the name was taken
    source: str  # path or URL it was read from
    sha256: str  # of the zip's bytes; of a folder, over its files' relative paths and bytes
    bytes: int  # of the unpacked files together
    files: int
    revision: str | None = None  # how object storage names this content, known without a download
    other_revisions: list[str] = []  # under which storage brought the same bytes since: copied, or uploaded again

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, given: Any) -> Any:
        # They noted the time at which an export was taken.
        return {name: value for name, value in given.items() if name != "taken"} if isinstance(given, dict) else given

    @property
    def revisions(self) -> list[str]:
        """All by which storage is known to hold these bytes."""
        return [revision for revision in (self.revision, *self.other_revisions) if revision]


class Manifest(Record):
    """All exports, by name; of one name the later version last, which stands above the earlier ones."""

    exports: list[Export]
