"""From a checkpoint to bundles that find the same boxes without the training library."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from tasks.contracts.bundle import Bundle
from tasks.contracts.card import Card
from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.record import read_record, write_record
from tasks.contracts.tables import BOX
from tasks.dataset.decoding import read_image
from tasks.detectors.protocol import USE_CASE_METRIC, Figures
from tasks.runtimes.protocol import open_runtime
from tests.fixtures.checkpoint import CLASSES, HEADS, IMAGE_SIZE, Project, export_bundle, make_project
from tests.fixtures.repository import REPOSITORY
from tests.fixtures.training import tiny_recipe, train_tiny

pytestmark = pytest.mark.slow

QUICK_TARGETS = ["torchscript", "onnx", "openvino-fp32", "openvino-fp16"]
ALL_QUICK = ["pytorch", *QUICK_TARGETS]

Export = Callable[..., Path]


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    """One project for every kind of detection head."""
    return {head: make_project(tmp_path_factory.mktemp(head), head) for head in HEADS}


@pytest.fixture(scope="session")
def export(projects: dict[str, Project], tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Run the stage; keywords change its section of params.yaml."""
    declared = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))["export"]

    def run(target: str, head: str = "yolo", **changes: Any) -> Path:
        settings = {"nms_free": head == "end2end"} | changes
        if "tolerance" in changes:
            settings["tolerance"] = declared["tolerance"] | changes["tolerance"]
        return export_bundle(projects[head], target, tmp_path_factory.mktemp("exported"), **settings)

    return run


@pytest.fixture(scope="session")
def bundles(export: Export) -> dict[str, Path]:
    """A bundle for every target that is quick to make."""
    return {target: export(target) for target in ALL_QUICK}


@pytest.mark.parametrize("target", ALL_QUICK)
def test_bundle_holds_the_artefact_and_its_description_and_nothing_else(target: str, bundles: dict[str, Path]) -> None:
    bundle = read_record(bundles[target] / "bundle.json", Bundle)
    files = {file.name: file.stat().st_size for file in bundles[target].iterdir()}
    assert files.keys() == {"bundle.json", *bundle.files_sha256}
    assert bundle.size_bytes == sum(files.values()) - files["bundle.json"]
    assert bundle.artefact in files
    assert (bundle.target, bundle.classes, bundle.code_licence) == (target, CLASSES, "AGPL-3.0")
    assert bundle.versions["ultralytics"]


@pytest.mark.parametrize("target", QUICK_TARGETS)
def test_artefact_finds_what_the_checkpoint_finds(target: str, bundles: dict[str, Path]) -> None:
    parity = read_record(bundles[target] / "bundle.json", Bundle).parity
    assert parity is not None
    assert parity.images == 4
    assert parity.boxes > 50
    assert parity.matched >= (0.95 if target.endswith("fp16") else 0.99) * parity.boxes


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("target", ["onnx", "torchscript"])
def test_every_kind_of_head_gives_the_boxes_of_its_checkpoint(
    target: str, head: str, export: Export, projects: dict[str, Project]
) -> None:
    exported, checkpoint = (open_runtime(export(each, head), 1, "cpu", target=each) for each in (target, "pytorch"))
    assert exported.bundle.output.layout == head
    image = read_image(projects[head].raw / "9.png")
    ours, reference = (runtime.predict(image, 0.3) for runtime in (exported, checkpoint))
    assert len(ours.scores) == len(reference.scores) > 5
    np.testing.assert_allclose(ours.scores, reference.scores, atol=1e-5)
    np.testing.assert_allclose(ours.boxes_xyxy, reference.boxes_xyxy, atol=1e-2)


