"""A workspace that evaluate can run in: images, tables and a real ONNX bundle whose figures can be counted by hand."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
import yaml
from onnx import TensorProto, helper

from tasks.contracts.bundle import Output, Preprocessing, TrainedVal
from tasks.contracts.evaluation import Evaluation
from tasks.contracts.record import read_record
from tasks.contracts.tables import BOX, IMAGES, OBJECTS, SPLIT, write_table
from tasks.evaluate import main
from tests.bundle_fixture import describe_files

REPOSITORY = Path(__file__).resolve().parents[1]
SIDE = 64
BOLT, CRACK = [8.0, 8.0, 32.0, 32.0], [40.0, 40.0, 60.0, 60.0]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Twenty-four images whose brightness is the score of both detections; val and test, two images a group."""
    names = [f"{side}-{number:02}" for side in ("val", "test") for number in range(12)]
    raw = tmp_path / "raw" / "line"
    raw.mkdir(parents=True)
    for number, name in enumerate(names):
        brightness = 100 + 10 * (number % 12)
        cv2.imwrite(str(raw / f"{name}.png"), np.full((SIDE, SIDE, 3), brightness, dtype=np.uint8))
    images = pd.DataFrame({"image_id": names, "name": names, "file": [f"raw/line/{name}.png" for name in names]})
    images = images.assign(sha256=None, width=SIDE, height=SIDE, source="line", subset=None, task_id=None, frame=None)
    write_table(images.assign(group="line", readable=True), tmp_path / "annotations" / "images.parquet", IMAGES)
    # Every image has a bolt; a crack is only in every third one.
    rows = [[name, "bolt", *BOLT] for name in names] + [[name, "crack", *CRACK] for name in names[::3]]
    objects = pd.DataFrame(rows, columns=["image_id", "label", *BOX])
    objects = objects.assign(
        object_id=[str(row) for row in objects.index], shape="box", rotation=0.0, occluded=False, ignored=None
    )
    objects = objects.assign(truncated=False, z_order=0, track_id=None, source="manual", attributes="{}", points=None)
    write_table(objects, tmp_path / "annotations" / "objects.parquet", OBJECTS)
    split = pd.DataFrame({"image_id": names, "split": ["val"] * 12 + ["test"] * 12})
    write_table(split.assign(group=[f"g{n // 2}" for n in range(24)]), tmp_path / "split.parquet", SPLIT)
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["use_case"]["operating_point"] = "best f1"
    params["evaluate"] |= {"resamples": 100, "fewest_groups": 6, "latency_images": 20, "threads": 1, "device": "cpu"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    write_bundle(tmp_path / "bundle")
    return tmp_path


def bright(divided_by: float = 1.0) -> onnx.GraphProto:
    """A detector that sees a bolt and a crack in every image, and is as sure of them as the image is bright.

    divided_by: with 0 its scores are infinite.
    """
    constants = [
        helper.make_node("Constant", [], [name], value=helper.make_tensor(name, TensorProto.FLOAT, shape, values))
        for name, shape, values in (
            ("boxes", (1, 2, 4), BOLT + CRACK),
            ("labels", (1, 2, 1), [0.0, 1.0]),
            ("ones", (1, 2, 1), [1.0, 1.0]),
            ("divisor", (1,), [divided_by]),
        )
    ]
    nodes = [
        *constants,
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "ones"], ["bright"]),
        helper.make_node("Div", ["bright", "divisor"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores", "labels"], ["detections"], axis=2),
    ]
    return helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, [1, 2, 6])],
    )


def write_bundle(
    folder: Path,
    registry_version: str | None = None,
    graph: onnx.GraphProto | None = None,
    layout: str = "end2end",
    *,
    trained: TrainedVal | None = None,
) -> None:
    folder.mkdir(exist_ok=True)
    model = helper.make_model(graph or bright(), opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(folder / "detector.onnx"))
    describe_files(
        folder,
        classes=["bolt", "crack"],
        preprocessing=Preprocessing(input_wh=(SIDE, SIDE)),
        output=Output.model_validate({"layout": layout}),
        registry_version=registry_version,
        trained_val=trained,
    )


def run_main(workspace: Path, target: str | None = None) -> Evaluation:
    main(
        target=target,
        raw=workspace / "raw",
        annotations=workspace / "annotations",
        split=workspace / "split.parquet",
        bundle=workspace / "bundle",
        evaluation=workspace / "evaluation",
        params=workspace / "params.yaml",
    )
    return read_record(workspace / "evaluation" / "evaluation.json", Evaluation)
