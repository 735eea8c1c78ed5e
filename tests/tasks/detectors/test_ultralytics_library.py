"""The training library fetches, deletes and leaves behind nothing that nobody asked for."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.detectors import ultralytics_library
from tasks.detectors.ultralytics_models import find_start
from tests.fixtures.checkpoint import write_checkpoint
from tests.fixtures.repository import REPOSITORY
from tests.fixtures.training import tiny_recipe

pytestmark = pytest.mark.slow

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5544453\n"


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The hosts that were looked up; the current folder is an empty one."""
    asked: list[object] = []

    def refuse(host: object, *_: object, **__: object) -> Any:
        asked.append(host)
        raise OSError("there is no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("PATH", "")  # it may call curl
    monkeypatch.chdir(tmp_path)
    return asked


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "trained"
    write_checkpoint(folder, "yolo")
    return folder / "weights.pt"


@pytest.mark.parametrize("folder", [".", "held"], ids=["in the current folder", "among the weights"])
def test_weights_that_cannot_be_read_stay_and_are_not_fetched(
    folder: str, tmp_path: Path, offline: list[object]
) -> None:
    (tmp_path / "held").mkdir()
    pointer = tmp_path / folder / "yolo26n.pt"
    pointer.write_text(POINTER)
    with pytest.raises(PipelineError, match=r"(?s)weights cannot be read: .*git lfs pull"):
        find_start(tiny_recipe(tmp_path, model="yolo26n.pt", weights="held"))
    assert pointer.read_text() == POINTER
    assert offline == []


@pytest.mark.parametrize("name", ["it's/mine.pt", "it's/yolo26n.pt"])
def test_weights_are_found_by_whatever_name_they_have(
    name: str, weights: Path, tmp_path: Path, offline: list[object]
) -> None:
    held = tmp_path / name
    held.parent.mkdir()
    shutil.copyfile(weights, held)
    assert find_start(tiny_recipe(tmp_path, model=name, trust=content_sha256(held))).weights == held
    assert offline == []


def test_the_library_fetches_weights_only_where_that_is_allowed_and_to_where_they_belong(
    weights: Path, tmp_path: Path, offline: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    def download(url: str, file: Path, **_: object) -> None:
        fetched.append(url)
        shutil.copyfile(weights, file)

    monkeypatch.setattr(ultralytics_library, "_download", download)
    recipe = tiny_recipe(tmp_path, model="yolo26n.pt", weights="it's here")
    with pytest.raises(PipelineError, match="are not there"):
        find_start(recipe)
    assert fetched == offline == []
    held = find_start(recipe.with_changes({"allow_download": True})).weights
    assert held == tmp_path / "it's here" / "yolo26n.pt"
    assert [url.rpartition("/")[2] for url in fetched] == ["yolo26n.pt"]
    assert find_start(recipe).weights == held, "once fetched they are known"
    with pytest.raises(ConnectionError, match="may fetch nothing"):
        ultralytics_library.ultralytics.utils.downloads.safe_download("https://example.org/yolo26n.pt")


def test_a_worker_that_is_killed_leaves_no_settings_behind_once_its_stage_has_ended(tmp_path: Path) -> None:
    imported = "import tasks.detectors.ultralytics_library"
    worker = f"{imported}, os; os.kill(os.getpid(), {signal.SIGKILL.value})"
    stage = f"{imported}, subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {worker!r}]))"
    environment = {name: value for name, value in os.environ.items() if name != "YOLO_CONFIG_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", stage], cwd=REPOSITORY, env=environment | {"TMPDIR": str(tmp_path)}, check=False
    )
    assert done.returncode == 256 - signal.SIGKILL
    assert list(tmp_path.iterdir()) == []
