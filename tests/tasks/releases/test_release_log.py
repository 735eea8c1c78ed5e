"""The release log in Git outlives a registry: one that does not know its lines, or knows others, is refused."""

import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Releases, Tracking
from tasks.contracts.record import read_record
from tasks.contracts.release import Change, Release
from tasks.releases.known_releases import release_fault
from tasks.releases.registry import MOVED
from tasks.releases.release_log import read_log
from tests.fixtures.release import Workspace, live, logged, of_the_log, pull, roll_back, versions

pytest_plugins = ["tests.fixtures.mlflow_store"]
pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def another_registry(workspace: Workspace, tracking: Tracking) -> Tracking:
    return tracking.model_copy(update={"experiment": f"{tracking.experiment}-afresh"})


def without_its_alias(workspace: Workspace, tracking: Tracking) -> Tracking:
    MlflowClient(tracking.uri).delete_registered_model_alias(tracking.experiment, "champion")
    return tracking


def of_an_older_state(workspace: Workspace, tracking: Tracking) -> Tracking:
    """The log in Git tells of a release later than those in the registry."""
    last = Change.model_validate_json((workspace.root / "releases.jsonl").read_text().splitlines()[-1])
    later = last.model_copy(update={"time": "2040-01-01T00:00:00.000Z", "version": "2", "before": "1"})
    with (workspace.root / "releases.jsonl").open("a") as file:
        file.write(f"{later.model_dump_json()}\n")
    return tracking


def another_store(workspace: Workspace, tracking: Tracking) -> Tracking:
    return tracking.model_copy(update={"uri": f"sqlite:///{workspace.root}/another.db"})


@pytest.mark.parametrize(
    ("lose", "said"),
    [
        (another_registry, "has no champion"),
        (another_store, "has no champion"),
        (without_its_alias, "has no champion"),
        (of_an_older_state, "does not know that release"),
    ],
)
def test_registry_without_the_logs_last_release_is_refused_with_the_way_out(
    lose: object, said: str, workspace: Workspace, tracking: Tracking
) -> None:
    assert callable(lose)
    workspace.write("first").publish(tracking)
    tracking = lose(workspace, tracking)
    # The doctor asks without making anything.
    assert said in release_fault(tracking, Releases(log=workspace.root / "releases.jsonl"), "onnx")
    assert not (workspace.root / "another.db").exists()
    registered = versions(tracking)
    for use in (lambda: pull(workspace, tracking), lambda: workspace.write("second").publish(tracking)):
        with pytest.raises(PipelineError, match="release log names a champion that the registry does not have") as lost:
            use()
        assert said in lost.value.where
        assert "Restore the registry's store, point tracking.uri" in lost.value.hint
        assert "publish.new_registry: true until its first release" in lost.value.hint
    assert versions(tracking) == registered


def test_nothing_is_wrong_before_the_first_release_after_it_and_where_a_registry_begins_anew(
    workspace: Workspace, tracking: Tracking
) -> None:
    releases = Releases(log=workspace.root / "releases.jsonl")
    assert release_fault(tracking, releases, "onnx") == ""
    workspace.write("first").publish(tracking)
    assert release_fault(tracking, releases, "onnx") == ""
    afresh = releases.model_copy(update={"new_registry": True})
    for lost in (another_registry(workspace, tracking), another_store(workspace, tracking)):
        assert release_fault(lost, afresh, "onnx") == ""
    assert not (workspace.root / "another.db").exists()


