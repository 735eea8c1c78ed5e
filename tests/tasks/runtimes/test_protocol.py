"""Opening a bundle: only whole ones, and each with its own library."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tasks.contracts.bundle import Bundle, bundle_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.record import read_record, write_record
from tasks.runtimes.kinds import KINDS, library_version
from tasks.runtimes.protocol import open_runtime, read_bundle
from tests.fixtures.bundle import describe_files


def write_bundle(folder: Path, content: str = "no network", /, **changes: object) -> Path:
    """A bundle whose files are what bundle.json says, but no network."""
    target = str(changes.get("target", "openvino-fp32"))
    artefact = KINDS[target].artefact if target in KINDS else "detector.xml"
    folder.mkdir()
    for name in (artefact, "detector.bin"):
        (folder / name).write_text(content, encoding="utf-8")
    describe_files(folder, **{"target": target, "artefact": artefact} | changes)
    return folder


def test_every_missing_or_changed_file_is_named(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / "detector.bin").unlink()
    (folder / "detector.xml").write_text("other", encoding="utf-8")
    with pytest.raises(PipelineError) as refused:
        open_runtime(folder)
    assert refused.value.what == "bundle is not whole"
    assert "detector.bin is missing" in refused.value.where
    assert "detector.xml is not the file that was exported" in refused.value.where
    assert "Export it again" in refused.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "file does not exist", id="missing"),
        pytest.param("{", "not of the form this version writes", id="torn"),
        pytest.param('{"target": "onnx", "layers": 3}', "not of the form this version writes", id="another version"),
    ],
)
def test_bundle_without_its_description_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / "bundle.json").unlink()
    if content is not None:
        (folder / "bundle.json").write_text(content, encoding="utf-8")
    with pytest.raises(PipelineError, match=message):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"target": "coreml"}, "no runtime for target 'coreml'", id="target"),
        pytest.param({"target": "pytorch", "family": "unheard_of"}, "no family 'unheard_of'", id="family"),
    ],
)
def test_bundle_of_an_unknown_kind_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        open_runtime(write_bundle(tmp_path / "bundle", **changes), target=str(changes["target"]))


@pytest.mark.parametrize(
    ("changes", "asked", "message"),
    [
        pytest.param({"target": "pytorch"}, None, "which is a pickle, and that was not asked for", id="unpickling"),
        pytest.param({"target": "pytorch"}, "onnx", "'pytorch', and 'onnx' was asked for", id="another target"),
        pytest.param({"target": "onnx", "artefact": "detector.bin"}, "onnx", "not 'detector.bin'", id="another file"),
        pytest.param({"artefact": "../detector.xml"}, None, "is none of its files", id="artefact elsewhere"),
        pytest.param(
            {"artefact": "/etc/hosts", "files_sha256": {"/etc/hosts": ""}}, None, "plain", id="files elsewhere"
        ),
        pytest.param({"target": "pytorch", "family": "os;x"}, "pytorch", "no family", id="family that is no name"),
        pytest.param({"size_bytes": 1}, None, "have 20 bytes, and bundle.json says 1", id="size"),
        pytest.param({"hints": {"CACHE_DIR": "/tmp"}}, None, "CACHE_DIR", id="hint that writes"),
    ],
)
def test_what_a_bundle_says_of_itself_opens_nothing_that_was_not_asked_for(
    changes: dict[str, object], asked: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(PipelineError, match=message):
        open_runtime(write_bundle(tmp_path / "bundle", **changes), target=asked)


def test_bundle_is_the_one_of_the_digest_that_is_asked_for(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    released = bundle_sha256(read_bundle(folder))
    with pytest.raises(PipelineError, match="cannot load it"):
        open_runtime(folder, sha256=released)
    bundle = read_record(folder / "bundle.json", Bundle)
    write_record(bundle.model_copy(update={"classes": ["nut"]}), folder / "bundle.json")
    with pytest.raises(PipelineError, match="not the one that was released"):
        open_runtime(folder, sha256=released)


@pytest.mark.parametrize("kind", ["file", "hidden file", "folder", "link to a file", "file replaced by a link"])
def test_what_does_not_belong_to_a_bundle_is_refused(kind: str, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    if kind == "folder":
        (folder / "more").mkdir()
    elif kind == "link to a file":
        (folder / "more").symlink_to("detector.bin")
    elif kind == "file replaced by a link":
        (folder / "detector.bin").rename(tmp_path / "elsewhere")
        (folder / "detector.bin").symlink_to(tmp_path / "elsewhere")
    else:
        (folder / (".more" if kind == "hidden file" else "more")).write_text("")
    with pytest.raises(PipelineError, match=r"(more|detector\.bin) (does not belong to it|is a link|is a folder)"):
        read_bundle(folder)


@pytest.mark.parametrize("content", ["no network", ""], ids=["junk", "empty"])
@pytest.mark.parametrize("target", ["onnx", "openvino-fp32"])
def test_artefact_that_cannot_be_loaded_is_named(tmp_path: Path, target: str, content: str) -> None:
    folder = write_bundle(tmp_path / "bundle", content, target=target)
    with pytest.raises(PipelineError, match=rf"(?s)cannot load it: .*{KINDS[target].artefact}.*Export it again"):
        open_runtime(folder)


@pytest.mark.parametrize(
    ("target", "library", "extra"),
    [
        pytest.param("onnx", "onnxruntime", "export", id="onnx"),
        pytest.param("openvino-int8", "openvino", "export", id="openvino"),
        pytest.param("torchscript", "torch", "train", id="torchscript"),
    ],
)
def test_a_missing_library_is_answered_with_the_extra_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, library: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"tasks.runtimes.{target.removesuffix('-int8')}_runtime", raising=False)
    with pytest.raises(PipelineError, match=rf"not installed.*pip install 'sightline\[{extra}\]'"):
        open_runtime(write_bundle(tmp_path / "bundle", target=target))


@pytest.mark.parametrize(
    ("target", "device"),
    [
        ("onnx", "7"),
        ("onnx", "gpu7x"),
        ("openvino-fp32", "7"),
        ("openvino-fp32", "npu9"),
        ("torchscript", "7"),
        ("torchscript", "gpu7x"),
    ],
)
def test_a_device_that_is_not_here_is_named(tmp_path: Path, target: str, device: str) -> None:
    with pytest.raises(PipelineError, match=rf"here: device {device}\b.*Choose.*auto"):
        open_runtime(write_bundle(tmp_path / "bundle", target=target), device=device)


def test_a_library_is_known_by_its_version_whatever_its_distribution_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    assert library_version("numpy") == np.__version__
    assert library_version("tensorrt") == "not installed"
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="10.13.3"))  # as of tensorrt-cu13
    assert library_version("tensorrt") == "10.13.3"


def test_openvino_is_imported_without_its_telemetry() -> None:
    openvino_runtime = importlib.import_module("tasks.runtimes.openvino_runtime")
    openvino_runtime.import_openvino()
    assert sys.modules["openvino_telemetry"] is None
