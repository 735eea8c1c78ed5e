"""MLflow's embedded store: whole after any kill, named where it is broken, and in its project's folder."""

import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import pytest
from mlflow import MlflowClient

from tasks.clients.tracking import connected, open_run
from tasks.contracts.bundle import bundle_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Tracking
from tasks.releases.registry import BUNDLES, open_registry
from tasks.releases.shipped import Shipped
from tests.fixtures.bundle import describe_files
from tests.fixtures.repository import REPOSITORY

pytest_plugins = ["tests.fixtures.mlflow_store"]
pytestmark = pytest.mark.slow
T = TypeVar("T")

# A process that has MLflow imported and waits: each line that it reads is the URI of a store, which a child makes.
MAKER = """
import os, sys
from tasks.clients.tracking import connected, quiet_mlflow
from tasks.contracts.params import Tracking
quiet_mlflow()
import mlflow.store.db.utils
for line in sys.stdin:
    child = os.fork()
    if not child:
        with connected(Tracking(uri=line.strip(), experiment="belt")):
            os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


def embedded(folder: Path) -> Tracking:
    return Tracking(uri=f"sqlite:///{folder}/mlflow.db", experiment="belt", artifacts=str(folder / "artifacts"))


def half_made(path: Path, whole: Path, tables: int) -> None:
    """What a kill leaves of a store that is made in place: some of its tables."""
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(whole)) as store:
        made = store.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        statements = [sql for (sql,) in made]
    with closing(sqlite3.connect(path)) as store, store:
        for sql in statements[:tables]:
            store.execute(sql)


def written(folder: Path) -> int:
    """Bytes of what is to become the store; its journal comes and goes."""
    return sum(path.stat().st_size for path in folder.glob("*mlflow.db*") if not path.name.endswith("-journal"))


def test_a_process_killed_while_it_makes_the_store_leaves_nothing_that_stops_the_next(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAKER], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as maker:
        assert maker.stdin is not None
        assert maker.stdout is not None
        for number, kilobytes in enumerate((0, 1, 200, 400, 700)):
            folder = tmp_path / str(number)
            print(embedded(folder).uri, file=maker.stdin, flush=True)
            child = int(maker.stdout.readline())
            while written(folder) < kilobytes * 1000:
                time.sleep(0.005)
            os.kill(child, signal.SIGKILL)
            assert maker.stdout.readline() == "ended\n"
            assert not (folder / "mlflow.db").exists()
    for number in (0, 4):
        open_run(embedded(tmp_path / str(number)), "train", "3f2a").end()
        assert not [path for path in (tmp_path / str(number)).iterdir() if "partial" in path.name]


@pytest.mark.parametrize("tables", [0, 30, 500], ids=["empty file", "half", "no version"])
def test_a_half_made_store_of_an_earlier_version_is_set_aside(
    tables: int, tmp_path: Path, store_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    tracking = embedded(tmp_path)
    half_made(tmp_path / "mlflow.db", Path(store_uri.removeprefix("sqlite:///")), tables)
    (tmp_path / "mlflow.db-journal").write_bytes(b"of the killed process")
    with caplog.at_level(logging.WARNING):
        open_run(tracking, "train", "3f2a").end()
    assert [run.info.status for run in MlflowClient(tracking.uri).search_runs(["1"])] == ["FINISHED"]
    if tables:
        assert "was half made and holds nothing: kept as" in caplog.text
        assert (tmp_path / "mlflow.db.half-made").is_file()


@pytest.mark.parametrize("held", ["run", "experiment", "model"])
def test_a_broken_store_that_holds_something_stays_and_is_named(held: str, tmp_path: Path, store_uri: str) -> None:
    store = tmp_path / "mlflow.db"
    shutil.copy(store_uri.removeprefix("sqlite:///"), store)
    client = MlflowClient(f"sqlite:///{store}")
    {
        "run": lambda: client.create_run("0"),
        "experiment": lambda: client.create_experiment("other"),
        "model": lambda: client.create_registered_model("belt"),
    }[held]()
    with closing(sqlite3.connect(store)) as broken, broken:
        broken.execute("UPDATE alembic_version SET version_num = '728d730b5ebd'")
        broken.execute("DROP TABLE tags")
    before = store.read_bytes()
    with pytest.raises(PipelineError, match=rf"half upgraded: {store} holds .*`mlflow db upgrade sqlite:///{store}`"):
        open_run(embedded(tmp_path), "train", "3f2a")
    assert store.read_bytes() == before
    assert not list(tmp_path.glob("*.half-made*"))


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + b"\1" * 5000], ids=["text", "garbage"])
def test_a_file_that_is_no_database_stays_and_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(content)
    with pytest.raises(PipelineError, match=rf"cannot be read: {tmp_path}/mlflow\.db: .*move it away"):
        open_run(embedded(tmp_path), "train", "3f2a")
    assert (tmp_path / "mlflow.db").read_bytes() == content


def within(folder: Path, work: Callable[..., T], *words: object) -> T:
    """Do something in a process of its own whose working folder is `folder`, as a stage does."""
    with ProcessPoolExecutor(1, get_context("fork"), initializer=os.chdir, initargs=(folder,)) as process:
        return process.submit(work, *words).result()


@pytest.fixture
def project(tmp_path: Path, store_uri: str) -> Path:
    """A project whose embedded store holds a version with one bundle."""
    folder = tmp_path / "a"
    folder.mkdir()
    shutil.copy(store_uri.removeprefix("sqlite:///"), folder / "mlflow.db")
    within(folder, publish, relative(), "first")
    return folder


def relative(**changes: str) -> Tracking:
    return Tracking(**{"uri": "sqlite:///mlflow.db", "experiment": "belt", "artifacts": "ml/artifacts", **changes})


def publish(tracking: Tracking, content: str) -> str:
    """Register a version that holds a bundle of this content."""
    bundle = Path(f"bundle-{content}")
    bundle.mkdir()
    (bundle / "model.onnx").write_text(content)
    described = describe_files(bundle, artefact="model.onnx", classes=["disc"])
    run_log = open_run(tracking, "publish", content)
    run_log.log_artifact(bundle, f"{BUNDLES}/onnx")
    run_log.end()
    with open_registry(tracking) as registry:
        shipped = Shipped("onnx", {"onnx": bundle_sha256(described)}, described.trained_sha256)
        return registry.register(shipped, run_log.run_id, {}, "good")


def pulled(tracking: Tracking, version: str) -> str:
    with open_registry(tracking) as registry:
        registry.pull(version, "onnx", Path("pulled"))
    return Path("pulled/model.onnx").read_text()


def places(tracking: Tracking) -> dict[str, str]:
    """Where the artefacts of each version lie."""
    with open_registry(tracking) as registry:
        return {version: registry.location(version) for version in registry.versions()}


@pytest.mark.parametrize("how", ["moved", "copied", "copied, and the old one emptied"])
def test_a_project_in_another_folder_finds_and_keeps_its_artefacts_there(how: str, project: Path) -> None:
    new = project.parent / "b"
    shutil.copytree(project, new)
    if how == "moved":
        shutil.rmtree(project)
    if "emptied" in how:
        shutil.rmtree(project / "ml")
    before = sorted(project.rglob("*"))
    assert within(new, pulled, relative(), "1") == "first"
    assert within(new, publish, relative(), "second") == "2"
    assert within(new, pulled, relative(), "2") == "second"
    assert sorted(project.rglob("*")) == before
    assert all(place.startswith(f"{new}/ml/artifacts/") for place in within(new, places, relative()).values())


def test_a_copied_project_leaves_the_old_ones_store_as_it_is(project: Path) -> None:
    shutil.copytree(project, project.parent / "b")
    within(project.parent / "b", publish, relative(), "second")
    assert within(project, pulled, relative(), "1") == "first"
    assert list(within(project, places, relative())) == ["1"]


def test_a_store_that_projects_share_keeps_its_artefacts_where_they_are(project: Path) -> None:
    shared = relative(uri=f"sqlite:///{project}/mlflow.db")
    other = project.parent / "other"
    other.mkdir()
    assert within(other, pulled, shared, "1") == "first"
    within(other, publish, shared, "second")
    (other / "mlflow.db").symlink_to(project / "mlflow.db")
    assert within(other, pulled, relative(), "2") == "second"
    assert not (other / "ml").exists()


def test_another_folder_for_artefacts_in_params_leaves_those_of_the_experiment_where_they_are(project: Path) -> None:
    changed = relative(artifacts="elsewhere")
    assert within(project, pulled, changed, "1") == "first"
    within(project, publish, changed, "second")
    assert not (project / "elsewhere").exists()


def test_artefacts_in_a_folder_that_is_gone_are_named_and_the_folder_is_not_made_again(project: Path) -> None:
    changed = relative(artifacts="elsewhere")
    new = project.rename(project.parent / "b")
    with pytest.raises(PipelineError, match=rf"belt in {new}/mlflow\.db: {project}/ml/artifacts\. .*ends in artifacts"):
        within(new, publish, changed, "second")
    assert not project.exists()


def test_a_store_that_is_there_is_not_made_again_nor_are_migrations_read_again(
    tmp_path: Path, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(store_uri.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
    inode = (tmp_path / "mlflow.db").stat().st_ino
    with connected(embedded(tmp_path)):
        assert (tmp_path / "mlflow.db").stat().st_ino == inode
    monkeypatch.delattr("mlflow.store.db.utils._get_latest_schema_revision")
    with connected(embedded(tmp_path)):
        assert (tmp_path / "mlflow.db").stat().st_ino == inode
