"""Evaluate runs a real ONNX bundle over real files and writes figures that can be counted by hand."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
import yaml
from onnx import TensorProto, helper

from tasks.contracts.bundle import Bundle, NoChampion, Output, Preprocessing, TrainedVal, bundle_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.evaluation import Evaluation, evaluation_faults
from tasks.contracts.record import read_record, write_record
from tasks.contracts.tables import BOX, CROWD, DIFFICULT, IMAGES, OBJECTS, PREDICTIONS, SPLIT, read_table, write_table
from tasks.contracts.work import content_sha256
from tasks.evaluate import main
from tasks.metrics.figures import flat_figures
from tasks.runtimes.protocol import read_bundle

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
    content = (folder / "detector.onnx").read_bytes()
    bundle = Bundle(
        target="onnx",
        artefact="detector.onnx",
        family="ultralytics",
        architecture="bright",
        code_licence="Apache-2.0",
        weights_licence="none",
        classes=["bolt", "crack"],
        precision="fp32",
        preprocessing=Preprocessing(input_wh=(SIDE, SIDE)),
        output=Output.model_validate({"layout": layout}),
        versions={},
        files_sha256={"detector.onnx": hashlib.sha256(content).hexdigest()},
        size_bytes=len(content),
        trained_sha256="0" * 64,
        registry_version=registry_version,
        trained_val=trained,
    )
    write_record(bundle, folder / "bundle.json")


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


def test_figures_are_those_that_one_counts_by_hand(workspace: Path) -> None:
    evaluation = run_main(workspace)
    assert (evaluation.target, evaluation.images, evaluation.objects, evaluation.groups) == ("onnx", 12, 16, 6)
    assert (evaluation.resampled, evaluation.resamples, evaluation.unreadable) == ("parts", 100, 0)
    bolt, crack = evaluation.classes["bolt"], evaluation.classes["crack"]
    assert (bolt.objects, bolt.true_positives, bolt.false_positives, bolt.found) == (12, 12, 0, 12)
    assert (bolt.ap50.value, bolt.recall.value, bolt.groups, bolt.images) == (1.0, 1.0, 6, 12)
    # Cracks are in images 0, 3, 6 and 9, of brightness 100, 130, 160 and 190; false alarms in all others.
    assert (crack.objects, crack.true_positives, crack.false_positives) == (4, 4, 8)
    assert crack.threshold == pytest.approx(100 / 255, abs=1e-4)
    assert crack.ap50.value == pytest.approx(1 / 3, abs=0.01)
    assert evaluation.overall["map50"].value == pytest.approx((1 + 1 / 3) / 2, abs=0.01)
    assert evaluation.overall["precision"].value == pytest.approx(16 / 24)
    assert evaluation.confusion["background"]["crack"] == 8
    assert evaluation.errors["crack"] == {"missed": 0, "background": 8, "class": 0, "localisation": 0, "duplicate": 0}
    for interval in (*evaluation.overall.values(), bolt.ap50, bolt.recall, crack.precision):
        assert interval.low is not None
        assert interval.value is not None
        assert interval.high is not None
        assert interval.low <= interval.value <= interval.high
    # Twelve of twelve is no certainty, and on another val the threshold would have been another.
    assert 0 < bolt.recall.low < 0.7354  # type: ignore[operator]


def test_everything_that_the_contract_names_is_written(workspace: Path) -> None:
    evaluation = run_main(workspace)
    folder = workspace / "evaluation"
    assert sorted(path.name for path in folder.iterdir()) == [
        "curves.parquet",
        "evaluation.json",
        "predictions.parquet",
        "resamples.parquet",
    ]
    predictions = read_table(folder / "predictions.parquet", PREDICTIONS)
    assert len(predictions) == 48  # two in each image of val and test
    assert flat_figures(evaluation)["map50"] == evaluation.overall["map50"].value
    assert flat_figures(evaluation)['recall of "crack"'] == 1.0
    resamples = pd.read_parquet(folder / "resamples.parquet")
    assert len(resamples) == 100
    assert {"map50", 'f1 of "bolt"', 'recall of "bolt" where size = small'} <= set(resamples)
    assert list(pd.read_parquet(folder / "curves.parquet")) == ["label", "threshold", "precision", "recall", "f1"]
    assert evaluation.latency is not None
    assert 0 < evaluation.latency.p50_ms <= evaluation.latency.p95_ms <= evaluation.latency.p99_ms
    assert (evaluation.latency.images, evaluation.latency.threads, evaluation.latency.device) == (20, 1, "cpu")
    assert evaluation.latency.machine
    assert evaluation.peak_memory_mb is not None
    assert evaluation.size_bytes == (workspace / "bundle" / "detector.onnx").stat().st_size


def test_images_that_cannot_be_decoded_are_left_out_and_counted(workspace: Path) -> None:
    (workspace / "raw" / "line" / "test-03.png").write_bytes(b"no image")
    (workspace / "raw" / "line" / "test-04.png").unlink()
    evaluation = run_main(workspace)
    assert (evaluation.unreadable, evaluation.images, evaluation.objects) == (2, 10, 13)
    assert evaluation.classes["crack"].objects == 3


def test_class_that_the_artefact_does_not_know_counts_as_missed(workspace: Path) -> None:
    objects = read_table(workspace / "annotations" / "objects.parquet", OBJECTS)
    objects.loc[objects["image_id"] == "test-05", "label"] = "dent"
    write_table(objects, workspace / "annotations" / "objects.parquet", OBJECTS)
    evaluation = run_main(workspace)
    assert evaluation.classes["dent"].ap50.value == 0.0
    assert evaluation.confusion["dent"]["bolt"] == 1
    assert "no object on val" in evaluation.classes["dent"].operating_note


@pytest.mark.parametrize("why", [CROWD, DIFFICULT])
def test_what_is_ignored_is_neither_missed_nor_makes_a_box_on_it_a_false_alarm(workspace: Path, why: str) -> None:
    objects = read_table(workspace / "annotations" / "objects.parquet", OBJECTS)
    cracks = objects["label"] == "crack"
    objects.loc[cracks & (objects["image_id"] == "test-03"), "ignored"] = why
    write_table(objects, workspace / "annotations" / "objects.parquet", OBJECTS)
    crack = run_main(workspace).classes["crack"]
    assert (crack.objects, crack.true_positives, crack.found) == (3, 3, 3)
    assert crack.true_positives + crack.false_positives == 11


def test_class_whose_objects_are_all_ignored_and_that_the_artefact_does_not_know_is_no_class(workspace: Path) -> None:
    objects = read_table(workspace / "annotations" / "objects.parquet", OBJECTS)
    objects.loc[objects["image_id"] == "test-05", ["label", "ignored"]] = ["dent", CROWD]
    write_table(objects, workspace / "annotations" / "objects.parquet", OBJECTS)
    assert list(run_main(workspace).classes) == ["bolt", "crack"]


def test_a_second_class_on_every_object_brings_a_hint(workspace: Path) -> None:
    """Every bolt is a crack, too: 12 times beside the 4 cracks that are missed."""
    values = helper.make_tensor("found", TensorProto.FLOAT, (1, 6, 1), [20.0, 20.0, 24.0, 24.0, 0.9, 0.95])
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    found = helper.make_tensor_value_info("found", TensorProto.FLOAT, [1, 6, 1])
    graph = helper.make_graph([helper.make_node("Constant", [], ["found"], value=values)], "double", [pixels], [found])
    write_bundle(workspace / "bundle", graph=graph, layout="yolo")
    says = "set export.nms_agnostic: true: 12 of 16 errors are boxes of several classes on one object"
    assert run_main(workspace).hints == [says]


def test_same_seed_gives_the_same_figures_and_another_bundle_the_same_draw(workspace: Path) -> None:
    first = run_main(workspace)
    resamples = pd.read_parquet(workspace / "evaluation" / "resamples.parquet")
    write_bundle(workspace / "bundle", registry_version="3")
    second = run_main(workspace)
    pd.testing.assert_frame_equal(pd.read_parquet(workspace / "evaluation" / "resamples.parquet"), resamples)
    assert first.test_sha256 == second.test_sha256
    assert (second.target, second.registry_version) == ("champion", "3")
    own = {"latency", "peak_memory_mb", "target", "registry_version", "figures_sha256"}
    assert first.model_dump(exclude=own) == second.model_dump(exclude=own)


def test_changed_truth_changes_what_may_be_paired(workspace: Path) -> None:
    first = run_main(workspace)
    objects = read_table(workspace / "annotations" / "objects.parquet", OBJECTS)
    objects.loc[objects["image_id"] == "test-05", "x_max"] += 1
    write_table(objects, workspace / "annotations" / "objects.parquet", OBJECTS)
    assert run_main(workspace).test_sha256 != first.test_sha256


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        ("pixels", {"pixels"}),
        ("labels", {"objects.parquet"}),
        ("split", {"split.parquet", "pixels"}),
        ("params", {"params"}),
    ],
)
def test_evaluation_names_what_was_measured_on_what(changed: str, differs: set[str], workspace: Path) -> None:
    first = run_main(workspace)
    assert evaluation_faults(workspace / "evaluation", first) == []
    assert first.bundle_sha256 == bundle_sha256(read_bundle(workspace / "bundle"))
    if changed == "pixels":
        shutil.copyfile(workspace / "raw" / "line" / "test-03.png", workspace / "raw" / "line" / "test-04.png")
    elif changed == "params":
        params = yaml.safe_load((workspace / "params.yaml").read_text())
        params["evaluate"]["score_bins"] += 1
        (workspace / "params.yaml").write_text(yaml.safe_dump(params))
    else:
        path, schema = {
            "labels": (workspace / "annotations" / "objects.parquet", OBJECTS),
            "split": (workspace / "split.parquet", SPLIT),
        }[changed]
        write_table(read_table(path, schema).iloc[:-1], path, schema)
    second = run_main(workspace)
    assert second.bundle_sha256 == first.bundle_sha256
    assert {name for name, sha256 in first.inputs_sha256.items() if second.inputs_sha256[name] != sha256} == differs


@pytest.mark.parametrize("target", ["champion", None])
def test_champion_that_says_it_is_a_checkpoint_is_not_unpickled(target: str | None, workspace: Path) -> None:
    write_bundle(workspace / "bundle", registry_version="3")
    bundle = read_record(workspace / "bundle" / "bundle.json", Bundle)
    write_record(bundle.model_copy(update={"target": "pytorch"}), workspace / "bundle" / "bundle.json")
    with pytest.raises(PipelineError, match="which is a pickle, and that was not asked for"):
        run_main(workspace, target)


def test_scene_that_is_on_several_sides_is_resampled_in_parts_and_that_is_said(workspace: Path) -> None:
    split = read_table(workspace / "split.parquet", SPLIT)
    split["group"] = split["split"].map({"val": "line · block 1", "test": "line · block 2"})
    write_table(split, workspace / "split.parquet", SPLIT)
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["evaluate"]["part_images"] = 5
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))
    evaluation = run_main(workspace)
    assert (evaluation.resampled, evaluation.groups) == ("parts", 2)  # of 5 and 7 images
    assert "test shares a scene with other sides of the split" in evaluation.resampling_reason
    assert "2 parts are resampled" in evaluation.resampling_reason


def test_whole_scenes_are_resampled_however_few(workspace: Path) -> None:
    images = read_table(workspace / "annotations" / "images.parquet", IMAGES)
    images["group"] = [f"scene {number // 6}" for number in range(len(images))]
    write_table(images, workspace / "annotations" / "images.parquet", IMAGES)
    split = read_table(workspace / "split.parquet", SPLIT)
    write_table(split.assign(group=images["group"]), workspace / "split.parquet", SPLIT)
    evaluation = run_main(workspace)
    assert (evaluation.resampled, evaluation.resampling_reason, evaluation.groups) == ("groups", "", 2)
    assert len(set(pd.read_parquet(workspace / "evaluation" / "resamples.parquet")["map50"])) <= 3


def test_no_champion_is_an_evaluation_that_says_so(workspace: Path) -> None:
    for path in (workspace / "bundle").iterdir():
        path.unlink()
    write_record(NoChampion(reason="the registry is empty"), workspace / "bundle" / "absent.json")
    evaluation = run_main(workspace)
    assert (evaluation.target, evaluation.absent, evaluation.overall) == ("champion", "the registry is empty", {})
    assert read_table(workspace / "evaluation" / "predictions.parquet", PREDICTIONS).empty
    assert pd.read_parquet(workspace / "evaluation" / "resamples.parquet").empty
    assert flat_figures(evaluation) == {}


@pytest.mark.parametrize(
    ("knob", "value", "said"),
    [
        ("slice_attributes", ["light", "size"], "'size' is there twice; size and source are measured anyway"),
        ("slice_attributes", ["source"], "'source' is there twice"),
        ("slice_attributes", ["light", "wet", "light"], "'light' is there twice"),
        ("size_edges_px", [96, 32], r"\[96, 32\] do not ascend from above 0; write the lower one first"),
        ("size_edges_px", [32, 32], "do not ascend"),
        ("size_edges_px", [-32, 96], "do not ascend"),
    ],
)
def test_slices_that_cannot_be_told_apart_are_refused_before_anything_runs(
    knob: str, value: list[str | int], said: str, workspace: Path
) -> None:
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["evaluate"][knob] = value
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(PipelineError, match=rf"evaluate\.{knob}: .*{said}"):
        run_main(workspace)


def test_champion_is_measured_without_operating_points_of_classes_that_came_after_it(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["use_case"]["operating_points"] = {"dent": "recall >= 0.9", "crack": "precision >= 0.1"}
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(PipelineError, match="no class is named 'dent'"):
        run_main(workspace)
    write_bundle(workspace / "bundle", registry_version="3")
    assert run_main(workspace).classes["crack"].operating_point == "precision >= 0.1"
    assert "use_case.operating_points: the champion does not know dent, and is measured without" in caplog.text


def test_split_without_test_images_is_refused(workspace: Path) -> None:
    split = read_table(workspace / "split.parquet", SPLIT)
    write_table(split[split["split"] == "val"], workspace / "split.parquet", SPLIT)
    with pytest.raises(PipelineError, match="Label more groups of images"):
        run_main(workspace)


def test_no_image_of_test_that_decodes_is_refused(workspace: Path) -> None:
    for path in (workspace / "raw" / "line").glob("test-*"):
        path.write_bytes(b"")
    with pytest.raises(PipelineError, match="no image of test can be decoded"):
        run_main(workspace)


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


@pytest.mark.slow
def test_command_is_the_one_that_dvc_declares(workspace: Path) -> None:
    declared = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]["evaluate"]["cmd"].split()
    places = {"--raw": "raw", "--annotations": "annotations", "--split": "split.parquet", "--bundle": "bundle"}
    places |= {"--evaluation": "evaluation"}
    assert declared[-2:] == ["--target", "${item.target}"]
    command = [sys.executable, *declared[1:3], "--params", str(workspace / "params.yaml")]
    for option in declared[3:-2:2]:
        command += [option, str(workspace / places[option])]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    start, _not_compared, end = done.stderr.splitlines()
    assert start.startswith("evaluating ")
    assert end.startswith("evaluated onnx on 12 test images with 16 objects: map50 0.66")
