"""Class-agnostic suppression: one parameter, and every runtime follows it."""

import logging
from pathlib import Path

import numpy as np
import pytest

from tasks.dataset.decoding import read_image
from tasks.runtimes.processing import Detections
from tasks.runtimes.protocol import open_runtime
from tests.fixtures.checkpoint import export_bundle, make_project

pytestmark = pytest.mark.slow


def boxes_of_several_classes(found: Detections) -> int:
    return len(found.scores) - len(np.unique(found.boxes_xyxy, axis=0))


def test_every_runtime_leaves_one_class_per_object_where_params_say_so(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    image = read_image(project.raw / "9.png")
    found = {
        (target, agnostic): open_runtime(
            export_bundle(project, target, tmp_path / f"{target} {agnostic}", nms_agnostic=agnostic),
            1,
            "cpu",
            target=target,
        ).predict(image, 0.1)
        for target in ("pytorch", "torchscript", "onnx", "openvino-fp32")
        for agnostic in (False, True)
        if agnostic or target == "pytorch"
    }
    assert boxes_of_several_classes(found.pop(("pytorch", False))) > 5
    reference = found["pytorch", True]
    assert len(reference.scores) > 5
    for each in found.values():
        assert boxes_of_several_classes(each) == 0
        assert each.class_indices.tolist() == reference.class_indices.tolist()
        np.testing.assert_allclose(each.boxes_xyxy, reference.boxes_xyxy, atol=0.5)


@pytest.mark.parametrize("head", ["end2end", "detr"])
def test_agnostic_suppression_of_a_network_without_nms_is_said_to_change_nothing(
    head: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    export_bundle(make_project(tmp_path, head), "pytorch", tmp_path / "exported", nms_agnostic=True, nms_free=True)
    assert f"export.nms_agnostic changes nothing: tiny-{head} goes without NMS" in caplog.text
    # What changes nothing does not keep a bundle from being held to its training; another head than trained does.
    is_said = "has other NMS or another head than in training: evaluate does not compare val" in caplog.text
    assert is_said == (head == "end2end")
