"""`data/raw/manifest.json`: which exports are held, where they came from and when."""

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
    taken: str  # UTC, ISO 8601; a later export of the same name stands above an earlier one

    @property
    def revisions(self) -> list[str]:
        """All by which storage is known to hold these bytes."""
        return [revision for revision in (self.revision, *self.other_revisions) if revision]


class Manifest(Record):
    """All exports held, in the order in which they were taken."""

    exports: list[Export]
