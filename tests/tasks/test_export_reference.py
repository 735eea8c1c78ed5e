"""The checkpoint as we run it is held to the training library's own predict; a fault of ours makes no bundle."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tasks.contracts.bundle import Bundle
from tasks.contracts.errors import PipelineError
from tasks.contracts.record import read_record
from tasks.dataset.decoding import read_image
from tasks.detectors import ultralytics_export
from tasks.detectors.ultralytics_reference import seen_by_library
from tasks.exporting import parity
from tasks.exporting.parity import compare_with_library, grey_levels_off, summarise
from tasks.runtimes import processing, protocol
from tasks.runtimes.processing import Placement
from tasks.runtimes.protocol import Runtime
from tests.fixtures.checkpoint import HEADS, IMAGE_SIZE, Project, export_bundle, make_project

pytestmark = pytest.mark.slow

Floats = processing.Floats
Patch = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    return {head: make_project(tmp_path_factory.mktemp(head), head) for head in HEADS}


@pytest.mark.parametrize(("head", "nms_free"), [*((head, head == "end2end") for head in HEADS), ("end2end", False)])
def test_pixels_and_boxes_are_those_of_the_library_on_images_of_any_shape(
    head: str, nms_free: bool, projects: dict[str, Project], tmp_path: Path
) -> None:
    bundle = read_record(export_bundle(projects[head], "pytorch", tmp_path, nms_free=nms_free) / "bundle.json", Bundle)
    weights = projects[head].trained / "weights.pt"
    images = [read_image(path) for path in sorted(projects[head].raw.iterdir())]
    images += [np.ascontiguousarray(image[: 30 + 3 * number, : 41 - 2 * number]) for number, image in enumerate(images)]
    ours = Runtime(bundle, ultralytics_export.open_network(bundle, weights, 1, "cpu"))
    seen = seen_by_library(weights, IMAGE_SIZE, bundle.output, images)
    assert max(grey_levels_off(ours, image, each) for image, each in zip(images, seen, strict=True)) < 0.01
    found = summarise(compare_with_library(ours, images, seen, 0.25))
    # Networks that have learnt nothing tie where NMS chooses.
    assert found.matched > max(200, 0.998 * found.boxes)
    assert found.extra is not None
    assert found.extra < 0.002 * found.boxes
    assert found.p90_box is not None
    assert found.p90_box < 1e-5


def patched(module: Any, name: str, change: Callable[..., Any]) -> Patch:
    """Put a fault around one of our functions: `change` gets what it gives, and what it was given."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        whole = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, **named: change(whole(*given, **named), *given))

    return plant


def pixels(change: Callable[[Floats], Floats]) -> Patch:
    return patched(protocol, "preprocess", lambda done, *_: (np.ascontiguousarray(change(done[0])), done[1]))


def preprocessing(**changes: Any) -> Patch:
    return patched(
        ultralytics_export,
        "input_and_output",
        lambda done, *_: (done[0].model_copy(update=changes), done[1]),
    )


