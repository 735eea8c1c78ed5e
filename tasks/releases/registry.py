"""The MLflow model registry: versions of released bundles, the alias on the one that is live, and its log."""

import logging
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.clients.sqlite_lock import one_at_a_time
from tasks.clients.tracking import connected, quiet_mlflow
from tasks.contracts.bundle import Bundle, bundle_faults, bundle_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Tracking
from tasks.contracts.record import read_record
from tasks.contracts.release import Change
from tasks.contracts.whole_output import whole_output
from tasks.releases.release_log import check_signature
from tasks.releases.shipped import BUNDLES_SHA256, CONTENT, TARGETS, Shipped

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

log = logging.getLogger(__name__)

ALIAS = "champion"
BUNDLES = "bundles"  # folder of a version's artefacts, one bundle per target in it
# Tags of the model.
CHANGE = "sightline.change."  # prefix of those that are the lines of the release log
MOVED = "sightline.moved"  # the last of these lines whose move is done


class Registry:
    """The registered model `name`, its versions and its champion."""

    def __init__(self, client: "MlflowClient", tracking: Tracking) -> None:
        self.name = tracking.experiment
        self._client = client
        self._tracking = tracking

    def champion(self) -> str | None:
        """The number of the version that is live; None where nothing is yet."""
        model = self._model()
        version = None if model is None else model.aliases.get(ALIAS)
        return None if version is None else str(version)

    def versions(self) -> dict[str, "ModelVersion"]:
        """All versions by number, the oldest first."""
        found = self._client.search_model_versions(f"name = '{self.name}'", order_by=["version_number ASC"])
        return {str(version.version): version for version in found}

    def holding(self, content_sha256: str) -> str | None:
        """The number of the first version that holds this content; None where it is not registered yet."""
        numbers = (number for number, version in self.versions().items() if version.tags.get(CONTENT) == content_sha256)
        return next(numbers, None)

    def register(self, shipped: Shipped, run_id: str, tags: Mapping[str, str], description: str) -> str:
        """The number of the version that ships this, made of the run's artefacts if there is none yet.

        A version that there is stays as it is, in its tags, too.
        """
        content = shipped.content_sha256
        there = self.holding(content)
        if there is not None:
            return there
        if self._model() is None:
            self._client.create_registered_model(self.name)
        source = self._client.get_run(run_id).info.artifact_uri
        version = self._client.create_model_version(
            self.name,
            source,
            run_id=run_id,
            tags={**tags, **shipped.tags(), CONTENT: content},
            description=description,
        )
        # Two machines may both have made one, at a server: the first is everybody's.
        return self.holding(content) or str(version.version)

    def shipped(self, version: str) -> Shipped | None:
        """What the version's tags say that it ships; None of one that was registered before bundles had digests.

        Raises PipelineError if the tags contradict each other or the release log.
        """
        tags = self.versions()[version].tags
        logged = {change.content_sha256 for change in self.changes() if change.version == version} - {None}
        if BUNDLES_SHA256 not in tags and not logged:
            return None
        try:
            shipped = Shipped.of_tags(tags)
        except (KeyError, ValueError) as error:
            raise self._changed(version, f"its tags are gone or broken: {error}") from error
        if tags.get(CONTENT) != shipped.content_sha256 or logged - {shipped.content_sha256}:
            raise self._changed(
                version, f"its tags are not those of its {'line in the release log' if logged else CONTENT}"
            )
        return shipped

    def _changed(self, version: str, fault: str) -> PipelineError:
        return PipelineError(
            "a registered version is not what was released",
            f"{self.name} version {version}: {fault}",
            "Restore the registry's store, or roll back to another version",
        )

    def content(self, version: str) -> str | None:
        """Digest of all that a version ships; None of one that was registered before bundles had digests."""
        shipped = self.shipped(version)
        return None if shipped is None else shipped.content_sha256

    def location(self, version: str) -> str:
        """URI of the version's artefacts."""
        return str(self._client.get_model_version_download_uri(self.name, version))

    def pull(self, version: str, target: str, to: Path) -> Bundle:
        """Bring one bundle of a version to the folder `to`, whole or not at all.

        Raises PipelineError if it is not, file by file and as a whole, the one that was released.
        """
        shipped = self.shipped(version)
        where = f"{self.location(version)}/{BUNDLES}/{target}"
        mlflow = quiet_mlflow()
        with whole_output(to) as partial:
            try:
                mlflow.artifacts.download_artifacts(where, dst_path=str(partial), tracking_uri=self._tracking.uri)
                for path in (partial / target).iterdir():
                    path.replace(partial / path.name)
            except (mlflow.MlflowException, OSError) as error:
                raise self._not_whole(version, target, f"{where} does not come back: {error}") from error
            (partial / target).rmdir()
            if not (partial / "bundle.json").is_file():
                raise self._not_whole(version, target, "bundle.json is missing")
            bundle = read_record(partial / "bundle.json", Bundle)
            faults = bundle_faults(partial, bundle)
            if bundle.target != target:
                faults.append(f"bundle.json says that it is {bundle.target!r}")
            if shipped is None:
                log.warning(
                    "%s version %s was registered before bundles had digests: its files alone are checked",
                    self.name,
                    version,
                )
            elif shipped.bundles.get(target) != bundle_sha256(bundle):
                faults.append("bundle.json is not the one that was released (sha256 differs)")
            if faults:
                raise self._not_whole(version, target, "; ".join(faults))
        return bundle

    def _not_whole(self, version: str, target: str, fault: str) -> PipelineError:
        return PipelineError(
            "a registered bundle is not what was released",
            f"{self.name} version {version}, {target}: {fault}",
            "Restore the artefact store, or roll back to a version that is whole",
        )

    def check(self, version: str) -> None:
        """Raises PipelineError unless every bundle of the version comes back as it was released."""
        targets = self.versions()[version].tags.get(TARGETS)
        if not targets:
            raise PipelineError(
                "a version without bundles cannot go live",
                f"{self.name} version {version} has no tag {TARGETS}, so publish did not register it",
                "Name a version that publish registered",
            )
        with tempfile.TemporaryDirectory() as scratch:
            for target in targets.split(","):
                self.pull(version, target, Path(scratch) / target)

    def changes(self) -> list[Change]:
        """The release log, oldest line first."""
        return list(self._lines().values())

    def _lines(self) -> dict[str, Change]:
        """The release log by the keys of its tags, oldest line first."""
        tags = self._tags()
        return {key: Change.model_validate_json(tags[key]) for key in sorted(tags) if key.startswith(CHANGE)}

    def move(self, change: Change, sign: Callable[[Change], Change] | None = None) -> Change:
        """Move the alias as `change` says, its line in the log first: nothing goes live without one.

        sign: puts the site's signature on a line.
        Returns the line: that of a killed process, its move not done, counts and is not written again.
        """
        lines = self._lines()
        last = next(reversed(lines), None)
        left_behind = (
            last is not None
            and last != self._tags().get(MOVED)
            and lines[last].model_copy(update={"time": change.time, "signature": None}) == change
            and bool(lines[last].signature) == bool(sign)
        )
        if last is not None and left_behind:
            key, change = last, lines[last]
        else:
            key = _key_after(last, change.time)
            change = change if sign is None else sign(change)
            self._client.set_registered_model_tag(self.name, key, change.model_dump_json())
        self._client.set_registered_model_alias(self.name, ALIAS, change.version)
        self._client.set_registered_model_tag(self.name, MOVED, key)
        return change

    def _tags(self) -> Mapping[str, str]:
        model = self._model()
        return {} if model is None else model.tags

    def _model(self) -> "RegisteredModel | None":
        try:
            return self._client.get_registered_model(self.name)
        except quiet_mlflow().MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    @property
    def where(self) -> str:
        """Name and place, for people."""
        return f"{self.name} at {self._tracking.uri}"

    def check_logged(self, version: str) -> None:
        """Raises PipelineError unless the log's last line made the version live, or a killed move left it there."""
        lines, moved = self._lines(), self._tags().get(MOVED, "")
        if version in [change.version for key, change in lines.items() if key >= moved]:
            return
        last = next(reversed(lines.values()), None)
        ask = "python -m tasks.publish --rollback"
        back = "" if last is None else f"Make version {last.version} live again: {ask} {last.version} --why REASON. "
        raise PipelineError(
            "what is live has no line in the release log",
            f"{self.where}: the alias stands on version {version}, and was moved by hand",
            f"{back}To vouch for version {version}: {ask} {version} --why REASON",
        )

    def check_whole(self, version: str, target: str) -> None:
        """Raises PipelineError if files that the bundle names are not there; but for `bundle.json` none is read."""
        mlflow = quiet_mlflow()
        where = f"{self.location(version)}/{BUNDLES}/{target}"
        try:
            listed = mlflow.artifacts.list_artifacts(where, tracking_uri=self._tracking.uri)
            names = {Path(file.path).name for file in listed}
            if "bundle.json" not in names:
                raise self._not_whole(version, target, f"{where} holds no bundle.json")
            with tempfile.TemporaryDirectory() as folder:
                mlflow.artifacts.download_artifacts(
                    artifact_uri=f"{where}/bundle.json", dst_path=folder, tracking_uri=self._tracking.uri
                )
                bundle = read_record(Path(folder) / "bundle.json", Bundle)
        except (mlflow.MlflowException, OSError) as error:
            raise self._not_whole(version, target, f"{where} cannot be listed: {error}") from error
        lacking = sorted(set(bundle.files_sha256) - names)
        if lacking:
            raise self._not_whole(version, target, f"{where} lacks {', '.join(lacking)}")

    def check_signed(self, version: str, verify_with: Sequence[Path]) -> None:
        """Raises PipelineError unless the log's last line made the version live, names what it ships, and is signed."""
        self.check_logged(version)
        changes = self.changes()
        check_signature(changes[-1], verify_with, self.where)
        if changes[-1].content_sha256 is None or changes[-1].model != self.name:
            raise PipelineError(
                "the signature does not cover what is live",
                f"{self.where}: version {version} was registered before bundles had digests, or as another model",
                "Publish it again, as a version of its own",
            )

    def one_at_a_time(self) -> AbstractContextManager[None]:
        """Keep other processes of this machine from moving the alias meanwhile."""
        return one_at_a_time(self._tracking.uri)


def _key_after(last: str | None, time: str) -> str:
    """Key of a line that sorts behind the last one, even if that was written by a clock that is ahead of ours.

    The rest of a key keeps two processes from writing over each other's line.
    """
    if last is not None:
        written = datetime.fromisoformat(last.removeprefix(CHANGE).rpartition("-")[0])
        at = max(datetime.fromisoformat(time), written + timedelta(milliseconds=1))
        # Z, not +00:00: a tag's name takes no plus.
        time = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{CHANGE}{time}-{uuid.uuid4().hex[:8]}"


@contextmanager
def open_registry(tracking: Tracking) -> Iterator[Registry]:
    """The registry of `tracking`; its errors become a PipelineError."""
    with connected(tracking) as client:
        yield Registry(client, tracking)
