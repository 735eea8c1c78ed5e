"""What comes out of the registry is what was released, whoever wrote to its store meanwhile."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tasks.contracts.bundle import Bundle, bundle_sha256
from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Releases, Tracking
from tasks.contracts.record import read_record
from tasks.contracts.release import Change, Release
from tasks.releases.known_releases import pull_champion
from tasks.releases.registry import CHANGE
from tasks.releases.shipped import BUNDLES_SHA256, CONTENT, TARGET, TARGETS, Shipped
from tests.fixtures.release import Workspace, live, roll_back

pytest_plugins = ["tests.fixtures.mlflow_store"]
pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path: Path, tracking: Tracking) -> Workspace:
    """Version 1 was released."""
    return Workspace(tmp_path / "workspace").write("first").publish(tracking)


def stored(workspace: Workspace) -> Path:
    """The bundle of onnx in the registry's store."""
    return Path(read_record(workspace.release, Release).locations["artifacts"]) / "bundles" / "onnx"


def edit(workspace: Workspace, **fields: Any) -> None:
    path = stored(workspace) / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def edit_suppression(workspace: Workspace, tracking: Tracking) -> None:
    edit(workspace, output={"layout": "yolo", "nms_iou": 0.1})


def edit_classes(workspace: Workspace, tracking: Tracking) -> None:
    edit(workspace, classes=["dent"])


def exchange_artefact(workspace: Workspace, tracking: Tracking) -> None:
    artefact = stored(workspace) / "model.bin"
    artefact.write_bytes(bytes(artefact.stat().st_size))
    edit(workspace, files_sha256={"model.bin": content_sha256(artefact)})


def say_it_is_a_pickle(workspace: Workspace, tracking: Tracking) -> None:
    edit(workspace, target="pytorch")


def lead_out_of_the_folder(workspace: Workspace, tracking: Tracking) -> None:
    edit(workspace, artefact="../model.bin", files_sha256={"../model.bin": "0" * 64})


def link_to_elsewhere(workspace: Workspace, tracking: Tracking) -> None:
    (stored(workspace) / "model.bin").rename(workspace.root / "model.bin")
    (stored(workspace) / "model.bin").symlink_to(workspace.root / "model.bin")
    (workspace.root / "model.bin").write_text("exchanged")


def renew_tags(workspace: Workspace, tracking: Tracking) -> Shipped:
    """The artefact is another, and so are the tags of its version."""
    exchange_artefact(workspace, tracking)
    client = MlflowClient(tracking.uri)
    held = Shipped.of_tags(client.get_model_version(tracking.experiment, "1").tags)
    digest = bundle_sha256(read_record(stored(workspace) / "bundle.json", Bundle))
    renewed = Shipped(held.target, {**held.bundles, "onnx": digest}, held.checkpoint_sha256)
    for name, value in {**renewed.tags(), CONTENT: renewed.content_sha256}.items():
        client.set_model_version_tag(tracking.experiment, "1", name, value)
    return renewed


def renew_tags_and_the_line(workspace: Workspace, tracking: Tracking) -> None:
    renewed = renew_tags(workspace, tracking)
    client = MlflowClient(tracking.uri)
    tags = client.get_registered_model(tracking.experiment).tags
    [key] = [key for key in tags if key.startswith(CHANGE)]
    line = Change.model_validate_json(tags[key]).model_copy(update={"content_sha256": renewed.content_sha256})
    client.set_registered_model_tag(tracking.experiment, key, line.model_dump_json())


def delete_tags(workspace: Workspace, tracking: Tracking) -> None:
    """As of a version that was registered before bundles had digests."""
    exchange_artefact(workspace, tracking)
    client = MlflowClient(tracking.uri)
    for name in (BUNDLES_SHA256, CONTENT):
        client.delete_model_version_tag(tracking.experiment, "1", name)


FORGERIES: dict[str, tuple[Callable[[Workspace, Tracking], object], str]] = {
    "nms_iou": (edit_suppression, r"bundle\.json is not the one that was released"),
    "classes": (edit_classes, r"bundle\.json is not the one that was released"),
    "artefact": (exchange_artefact, r"bundle\.json is not the one that was released"),
    "a pickle": (say_it_is_a_pickle, r"bundle\.json says that it is 'pytorch'"),
    "a name out of the folder": (lead_out_of_the_folder, "is no plain file name"),
    "a link": (link_to_elsewhere, "onnx does not come back"),
    "artefact and tags": (renew_tags, "its tags are not those of its line in the release log"),
    "artefact, and no tags": (delete_tags, "its tags are gone or broken"),
}


@pytest.mark.parametrize(("forge", "said"), FORGERIES.values(), ids=FORGERIES)
def test_version_that_was_altered_is_neither_pulled_nor_rolled_back_to(
    forge: Callable[[Workspace, Tracking], object], said: str, workspace: Workspace, tracking: Tracking
) -> None:
    releases = Releases(log=workspace.root / "releases.jsonl")
    workspace.write("second", champion="1").publish(tracking)
    roll_back(workspace, tracking, "1")
    forge(_with_first_release(workspace, tracking), tracking)
    with pytest.raises(PipelineError, match=said):
        pull_champion(tracking, "onnx", workspace.root / "pulled", releases)
    assert not (workspace.root / "pulled").exists()
    roll_back(workspace, tracking, "2")
    with pytest.raises(PipelineError, match=said):
        roll_back(workspace, tracking, "1")
    assert live(tracking) == "2"


def _with_first_release(workspace: Workspace, tracking: Tracking) -> Workspace:
    release = read_record(workspace.release, Release)
    location = MlflowClient(tracking.uri).get_model_version_download_uri(tracking.experiment, "1")
    edited = release.model_copy(update={"locations": {**release.locations, "artifacts": location}})
    workspace.release.write_text(edited.model_dump_json())
    return workspace


def test_registry_that_was_altered_throughout_is_told_by_the_log_in_git(
    workspace: Workspace, tracking: Tracking
) -> None:
    renew_tags_and_the_line(workspace, tracking)
    with pytest.raises(PipelineError, match="the registry tells of a release otherwise than the release log"):
        pull_champion(tracking, "onnx", workspace.root / "pulled", Releases(log=workspace.root / "releases.jsonl"))


def test_version_that_ships_a_pickle_alone_is_not_read(workspace: Workspace, tracking: Tracking) -> None:
    client = MlflowClient(tracking.uri)
    for name, value in {TARGET: "pytorch", TARGETS: "pytorch"}.items():
        client.set_model_version_tag(tracking.experiment, "1", name, value)
    with pytest.raises(PipelineError, match="that is a pickle, which can run code, so it is never read"):
        pull_champion(tracking, "onnx", workspace.root / "pulled")
