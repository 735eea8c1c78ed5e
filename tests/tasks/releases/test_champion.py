"""The champion: rolled back with a reason and only to what is whole, pulled as it was released."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.contracts.bundle import Bundle
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Releases, Tracking
from tasks.contracts.record import read_record
from tasks.contracts.release import Release
from tasks.releases import champion
from tasks.releases.champion import By
from tasks.releases.known_releases import pull_champion, release_fault
from tasks.releases.registry import open_registry
from tests.fixtures.release import Workspace, live, logged, roll_back, versions

pytest_plugins = ["tests.fixtures.mlflow_store"]
pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def two(workspace: Workspace, tracking: Tracking) -> Workspace:
    """Version 1 was released, and then version 2."""
    workspace.write("first").publish(tracking)
    return workspace.write("second", champion="1").publish(tracking)


def test_rollback_moves_back_and_says_so_in_the_log(workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first").publish(tracking)
    workspace.write("second", champion="1").publish(tracking)
    roll_back(workspace, tracking, "1")
    assert live(tracking) == "1"
    assert logged(workspace)[-1] == ("rollback", "2", "1")
    assert json.loads((workspace.root / "releases.jsonl").read_text().splitlines()[-1])["why"] == "misses cracks"


def test_version_that_was_rolled_back_from_does_not_come_back_by_itself(
    workspace: Workspace, tracking: Tracking
) -> None:
    workspace.write("first").publish(tracking)
    workspace.write("second", champion="1").publish(tracking)
    roll_back(workspace, tracking, "1")
    with pytest.raises(PipelineError, match=r"misses cracks\. Train another model, or .* --rollback 2"):
        workspace.publish(tracking)
    assert live(tracking) == "1"
    roll_back(workspace, tracking, "2", "the lamp was to blame")
    workspace.publish(tracking)
    assert live(tracking) == "2"


@pytest.mark.parametrize(
    ("version", "why", "said"),
    [
        pytest.param("9", "reason", "Valid are: 1, 2", id="unknown"),
        pytest.param("2", "reason", "live already", id="live"),
        pytest.param("1", "", "Add --why REASON", id="without reason"),
    ],
)
def test_rollback_is_refused(version: str, why: str, said: str, workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first").publish(tracking)
    workspace.write("second", champion="1").publish(tracking)
    with pytest.raises(PipelineError, match=said):
        roll_back(workspace, tracking, version, why)
    assert live(tracking) == "2"


@pytest.mark.parametrize(("model", "compared_with"), [("third", "1"), ("third", "2"), ("first", "2")])
def test_nothing_is_published_over_an_alias_that_was_moved_by_hand_until_somebody_vouches_for_it(
    model: str, compared_with: str, two: Workspace, tracking: Tracking
) -> None:
    client = MlflowClient(tracking.uri)
    client.set_registered_model_alias(tracking.experiment, "champion", "1")
    two.write(model, champion=compared_with)
    with pytest.raises(PipelineError) as refused:
        two.publish(tracking)
    assert str(refused.value) == release_fault(tracking, Releases(log=two.root / "releases.jsonl"), "onnx")
    assert "version 1, and was moved by hand" in str(refused.value)
    assert (live(tracking), versions(tracking)) == ("1", ["1", "2"])
    runs = client.search_runs([client.get_experiment_by_name(tracking.experiment).experiment_id])
    assert len(runs) == 2
    roll_back(two, tracking, "1")
    two.write("third", champion="1").publish(tracking)
    assert logged(two)[2:] == [("rollback", "2", "1"), ("release", "1", "3")]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("bundles", r"onnx does not come back: .*"),
        ("bundles/openvino-int8", r"openvino-int8 does not come back: .*"),
        ("bundles/onnx/bundle.json", r"onnx: bundle\.json is missing"),
        ("bundles/openvino-int8/model.bin", r"openvino-int8: model\.bin is missing"),
    ],
)
def test_rollback_to_bundles_that_are_not_whole_moves_nothing(
    damage: str, said: str, workspace: Workspace, tracking: Tracking
) -> None:
    workspace.write("first").publish(tracking)
    stored = Path(read_record(workspace.release, Release).locations["artifacts"])
    workspace.write("second", champion="1").publish(tracking)
    shutil.rmtree(stored / damage) if (stored / damage).is_dir() else (stored / damage).unlink()
    with pytest.raises(PipelineError, match=rf"{said}(.|\n)*Restore the artefact store, or roll back to a version"):
        roll_back(workspace, tracking, "1")
    assert live(tracking) == "2"
    assert logged(workspace)[-1] == ("release", "1", "2")


def test_rollback_to_a_version_that_publish_did_not_register_is_refused(two: Workspace, tracking: Tracking) -> None:
    client = MlflowClient(tracking.uri)
    client.create_model_version(tracking.experiment, client.get_model_version(tracking.experiment, "1").source)
    with pytest.raises(PipelineError, match="Name a version that publish registered"):
        roll_back(two, tracking, "3")
    assert live(tracking) == "2"


def test_rollback_counts_as_the_last_change_though_the_releasing_clock_was_ahead(
    two: Workspace, tracking: Tracking
) -> None:
    with open_registry(tracking) as registry:
        champion.roll_back(registry, "1", By("2020-01-01T00:00:00.000Z", "Ann", "misses cracks"))
        assert [change.version for change in registry.changes()] == ["1", "2", "1"]
    with pytest.raises(PipelineError, match="it was rolled back from"):
        two.publish(tracking)
    assert live(tracking) == "1"


def test_version_that_was_rolled_back_to_is_released_again(two: Workspace, tracking: Tracking) -> None:
    roll_back(two, tracking, "1")
    MlflowClient(tracking.uri).delete_registered_model_alias(tracking.experiment, "champion")
    two.write("first").publish(tracking, new_registry=True)
    assert live(tracking) == "1"
    assert logged(two)[-1] == ("release", None, "1")


def test_same_rollback_again_after_a_move_by_hand_gets_a_line_of_its_own(two: Workspace, tracking: Tracking) -> None:
    roll_back(two, tracking, "1")
    MlflowClient(tracking.uri).set_registered_model_alias(tracking.experiment, "champion", "2")
    roll_back(two, tracking, "1")
    assert logged(two)[-2:] == [("rollback", "2", "1"), ("rollback", "2", "1")]


def test_no_champion_is_pulled_from_a_registry_without_one(tmp_path: Path, tracking: Tracking) -> None:
    assert pull_champion(tracking, "onnx", tmp_path / "champion") is None
    assert not (tmp_path / "champion").exists()


def test_champion_is_pulled_as_it_was_released(tmp_path: Path, workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first").publish(tracking)
    assert pull_champion(tracking, "onnx", tmp_path / "champion") == "1"
    assert read_record(tmp_path / "champion" / "bundle.json", Bundle).target == "onnx"
    assert (tmp_path / "champion" / "model.bin").read_text() == "first as onnx"


def test_champion_of_another_target_is_pulled_as_what_is_live(
    tmp_path: Path, workspace: Workspace, tracking: Tracking, caplog: pytest.LogCaptureFixture
) -> None:
    workspace.write("first").publish(tracking)
    pull_champion(tracking, "torchscript", tmp_path / "champion")
    assert (tmp_path / "champion" / "model.bin").read_text() == "first as openvino-int8"
    assert "champion 1 was not released as torchscript; taking its openvino-int8" in caplog.text


def test_champion_whose_files_were_damaged_is_not_pulled(
    tmp_path: Path, workspace: Workspace, tracking: Tracking
) -> None:
    workspace.write("first").publish(tracking)
    stored = Path(read_record(workspace.release, Release).locations["artifacts"])
    (stored / "bundles" / "onnx" / "model.bin").write_text("damaged")
    with pytest.raises(
        PipelineError, match=r"model\.bin is not the file that was exported(.|\n)*Restore the artefact store"
    ):
        pull_champion(tracking, "onnx", tmp_path / "champion")
    assert not (tmp_path / "champion").exists()