def both_sides(change: Callable[[Floats], Floats]) -> Patch:
    """As a fault of the one pre-processing would have it, in every module that takes it from there."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (protocol, parity):
            patched(module, "preprocess", lambda done, *_: (np.ascontiguousarray(change(done[0])), done[1]))(
                monkeypatch
            )

    return plant


def off_grid(done: Placement) -> Placement:
    return Placement(done.image_wh, done.gain_xy, (done.offset_xy[0] + 5, done.offset_xy[1]))


PIXELS = "the network's input is not what the training library makes of the same image"
BOXES = "boxes of the checkpoint are not those of the training library's predict"


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        pytest.param(both_sides(lambda image: np.roll(image, 5, axis=3)), PIXELS, id="five pixels to the right"),
        pytest.param(both_sides(lambda image: np.roll(image, 1, axis=2)), PIXELS, id="one pixel down"),
        pytest.param(both_sides(lambda image: image[:, ::-1]), PIXELS, id="BGR"),
        pytest.param(both_sides(lambda image: image * (255 / 256)), PIXELS, id="a scale of 1/256"),
        pytest.param(both_sides(lambda image: image * 2 - 1), PIXELS, id="from -1 to 1"),
        pytest.param(preprocessing(fill=0), PIXELS, id="black border"),
        pytest.param(preprocessing(fill=113), PIXELS, id="border one level off"),
        pytest.param(preprocessing(resize="stretch"), PIXELS, id="stretched"),
        pytest.param(preprocessing(input_wh=(128, 128)), PIXELS, id="another size"),
        pytest.param(both_sides(lambda image: image.swapaxes(2, 3)), PIXELS, id="turned"),
        pytest.param(
            patched(processing, "_corners", lambda done, *_: done + 5), BOXES, id="boxes five input pixels off"
        ),
        pytest.param(
            patched(processing, "_corners", lambda done, *_: done * 1.05), BOXES, id="boxes a twentieth too far out"
        ),
        pytest.param(
            patched(
                processing,
                "_yolo_candidates",
                lambda done, *_: processing.Detections(done.boxes_xyxy, done.scores, 2 - done.class_indices),
            ),
            BOXES,
            id="classes in another order",
        ),
        pytest.param(
            patched(processing, "non_maximum_suppression", lambda done, *_: done[: len(done) // 2]),
            BOXES,
            id="half of the boxes suppressed",
        ),
    ],
)
def test_no_bundle_is_made_where_our_processing_is_not_that_of_the_library(
    plant: Patch, said: str, projects: dict[str, Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(PipelineError, match=said) as refused:
        export_bundle(projects["yolo"], "pytorch", tmp_path)
    assert "allowed" in f"{refused.value.what} {refused.value.where}" or "wanted" in refused.value.what
    assert "worst on " in refused.value.where
    assert "tasks/runtimes/processing.py" in refused.value.hint
    assert not (tmp_path / "bundle").exists()


def test_rtdetr_that_keeps_the_aspect_ratio_is_refused(
    projects: dict[str, Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocessing(resize="letterbox")(monkeypatch)
    with pytest.raises(PipelineError, match=r"not what|are not those"):
        export_bundle(projects["detr"], "pytorch", tmp_path)


@dataclass
class Planted:
    """Writes the artefact as always, and then a number into its weights."""

    write: Callable[..., None]
    number: float

    def __call__(self, weights: Path, bundle: Bundle, opset: int, to: Path) -> None:
        self.write(weights, bundle, opset, to)
        model = onnx.load(to)
        first = next(each for each in model.graph.initializer if len(each.dims) == 4)
        values = numpy_helper.to_array(first).copy()
        values[0, 0, 0, 0] = self.number
        first.CopyFrom(numpy_helper.from_array(values, first.name))
        onnx.save(model, str(to))


@pytest.mark.parametrize("target", ["onnx", "openvino-fp32"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_artefact_whose_numbers_are_not_finite_is_refused_and_images_are_counted(
    target: str, number: float, projects: dict[str, Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ultralytics_export, "write_onnx", Planted(ultralytics_export.write_onnx, number))
    with pytest.raises(PipelineError, match=rf"{target} gives numbers that are not finite.* on 4 of 4 images"):
        export_bundle(projects["yolo"], target, tmp_path)
    assert not (tmp_path / "bundle").exists()


def test_checkpoint_whose_numbers_are_not_finite_is_refused_as_such(
    projects: dict[str, Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = ultralytics_export.open_network

    def with_nan(*given: Any) -> Any:
        network = opened(*given)
        next(network._module.parameters()).data[0, 0, 0, 0] = float("nan")  # type: ignore[attr-defined]
        return network

    monkeypatch.setattr(ultralytics_export, "open_network", with_nan)
    with pytest.raises(PipelineError, match=r"pytorch gives numbers that are not finite.* on 4 of 4 images"):
        export_bundle(projects["yolo"], "onnx", tmp_path)
