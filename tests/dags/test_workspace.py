"""A run's workspace: what it goes on from, what is written into it, and when it is swept."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.airflow_stand_in import commit, git, make_repository
from tests.fixtures.repository import REPOSITORY

sys.path.append(str(REPOSITORY / "dags"))
import workspace
from params_file import write_params
from settings import Settings, read_settings

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    """A site whose repository is made of stages that stand in."""
    repository = make_repository(tmp_path / "repository")
    folders = {"workspaces": tmp_path / "workspaces", "cache": tmp_path / "cache", "shared": repository}
    return replace(read_settings({}), repository=str(repository), **folders)  # type: ignore[arg-type]


def run_once(site: Settings, run_id: str, source: str = "samples", lock: str = "", revision: str = "HEAD") -> Path:
    """Make a workspace, let its dvc.lock say something of its own, record it."""
    path = site.workspaces / run_id
    workspace.make(path, revision, {"ingest.source": source}, site)
    (path / "dvc.lock").write_text(f"# {lock or run_id}\nschema: '2.0'\nstages: {{}}\n")
    workspace.record(path, run_id)
    # Git's times are whole seconds.
    time.sleep(1.1)
    return path


def lock_of(site: Settings, run_id: str, revision: str = "HEAD", source: str = "samples") -> str:
    """What a new workspace goes on from."""
    workspace.make(site.workspaces / run_id, revision, {"ingest.source": source}, site)
    file = site.workspaces / run_id / "dvc.lock"
    return file.read_text().splitlines()[0].removeprefix("# ") if file.is_file() else ""


def test_run_goes_on_from_the_newest_run_of_the_same_labels(site: Settings) -> None:
    run_once(site, "one")
    run_once(site, "two")
    run_once(site, "foreign", source="other-labels")
    assert lock_of(site, "three") == "two"
    assert lock_of(site, "four", source="other-labels") == "foreign"
    assert lock_of(site, "five", source="labels-never-seen") == ""


def test_lock_that_was_committed_after_the_last_run_is_preferred(site: Settings) -> None:
    run_once(site, "one")
    (Path(site.repository) / "dvc.lock").write_text("# by hand\nschema: '2.0'\nstages: {}\n")
    commit(Path(site.repository), "Reproduced by hand")
    assert lock_of(site, "two") == "by hand"


def test_recorded_run_is_repeated_from_its_own_state(site: Settings) -> None:
    run_once(site, "one")
    run_once(site, "two")
    assert lock_of(site, "again", revision="runs/one") == "one"


def test_workspace_made_twice_keeps_its_progress(site: Settings) -> None:
    path = site.workspaces / "one"
    workspace.make(path, "HEAD", {"train.epochs": 3}, site)
    (path / ".work").mkdir()
    workspace.make(path, "HEAD", {"train.epochs": 4}, site)
    assert (path / ".work").is_dir()
    assert "epochs: 4 " in (path / "params.yaml").read_text()


def test_values_that_nobody_set_are_those_of_the_revision(site: Settings) -> None:
    repository = Path(site.repository)
    write_params(repository / "params.yaml", {"train.epochs": 99, "export.targets": ["onnx"]})
    commit(repository, "Train for long")
    path = site.workspaces / "one"
    workspace.make(path, "HEAD", {"seed": 3}, site)
    text = (path / "params.yaml").read_text()
    assert "epochs: 99 " in text
    assert "seed: 3" in text
    assert workspace.targets_of(path) == ["onnx"]


def test_target_that_would_not_be_exported_is_refused_and_leaves_nothing(site: Settings) -> None:
    with pytest.raises(ValueError, match=r"use_case\.target is torchscript, which is not among export\.targets"):
        workspace.make(site.workspaces / "one", "HEAD", {"use_case.target": "torchscript"}, site)
    assert list(site.workspaces.iterdir()) == []


def test_labels_and_stores_beside_the_repository_are_linked(site: Settings) -> None:
    path = site.workspaces / "one"
    workspace.make(path, "HEAD", {"tracking.uri": "sqlite:///mlflow.db"}, site)
    assert (path / "samples").resolve() == site.shared / "samples"
    # SQLite makes the database where the link points to.
    assert (path / "mlflow.db").readlink() == site.shared / "mlflow.db"
    assert "source: samples" in (path / "params.yaml").read_text()


def test_what_git_holds_of_a_run_is_read_without_its_workspace(site: Settings) -> None:
    run_once(site, "one", lock="of the run")
    with workspace.branch_files(site.repository, "one") as files:
        assert (files / "dvc.lock").read_text().startswith("# of the run")
    assert not files.exists()


def test_params_keep_their_comments(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("# parameters\ntrain:\n  epochs: 15 # for real use 100\n  rules:\n    - a >= 1\n")
    write_params(file, {"train.epochs": 2, "train.rules": ["b >= 2"]})
    assert file.read_text() == "# parameters\ntrain:\n  epochs: 2  # for real use 100\n  rules:\n    - b >= 2\n"


@pytest.mark.parametrize("revision", ["no-such-branch", "--upload-pack=touch /tmp/x", "HEAD; ls"])
def test_revision_that_does_not_exist_is_refused(site: Settings, revision: str) -> None:
    with pytest.raises(ValueError, match="neither a branch, a tag nor a commit"):
        workspace.make(site.workspaces / "one", revision, {}, site)


def test_value_in_an_unknown_section_is_refused(site: Settings) -> None:
    with pytest.raises(ValueError, match=r"params\.yaml has no section trian"):
        workspace.make(site.workspaces / "one", "HEAD", {"trian.epochs": 1}, site)


def test_names_of_runs_are_sound_and_differ() -> None:
    ids = ["a", "a/b", "a-b", "a:b", "a.b", "../a", ".", "manual__2026-01-01T00:00:00+00:00", "x" * 300, "ä", "-a"]
    names = [workspace.run_name(run_id) for run_id in ids]
    assert len(set(names)) == len(ids)
    for name in names:
        assert git(Path(), "check-ref-format", "--branch", f"runs/{name}")
        assert "/" not in name
        assert not name.startswith((".", "-"))


def test_workspace_made_again_after_its_record_is_not_swept_while_it_works(site: Settings) -> None:
    path = run_once(site, "one")
    workspace.make(path, "HEAD", {"ingest.source": "samples"}, site)
    assert workspace.sweep(site.workspaces, keep=0, days=0) == []
    assert path.is_dir()


def test_recorded_workspaces_are_swept_by_number_and_age_and_others_stay(site: Settings) -> None:
    for day, name in enumerate(("old", "older", "oldest", "running")):
        stamp = site.workspaces / name / workspace.RECORDED
        stamp.parent.mkdir(parents=True)
        if name != "running":
            stamp.touch()
            os.utime(stamp, (time.time() - day * 86_400,) * 2)
    assert workspace.sweep(site.workspaces, keep=2, days=30) == ["oldest"]
    assert workspace.sweep(site.workspaces, keep=2, days=0) == ["old", "older"]
    assert [path.name for path in site.workspaces.iterdir()] == ["running"]


def test_login_of_a_repository_that_does_not_answer_is_not_told(site: Settings) -> None:
    closed = replace(site, repository="https://me:secret@127.0.0.1:1/lines.git")
    with pytest.raises(RuntimeError, match=r"git clone .* https://127\.0\.0\.1:1/lines\.git") as told:
        workspace.make(site.workspaces / "one", "HEAD", {}, closed)
    assert "secret" not in str(told.value)
