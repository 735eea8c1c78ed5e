"""The MLflow model registry: versions of released bundles, the alias on the one that is live, and its log."""

import logging
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.clients.sqlite_lock import one_at_a_time
from tasks.clients.tracking import connected, quiet_mlflow
from tasks.contracts.bundle import Bundle, bundle_faults
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Tracking
from tasks.contracts.record import read_record
from tasks.contracts.release import Change
from tasks.contracts.stage import whole_output

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

log = logging.getLogger(__name__)

ALIAS = "champion"
BUNDLES = "bundles"  # folder of a version's artefacts, one bundle per target in it
# Tags of a version.
CONTENT = "sightline.content_sha256"  # of all its bundles: the same content is registered once
TARGET = "sightline.target"  # the artefact that goes live
TARGETS = "sightline.targets"  # every bundle that it holds, comma-separated
VERDICT = "sightline.verdict"  # why it may go live
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
        """The number of the version that holds this content; None where it is not registered yet."""
        held = {version.tags.get(CONTENT): number for number, version in self.versions().items()}
        return held.get(content_sha256)

    def register(self, content_sha256: str, run_id: str, tags: Mapping[str, str], description: str) -> str:
        """The number of the version that holds this content, made of the run's artefacts if there is none yet."""
        held = self.holding(content_sha256)
        if held is not None:
            self._judge_anew(held, tags)
            return held
        if self._model() is None:
            self._client.create_registered_model(self.name)
        source = self._client.get_run(run_id).info.artifact_uri
        version = self._client.create_model_version(
            self.name, source, run_id=run_id, tags={**tags, CONTENT: content_sha256}, description=description
        )
        return str(version.version)

    def _judge_anew(self, version: str, tags: Mapping[str, str]) -> None:
        """The same bundles may be released for another target, and for other reasons."""
        held = self.versions()[version].tags
        for key in (TARGET, TARGETS, VERDICT):
            if held.get(key) != tags[key]:
                log.info("%s version %s: %s was %r, and is %r", self.name, version, key, held.get(key), tags[key])
                self._client.set_model_version_tag(self.name, version, key, tags[key])

    def location(self, version: str) -> str:
        """URI of the version's artefacts."""
        return str(self._client.get_model_version_download_uri(self.name, version))

    def pull(self, version: str, target: str, to: Path) -> Bundle:
        """Bring one bundle of a version to the folder `to`, whole or not at all.

        Raises PipelineError if a file is missing or is not the one that was released.
        """
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

    def move(self, change: Change) -> Change:
        """Move the alias as `change` says, its line in the log first: nothing goes live without one.

        Returns the line: that of a killed process, its move not done, counts and is not written again.
        """
        lines = self._lines()
        last = next(reversed(lines), None)
        left_behind = (
            last is not None
            and last != self._tags().get(MOVED)
            and lines[last].model_copy(update={"time": change.time}) == change
        )
        if last is not None and left_behind:
            key, change = last, lines[last]
        else:
            key = _key_after(last, change.time)
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


def pull_champion(tracking: Tracking, target: str, to: Path) -> str | None:
    """Bring the champion's bundle of `target` to the folder `to`, whole or not at all, each file checked by sha256.

    Returns its registry version, or None where there is no champion yet. A champion that was not released for `target`
    comes as the artefact that went live with it, since that is what a challenger has to beat.
    """
    with open_registry(tracking) as registry:
        version = registry.champion()
        if version is None:
            return None
        tags = registry.versions()[version].tags
        if target not in tags.get(TARGETS, target).split(","):
            log.warning("champion %s was not released as %s; taking its %s", version, target, tags[TARGET])
            target = tags[TARGET]
        registry.pull(version, target, to)
        return version
