"""publish: what goes live, what is refused, what the log says, and that a kill at any point changes nothing."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import typer
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from tasks.clients.tracking import WEIGHTS_TAG, open_run
from tasks.contracts.bundle import Output, Preprocessing
from tasks.contracts.card import Card
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Tracking
from tasks.contracts.record import read_record
from tasks.contracts.release import Release
from tasks.contracts.verdict import Outcome, Verdict
from tasks.execution.code_version import commit
from tasks.publish import main, upload
from tasks.releases.known_releases import pull_champion
from tasks.releases.registry import MOVED
from tests.fixtures.release import TARGETS, Workspace, live, logged, roll_back, versions

pytest_plugins = ["tests.fixtures.mlflow_store"]
pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def test_accepted_model_is_registered_with_its_lineage_and_goes_live(workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first")
    training = open_run(tracking, "train", "3f2a")
    training.set_tags({WEIGHTS_TAG: read_record(workspace.root / "trained" / "card.json", Card).weights_sha256})
    workspace.publish(tracking)
    assert live(tracking) == "1"
    assert logged(workspace) == [("release", None, "1")]
    release = read_record(workspace.release, Release)
    assert (release.version, release.alias, release.targets) == ("1", "champion", list(TARGETS))
    assert release.locations["registry"] == f"models:/{tracking.experiment}/1"
    client = MlflowClient(tracking.uri)
    tags = client.get_model_version(tracking.experiment, "1").tags
    assert (tags["sightline.commit"], tags["sightline.dirty"]) == (commit()[0], str(commit()[1]).lower())
    assert (tags["sightline.code_sha256"], tags["sightline.training_run"]) == ("a1b2c3", training.run_id)
    assert tags["sightline.data.images.parquet"] == "1" * 64
    assert tags["sightline.code_licence"] == "AGPL-3.0"
    assert json.loads(tags["sightline.versions"]) == {"onnx": "1.23.2", "torch": "2.13.0"}
    assert tags["sightline.verdict"] == "openvino-int8 passes all 1 rules"
    assert client.get_run(release.run_id).data.metrics == {"onnx.map50": 0.9, "openvino-int8.map50": 0.9}
    stored = {path for path in Path(release.locations["artifacts"]).rglob("*") if path.is_file()}
    assert {"report.html", "best.pt", "card.json", "evaluation.json"} <= {path.name for path in stored}


@pytest.mark.parametrize("outcome", ["rejected", "undecided"])
def test_model_that_was_not_accepted_is_refused_rule_by_rule(
    outcome: Outcome, workspace: Workspace, tracking: Tracking
) -> None:
    with pytest.raises(PipelineError) as raised:
        workspace.write("first", outcome=outcome).publish(tracking)
    assert f"openvino-int8 is {outcome} and not published" in str(raised.value)
    [rule] = read_record(workspace.root / "verdict.json", Verdict).targets["openvino-int8"].rules
    assert f"- {rule.rule}: {outcome}; {rule.reason}\n" in str(raised.value)
    assert f"See {workspace.root / 'report.html'}" in raised.value.hint
    assert versions(tracking) == []


def test_publish_again_changes_nothing(workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first").publish(tracking)
    release = workspace.release.read_bytes()
    workspace.publish(tracking)
    assert workspace.release.read_bytes() == release
    assert versions(tracking) == ["1"]
    assert logged(workspace) == [("release", None, "1")]


def test_publishes_at_once_make_one_version_of_one_run(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = MlflowClient.create_model_version

    def create_late(*words: Any, **named: Any) -> ModelVersion:
        """So late that all have looked whether there is one."""
        time.sleep(1)
        return create(*words, **named)

    monkeypatch.setattr(MlflowClient, "create_model_version", create_late)
    # A registry that does not exist yet.
    tracking = Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="belt", artifacts=f"{tmp_path}/artifacts")
    workspace.write("first").params(tracking)
    files, root = workspace.files, workspace.root
    releases = [root / f"release-{number}.json" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = [
            pool.submit(
                main,
                verdict=root / "verdict.json",
                evaluations=files.evaluations,
                trained=files.trained,
                exported=files.exported,
                report=files.report,
                release=release,
                params=workspace.params_file,
            )
            for release in releases
        ]
    assert [each.exception() for each in done] == [None] * 4
    assert (live(tracking), versions(tracking)) == ("1", ["1"])
    assert len({read_record(release, Release).run_id for release in releases}) == 1
    assert logged(workspace) == [("release", None, "1")]


def test_server_that_made_two_versions_at_once_has_the_first_for_all(workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first").publish(tracking)
    client = MlflowClient(tracking.uri)
    first = client.get_model_version(tracking.experiment, "1")
    client.create_model_version(tracking.experiment, first.source, run_id=first.run_id, tags=first.tags)
    workspace.publish(tracking)
    assert (live(tracking), logged(workspace)) == ("1", [("release", None, "1")])


def test_same_bundles_for_another_target_are_another_version(workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first").publish(tracking)
    workspace.write("first", champion="1", target="onnx")
    workspace.publish(tracking)
    assert (read_record(workspace.release, Release).target, versions(tracking)) == ("onnx", ["1", "2"])
    registered = [MlflowClient(tracking.uri).get_model_version(tracking.experiment, number) for number in ("1", "2")]
    assert [version.tags["sightline.target"] for version in registered] == ["openvino-int8", "onnx"]


@pytest.mark.parametrize(
    "change",
    [
        {"output": Output(layout="yolo", nms_iou=0.5)},
        {"output": Output(layout="yolo", nms_agnostic=True)},
        {"classes": ["cracks"]},
        {"preprocessing": Preprocessing(input_wh=(160, 160), fill=0)},
        {"hints": {"PERFORMANCE_HINT": "THROUGHPUT"}},
        {"versions": {"onnx": "1.23.3"}},
    ],
    ids=["nms_iou", "nms_agnostic", "classes", "pre-processing", "hints", "versions"],
)
def test_whatever_differs_in_a_bundle_is_another_version_and_the_one_before_stays_byte_for_byte(
    change: dict[str, object], workspace: Workspace, tracking: Tracking
) -> None:
    workspace.write("first").publish(tracking)
    first = Path(read_record(workspace.release, Release).locations["artifacts"])
    held = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    workspace.write("first", champion="1")
    workspace.write_bundle("first", "openvino-int8", None, **change)
    workspace.measure("openvino-int8")
    workspace.judge().publish(tracking)
    assert (live(tracking), versions(tracking)) == ("2", ["1", "2"])
    assert logged(workspace) == [("release", None, "1"), ("release", "1", "2")]
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == held
    roll_back(workspace, tracking, "1")
    pull_champion(tracking, "openvino-int8", workspace.root / "pulled")
    [described] = [content for path, content in held.items() if path.match("openvino-int8/bundle.json")]
    assert (workspace.root / "pulled" / "bundle.json").read_bytes() == described


@pytest.mark.parametrize("killed_after", ["upload", "register", "log line", "alias"])
def test_killed_publish_goes_on(killed_after: str, workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first")
    if killed_after == "upload":
        upload(workspace.candidate(tracking), workspace.files, tracking)
    else:
        workspace.publish(tracking)
        workspace.release.unlink()
        (workspace.root / "releases.jsonl").unlink()
    client = MlflowClient(tracking.uri)
    if killed_after in ("register", "log line"):
        client.delete_registered_model_alias(tracking.experiment, "champion")
        for key in client.get_registered_model(tracking.experiment).tags:
            if killed_after == "register" or key == MOVED:
                client.delete_registered_model_tag(tracking.experiment, key)
    workspace.publish(tracking)
    assert live(tracking) == "1"
    assert versions(tracking) == ["1"]
    assert logged(workspace) == [("release", None, "1")]
    assert len(client.search_runs([client.get_experiment_by_name(tracking.experiment).experiment_id])) == 1
    assert read_record(workspace.release, Release).version == "1"


def test_next_model_takes_over_from_the_champion_it_was_compared_with(workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first").publish(tracking)
    workspace.write("second", champion="1").publish(tracking)
    assert live(tracking) == "2"
    assert logged(workspace) == [("release", None, "1"), ("release", "1", "2")]


@pytest.mark.parametrize("compared_with", [None, "7"])
def test_champion_that_moved_since_the_comparison_is_not_replaced(
    compared_with: str | None, workspace: Workspace, tracking: Tracking
) -> None:
    workspace.write("first").publish(tracking)
    with pytest.raises(PipelineError, match="dvc repro -f export@champion"):
        workspace.write("second", champion=compared_with).publish(tracking)
    assert live(tracking) == "1"
    assert versions(tracking) == ["1"]


def test_log_comes_back_whole_in_a_fresh_workspace(tmp_path: Path, tracking: Tracking) -> None:
    Workspace(tmp_path / "one").write("first").publish(tracking)
    fresh = Workspace(tmp_path / "two").write("second", champion="1")
    fresh.publish(tracking)
    assert logged(fresh) == [("release", None, "1"), ("release", "1", "2")]


def test_bundle_that_was_changed_after_export_is_not_published(workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first")
    (workspace.root / "exported" / "onnx" / "model.bin").write_text("changed")
    with pytest.raises(PipelineError, match=r"onnx: model\.bin is not the file that was exported(.|\n)*dvc repro"):
        workspace.publish(tracking)
    assert versions(tracking) == []


def test_missing_option_is_named() -> None:
    with pytest.raises(typer.BadParameter, match="--rollback"):
        main(verdict=Path("verdict.json"))
