"""Evaluate runs a real ONNX bundle over real files and writes figures that can be counted by hand."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from onnx import TensorProto, helper

from tasks.contracts.bundle import Bundle, NoChampion, bundle_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.evaluation import evaluation_faults
from tasks.contracts.record import read_record, write_record
from tasks.contracts.tables import CROWD, DIFFICULT, IMAGES, OBJECTS, PREDICTIONS, SPLIT, read_table, write_table
from tasks.runtimes.protocol import read_bundle
from tests.fixtures.evaluate import SIDE, run_main, write_bundle
from tests.fixtures.repository import REPOSITORY

pytest_plugins = ["tests.fixtures.evaluate"]
pytestmark = pytest.mark.slow


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
    assert {kind: count for kind, count in evaluation.errors["crack"].items() if count} == {"background": 8}
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
    assert evaluation.classes["crack"].recall.value == 1.0
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
    assert "test shares a scene with other splits" in evaluation.resampling_reason
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


@pytest.mark.parametrize(
    ("name", "value", "said"),
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
    name: str, value: list[str | int], said: str, workspace: Path
) -> None:
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["evaluate"][name] = value
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(PipelineError, match=rf"evaluate\.{name}: .*{said}"):
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
