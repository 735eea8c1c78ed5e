"""Val as evaluate measures it is held to what training measured, and numbers that are not finite are no figures."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from tasks.contracts.bundle import Bundle, TrainedVal
from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.record import read_record, write_record
from tasks.contracts.tables import OBJECTS, read_table, write_table
from tests.fixtures.evaluate import SIDE, bright, run_main, write_bundle

pytest_plugins = ["tests.fixtures.evaluate"]
pytestmark = pytest.mark.slow


def tables_of(workspace: Path) -> dict[str, str]:
    tables = [*(workspace / "annotations").glob("*.parquet"), workspace / "split.parquet"]
    return {table.name: content_sha256(table) for table in tables}


def test_val_is_what_training_measured_on_the_same_images(workspace: Path) -> None:
    val = run_main(workspace).val
    figures = {name: val[name] for name in ("map50", "map50_95")}
    write_bundle(workspace / "bundle", trained=TrainedVal(figures=figures, data_sha256=tables_of(workspace)))
    assert run_main(workspace).val == val


@pytest.mark.parametrize("off", [-0.03, 0.03], ids=["worse than in training", "better than in training"])
def test_val_that_is_not_what_training_measured_is_refused_with_both_figures(off: float, workspace: Path) -> None:
    val = run_main(workspace).val
    shutil.rmtree(workspace / "evaluation")
    assert val["map50_95"] is not None
    figures = {"map50": val["map50"], "map50_95": val["map50_95"] - off}
    write_bundle(workspace / "bundle", trained=TrainedVal(figures=figures, data_sha256=tables_of(workspace)))
    said = rf"map50_95 {val['map50_95']:.3f} here, {val['map50_95'] - off:.3f} in training.*0.030 apart, .* allows 0.02"
    with pytest.raises(PipelineError, match=said):
        run_main(workspace)
    assert not (workspace / "evaluation").exists()


def test_other_images_than_those_of_training_and_a_champion_are_not_compared_with_it(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained = TrainedVal(figures={"map50": 0.1, "map50_95": None}, data_sha256=tables_of(workspace))
    write_bundle(workspace / "bundle", registry_version="3", trained=trained)
    run_main(workspace)
    write_bundle(workspace / "bundle", trained=trained)
    objects = read_table(workspace / "annotations" / "objects.parquet", OBJECTS)
    write_table(objects[1:], workspace / "annotations" / "objects.parquet", OBJECTS)
    run_main(workspace)
    assert "val is not compared with training: the tables have changed since" in caplog.text


def test_bundle_with_other_suppression_than_in_training_is_said_not_to_be_compared_with_it(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_main(workspace)
    assert "val is not compared with training: NMS or head of onnx are others than in training" in caplog.text


def test_artefact_whose_numbers_are_not_finite_has_no_figures(workspace: Path) -> None:
    write_bundle(workspace / "bundle", graph=bright(divided_by=0.0))
    with pytest.raises(PipelineError, match=r"onnx gives numbers that are not finite.* on 24 of 24 images"):
        run_main(workspace)
    assert not (workspace / "evaluation").exists()


def test_images_whose_numbers_are_not_finite_are_counted(workspace: Path) -> None:
    # Division of zero by zero: three black images.
    write_bundle(workspace / "bundle", graph=bright(divided_by=0.0))
    model = onnx.load(workspace / "bundle" / "detector.onnx")
    next(node for node in model.graph.node if node.op_type == "Div").input[1] = "bright"
    onnx.save(model, str(workspace / "bundle" / "detector.onnx"))
    bundle = read_record(workspace / "bundle" / "bundle.json", Bundle)
    artefact = workspace / "bundle" / "detector.onnx"
    other = {"files_sha256": {artefact.name: content_sha256(artefact)}, "size_bytes": artefact.stat().st_size}
    write_record(bundle.model_copy(update=other), workspace / "bundle" / "bundle.json")
    for name in ("val-03", "test-05", "test-06"):
        cv2.imwrite(str(workspace / "raw" / "line" / f"{name}.png"), np.zeros((SIDE, SIDE, 3), dtype=np.uint8))
    with pytest.raises(PipelineError, match=r"on 3 of 24 images, the first test-05"):
        run_main(workspace)