def test_registry_that_begins_anew_on_purpose_gets_its_first_release(workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first").publish(tracking)
    afresh = another_registry(workspace, tracking)
    workspace.write("second").publish(afresh, new_registry=True)
    assert (live(afresh), logged(workspace)) == ("1", [("release", None, "1"), ("release", None, "1")])
    assert pull(workspace, afresh) == "1"


@pytest.mark.parametrize("vouched", ["1", "2"])
def test_alias_that_was_moved_by_hand_is_refused_until_somebody_vouches_for_it(
    vouched: str, workspace: Workspace, tracking: Tracking, caplog: pytest.LogCaptureFixture
) -> None:
    workspace.write("first").publish(tracking)
    workspace.write("second", champion="1").publish(tracking)
    MlflowClient(tracking.uri).set_registered_model_alias(tracking.experiment, "champion", "1")
    releases = Releases(log=workspace.root / "releases.jsonl")
    moved = "the alias stands on version 1, and was moved by hand. Make version 2 live again: .* --rollback 2 "
    assert re.search(moved, release_fault(tracking, releases, "onnx"))
    with pytest.raises(PipelineError, match=moved):
        pull(workspace, tracking)
    caplog.set_level(logging.INFO)
    roll_back(workspace, tracking, vouched)
    assert caplog.messages[-1].startswith("release.json still tells of the last publish; what is live stands last in ")
    assert release_fault(tracking, releases, "onnx") == ""
    assert pull(workspace, tracking) == vouched
    assert logged(workspace)[-1] == ("rollback", "1" if vouched == "2" else "2", vouched)


def test_move_whose_process_was_killed_is_no_move_by_hand(workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first").publish(tracking)
    first = MlflowClient(tracking.uri).get_registered_model(tracking.experiment).tags[MOVED]
    workspace.write("second", champion="1").publish(tracking)
    MlflowClient(tracking.uri).set_registered_model_tag(tracking.experiment, MOVED, first)
    for left_on in ("2", "1"):
        MlflowClient(tracking.uri).set_registered_model_alias(tracking.experiment, "champion", left_on)
        assert pull(workspace, tracking) == left_on


@pytest.mark.parametrize("gone", ["", "bundles", "bundles/onnx", "bundles/onnx/bundle.json", "bundles/onnx/model.bin"])
def test_champion_whose_files_are_gone_is_told_without_reading_them(
    gone: str, workspace: Workspace, tracking: Tracking
) -> None:
    workspace.write("first").publish(tracking)
    releases = Releases(log=workspace.root / "releases.jsonl")
    assert release_fault(tracking, releases, "onnx") == ""
    lost = Path(read_record(workspace.release, Release).locations["artifacts"]) / gone
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    said = release_fault(tracking, releases, "onnx")
    assert "version 1, onnx: " in said
    assert "Restore the artefact store" in said


def test_line_that_was_changed_in_the_registry_is_refused(workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first").publish(tracking)
    client, key, line = of_the_log(tracking)
    forged = line.model_copy(update={"content_sha256": "0" * 64})
    client.set_registered_model_tag(tracking.experiment, key, forged.model_dump_json())
    with pytest.raises(PipelineError, match="the registry tells of a release otherwise than the release log"):
        pull(workspace, tracking)


def test_log_that_is_no_log_is_named_by_its_line(workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first").publish(tracking)
    with (workspace.root / "releases.jsonl").open("a") as file:
        file.write("<<<<<<< HEAD\n")
    with pytest.raises(PipelineError, match=r"line 2: '<<<<<<< HEAD'.*Restore it from Git"):
        pull(workspace, tracking)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda log: log.write_bytes(log.read_bytes() + b"\xff\xfe\n"), "line 3: .*Restore it from Git"),
        (
            lambda log: log.write_text(log.read_text().replace('"why":"', '"why":"not ', 1)),
            "otherwise than the release",
        ),
        (lambda log: (log.unlink(), log.mkdir()), "release log is no file"),
    ],
    ids=["not UTF-8", "changed", "a folder"],
)
def test_rollback_moves_nothing_where_the_log_cannot_be_kept(
    spoil: Callable[[Path], object], said: str, workspace: Workspace, tracking: Tracking
) -> None:
    workspace.write("first").publish(tracking)
    workspace.write("second", champion="1").publish(tracking)
    log = workspace.root / "releases.jsonl"
    spoil(log)
    with pytest.raises(PipelineError, match=said):
        roll_back(workspace, tracking, "1")
    assert live(tracking) == "2"


def test_log_whose_last_line_lost_its_end_is_gone_on_with(workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first").publish(tracking)
    workspace.write("second", champion="1").publish(tracking)
    log = workspace.root / "releases.jsonl"
    log.write_text(log.read_text().rstrip("\n"))
    roll_back(workspace, tracking, "1")
    log.write_text(log.read_text() + "\n")  # and so does an empty line
    assert [line.version for line in read_log(log)] == ["1", "2", "1"]
    assert pull(workspace, tracking) == "1"