@pytest.mark.parametrize("head", HEADS)
def test_bundle_finds_on_images_of_any_shape_what_validation_within_training_found(
    head: str, tmp_path: Path, export: Export, projects: dict[str, Project]
) -> None:
    project = projects["retrained"] = make_project(tmp_path, head)
    weights, seen = project.trained / "weights.pt", pd.DataFrame()

    def keep(predictions: pd.DataFrame) -> Figures:
        nonlocal seen
        seen = predictions
        return {USE_CASE_METRIC: 1.0}

    known = {"model": str(weights), "trust": content_sha256(weights)}
    recipe = tiny_recipe(tmp_path, **known, image_size=IMAGE_SIZE, epochs=1, lr0=1e-5)
    shutil.copyfile(train_tiny(tmp_path, tmp_path / "work", recipe, measure=keep).weights, weights)
    card = read_record(project.trained / "card.json", Card)
    write_record(card.model_copy(update={"weights_sha256": content_sha256(weights)}), project.trained / "card.json")
    runtime = open_runtime(export("pytorch", "retrained", nms_free=False), 1, "cpu", target="pytorch")
    wide, high = "image-10", "image-11"
    for image_id in (wide, high):
        ours = runtime.predict(read_image(project.raw / f"{int(image_id[-2:])}.png"))
        theirs = seen[seen["image_id"] == image_id].nlargest(20, "score")
        np.testing.assert_allclose(ours.scores[:20], theirs["score"], atol=1e-4)
        np.testing.assert_allclose(ours.boxes_xyxy[:20], theirs[BOX], atol=0.05)


@pytest.mark.parametrize("target", ALL_QUICK)
def test_no_number_of_threads_leaves_it_to_the_library(
    target: str, bundles: dict[str, Path], projects: dict[str, Project]
) -> None:
    assert len(
        open_runtime(bundles[target], 0, "cpu", target=target)
        .predict(read_image(projects["yolo"].raw / "9.png"))
        .scores
    )


@pytest.mark.parametrize("target", ["torchscript", "onnx", "openvino-fp32"])
def test_exported_twice_it_is_the_same_to_the_byte(target: str, bundles: dict[str, Path], export: Export) -> None:
    first, second = (read_record(folder / "bundle.json", Bundle) for folder in (bundles[target], export(target)))
    assert first.files_sha256 == second.files_sha256


@pytest.mark.parametrize("target", QUICK_TARGETS)
def test_artefact_does_not_say_where_or_when_it_was_made(
    target: str, bundles: dict[str, Path], projects: dict[str, Project]
) -> None:
    for file in bundles[target].iterdir():
        content = file.read_bytes()
        for trace in (str(projects["yolo"].trained.parent), sys.prefix, "site-packages", "sightline-export-"):
            assert trace.encode() not in content, f"{trace} stands in {file.name}"


@pytest.mark.parametrize(
    ("target", "absent"),
    [
        pytest.param("onnx", ["torch", "ultralytics", "openvino"], id="onnx"),
        pytest.param("openvino-fp32", ["torch", "ultralytics", "onnx", "onnxruntime"], id="openvino"),
        pytest.param("torchscript", ["ultralytics", "torchvision", "onnx"], id="torchscript"),
    ],
)
def test_bundle_runs_where_the_training_library_is_not_installed(
    target: str, absent: list[str], bundles: dict[str, Path], projects: dict[str, Project]
) -> None:
    program = f"""
import sys
sys.modules.update(dict.fromkeys({absent!r}))
from pathlib import Path
from typing import Any
from tasks.dataset.decoding import read_image
from tasks.runtimes.protocol import open_runtime
runtime = open_runtime(Path({str(bundles[target])!r}), 1, "cpu")
print(len(runtime.predict(read_image(Path({str(projects["yolo"].raw / "9.png")!r})), 0.3).scores))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5


def test_openvino_bundle_says_in_which_arithmetic_it_was_measured(bundles: dict[str, Path]) -> None:
    bundle = read_record(bundles["openvino-fp16"] / "bundle.json", Bundle)
    assert bundle.hints["INFERENCE_PRECISION_HINT"] == "f32"
    assert bundle.precision == "fp16"


def test_half_the_precision_is_half_the_size(bundles: dict[str, Path]) -> None:
    whole, half = ((bundles[target] / "detector.bin").stat().st_size for target in ("openvino-fp32", "openvino-fp16"))
    assert half == pytest.approx(whole / 2, rel=0.02)


def test_artefact_beyond_tolerance_is_refused_and_both_outputs_are_shown(export: Export) -> None:
    tolerance = {"fp16": {"max_box_px": 1e-9, "max_score": 1e-9, "min_matched": 1.0}}
    with pytest.raises(PipelineError) as refused:
        export("openvino-fp16", tolerance=tolerance)
    assert "openvino-fp16 is not the checkpoint any more (" in refused.value.what
    assert "1e-09 allowed" in refused.value.what
    assert "worst on " in refused.value.where
    assert refused.value.where.splitlines()[1].split() == ["class", "checkpoint", "artefact"]
    assert "export.tolerance.fp16" in refused.value.hint


def test_nothing_is_left_behind_by_a_refusal(export: Export, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(PipelineError):
        export("openvino-fp16", tolerance={"fp16": {"max_score": 1e-9, "min_matched": 1.0}})
    newest = max(tmp_path_factory.getbasetemp().glob("exported*"), key=lambda folder: folder.stat().st_mtime)
    assert [path.name for path in newest.iterdir()] == ["params.yaml"]


def test_other_weights_than_the_card_names_are_refused(
    tmp_path: Path, export: Export, projects: dict[str, Project]
) -> None:
    project = make_project(tmp_path, "yolo")
    (project.trained / "weights.pt").write_bytes(b"something else")
    projects["changed"] = project
    with pytest.raises(PipelineError, match=r"not those of card.json.*Run train again"):
        export("pytorch", "changed")


@pytest.mark.parametrize("content", [None, b"no image"], ids=["missing", "undecodable"])
@pytest.mark.parametrize(
    ("target", "numbers"),
    [pytest.param("onnx", range(8, 12), id="of val"), pytest.param("openvino-int8", range(8), id="to calibrate on")],
)
def test_an_image_that_is_lost_since_parse_is_named(
    target: str, numbers: range, content: bytes | None, *, tmp_path: Path, export: Export, projects: dict[str, Project]
) -> None:
    project = projects["lost"] = make_project(tmp_path, "yolo")
    for number in numbers:
        (project.raw / f"{number}.png").unlink()
        if content is not None:
            (project.raw / f"{number}.png").write_bytes(content)
    with pytest.raises(PipelineError, match=r"image .* any more: .*\.png\. Bring it back, or run ingest and parse"):
        export(target, "lost")


def test_unknown_target_is_answered_with_the_known_ones(export: Export) -> None:
    with pytest.raises(PipelineError, match=r"unknown target 'coreml'.*Choose one of pytorch, torchscript, onnx"):
        export("coreml")


def test_tensorrt_without_a_gpu_says_what_to_do(export: Export) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(PipelineError, match=r"no NVIDIA GPU is here.*leave it out of export.targets"):
        export("tensorrt-fp16")


def test_end_of_export_tells_how_far_the_artefact_is_off(export: Export, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    export("onnx")
    assert "exporting tiny-yolo" in caplog.text
    assert "boxes of the checkpoint found again on 4 images, at most" in caplog.text


def test_command_line_is_the_one_that_dvc_yaml_declares(tmp_path: Path, projects: dict[str, Project]) -> None:
    project = projects["yolo"]
    declared = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["export"]["cmd"]
    paths = {
        "data/raw": project.raw,
        "data/annotations": project.annotations,
        "data/split.parquet": project.split,
        "models/trained": project.trained,
        "models/exported/pytorch": tmp_path / "bundle",
    }
    command = [paths.get(word, word) for word in declared.replace("${item.target}", "pytorch").split()]
    done = subprocess.run(
        [sys.executable, *map(str, command[1:])], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert open_runtime(tmp_path / "bundle", 1, "cpu", target="pytorch").bundle.target == "pytorch"


def test_int8_is_calibrated_on_train_with_every_class_in_it(export: Export) -> None:
    loose = {"int8": {"min_matched": 0.3}}  # the network is not trained: its boxes lie close to each other
    first, second = (
        read_record(export("openvino-int8", tolerance=loose, calibration_images=6) / "bundle.json", Bundle)
        for _ in range(2)
    )
    assert first.calibration is not None
    assert first.calibration.images == 6
    assert all(first.calibration.objects_per_class.values())
    assert first.parity is not None
    assert first.parity.matched > 0
    assert first.files_sha256 == second.files_sha256
    assert first.calibration == second.calibration
