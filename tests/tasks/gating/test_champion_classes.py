"""A champion is a bar over the classes that it can know: from files through evaluate to the gate, and on paper."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
import yaml
from onnx import TensorProto, helper

from tasks.contracts.bundle import Output, Preprocessing
from tasks.contracts.record import read_record
from tasks.contracts.tables import BOX, IMAGES, OBJECTS, SPLIT, write_table
from tasks.contracts.verdict import Verdict
from tasks.evaluate import evaluate
from tasks.evaluate import main as evaluate_main
from tasks.gate import main as gate_main
from tasks.gating.compared_classes import compare_classes, over
from tasks.gating.judgement import Evaluated
from tests.fixtures.bundle import describe_files
from tests.fixtures.gate import PARAMS, USE_CASE, detected, judged, labelled, only_result
from tests.fixtures.repository import REPOSITORY

pytestmark = pytest.mark.slow

SIDE, IMAGES_OF_TEST = 64, 40
BOLT, CRACK, NOWHERE = [8.0, 8.0, 32.0, 32.0], [40.0, 40.0, 60.0, 60.0], [30.0, 2.0, 40.0, 6.0]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of rising brightness, a bolt in each and `cracks`, which were labelled `crack` before, in every second.

    Those of val are the brightest, so that no detection on test falls below the thresholds.
    """
    root = tmp_path_factory.mktemp("renamed")
    names = [f"test-{number:02}" for number in range(IMAGES_OF_TEST)] + [f"val-{number}" for number in range(3, 9)]
    (root / "raw").mkdir()
    for number, name in enumerate(names):
        cv2.imwrite(str(root / "raw" / f"{name}.png"), np.full((SIDE, SIDE, 3), 100 + number * 3, dtype=np.uint8))
    images = pd.DataFrame({"image_id": names, "name": names, "file": [f"raw/{name}.png" for name in names]})
    images = images.assign(sha256=None, width=SIDE, height=SIDE, source="line", subset=None, task_id=None, frame=None)
    write_table(images.assign(group="line", readable=True), root / "annotations" / "images.parquet", IMAGES)
    rows = [[name, "bolt", *BOLT] for name in names] + [[name, "cracks", *CRACK] for name in names[::2]]
    objects = pd.DataFrame(rows, columns=["image_id", "label", *BOX]).assign(shape="box", rotation=0.0, occluded=False)
    objects = objects.assign(object_id=[str(row) for row in objects.index], ignored=None, truncated=False, z_order=0)
    objects = objects.assign(track_id=None, source="manual", attributes="{}", points=None)
    write_table(objects, root / "annotations" / "objects.parquet", OBJECTS)
    split = pd.DataFrame({"image_id": names, "split": [name.partition("-")[0] for name in names], "group": names})
    write_table(split, root / "split.parquet", SPLIT)
    return root


def write_bundle(folder: Path, classes: list[str], blind_at: int = 0, registry_version: str | None = None) -> None:
    """A detector of two boxes, surer the darker the image, and the first box is astray in images about as bright."""
    folder.mkdir(parents=True)
    constants = {
        "good": ((1, 2, 4), BOLT + CRACK),
        "bad": ((1, 2, 4), NOWHERE + CRACK),
        "labels": ((1, 2, 1), [0.0, 1.0]),
        "ones": ((1, 2, 1), [1.0, 1.0]),
        "at": ((1,), [blind_at / 255]),
        "width": ((1,), [4 / 255]),
        "one": ((1,), [1.0]),
    }
    nodes = [
        helper.make_node("Constant", [], [name], value=helper.make_tensor(name, TensorProto.FLOAT, shape, values))
        for name, (shape, values) in constants.items()
    ]
    nodes += [
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Sub", ["mean", "at"], ["apart"]),
        helper.make_node("Abs", ["apart"], ["far"]),
        helper.make_node("Less", ["far", "width"], ["blind"]),
        helper.make_node("Where", ["blind", "bad", "good"], ["boxes"]),
        helper.make_node("Sub", ["one", "mean"], ["dark"]),
        helper.make_node("Mul", ["dark", "ones"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores", "labels"], ["detections"], axis=2),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    detections = helper.make_tensor_value_info("detections", TensorProto.FLOAT, [1, 2, 6])
    graph = helper.make_graph(nodes, "two", [pixels], [detections])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(folder / "detector.onnx"))
    describe_files(
        folder,
        classes=classes,
        preprocessing=Preprocessing(input_wh=(SIDE, SIDE)),
        output=Output(layout="end2end"),
        registry_version=registry_version,
    )


def verdict_of(workspace: Path, to: Path, rules: list[str], rename: dict[str, str] | None = None) -> Verdict:
    """Evaluate both bundles in `to` on the workspace's images, and judge. rename: parse.rename."""
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["use_case"] = {"target": "onnx", "metric": "map50", "operating_point": "best f1"}
    params["export"]["targets"] = ["onnx", "champion"]
    params["evaluate"] |= {"resamples": 200, "latency_images": 20, "threads": 1, "device": "cpu"}
    params["gate"]["rules"], params["parse"]["rename"] = rules, rename or {}
    (to / "params.yaml").write_text(yaml.safe_dump(params))
    for target in ("onnx", "champion"):
        evaluate_main(
            raw=workspace / "raw",
            annotations=workspace / "annotations",
            split=workspace / "split.parquet",
            bundle=to / target,
            evaluation=to / "evaluation" / target,
            target=target,
            params=to / "params.yaml",
        )
    gate_main(to / "evaluation", to / "verdict.json", to / "metrics.json", to / "params.yaml")
    return read_record(to / "verdict.json", Verdict)


def test_challenger_that_is_worse_where_both_know_the_class_is_rejected_though_another_class_got_a_new_name(
    workspace: Path, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "champion", ["bolt", "crack"], registry_version="1")
    write_bundle(tmp_path / "onnx", ["bolt", "cracks"], blind_at=217)
    names = ("map50", "map50_95", "precision", "recall", "f1")
    each = [f"{name} not worse than champion" for name in names]
    verdict = verdict_of(workspace, tmp_path, [*each, "recall where size = small not worse than champion"])
    assert not verdict.accepted
    left_out = (
        '; compared over "bolt" alone: the champion does not know "cracks"; the champion alone knows "crack". '
        'If that is another name for the same, set parse.rename: {"cracks": "crack"}'
    )
    for result in verdict.targets["onnx"].rules:
        assert result.outcome == "rejected"
        assert result.value == pytest.approx(-0.05, abs=0.01)  # 2 of 40 bolts
        assert result.reason.endswith(left_out), result.reason


def test_class_that_the_champion_does_not_know_is_no_bar_and_the_reason_says_so(
    workspace: Path, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "champion", ["bolt", "crack"], registry_version="1")
    write_bundle(tmp_path / "onnx", ["bolt", "cracks"])
    rules = ["ap50 of each class not worse than champion by 0.1", 'f1 of "cracks" not worse than champion']
    verdict = verdict_of(workspace, tmp_path, rules)
    assert verdict.accepted
    of_bolt, of_cracks, named = verdict.targets["onnx"].rules
    assert of_bolt.reason.startswith('ap50 of "bolt" is 1.000, equal to the champion')
    for result in (of_cracks, named):
        assert 'the champion does not know "cracks", so it is no bar for it. If that is another name' in result.reason
        assert result.value is None


def test_champion_of_other_classes_leaves_every_comparison_undecided(workspace: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "champion", ["Bolt", "crack"], registry_version="1")
    write_bundle(tmp_path / "onnx", ["bolt", "cracks"])
    rules = ["map50 not worse than champion by 0.5", "ap50 of each class not worse than champion by 0.5"]
    verdict = verdict_of(workspace, tmp_path, rules)
    assert {result.outcome for result in verdict.targets["onnx"].rules} == {"undecided"}
    assert 'set parse.rename: {"bolt": "Bolt", "cracks": "crack"}. Where it is about other things' in verdict.reason


@pytest.mark.parametrize("rule", ["map50 not worse than champion by 0.5", 'f1 of "cracks" not worse than champion'])
def test_class_that_parse_renames_is_told_so_where_the_champion_knows_it_by_its_old_name(
    workspace: Path, tmp_path: Path, rule: str
) -> None:
    write_bundle(tmp_path / "champion", ["bolt", "crack"], registry_version="1")
    write_bundle(tmp_path / "onnx", ["bolt", "cracks"])
    (result,) = verdict_of(workspace, tmp_path, [rule], {"crack": "cracks"}).targets["onnx"].rules
    assert result.reason.endswith(". parse.rename turns 'crack' into 'cracks'"), result.reason


def measured(name: str, knows: list[str], found: float, labels: list[str], seed: int = 0) -> Evaluated:
    """As evaluate measures a model that knows these classes, on images that hold a bolt each and some cracks."""
    val, test = labelled(40, "val"), labelled(120, "test")
    rows = pd.concat([detected(val.objects, 1.0, 1).assign(score=0.5), detected(test.objects, found, seed)])
    classes = [*knows, *(label for label in labels if label not in knows)]
    figures = evaluate(val, test, rows[rows["label"].isin(knows)], classes, use_case=USE_CASE, params=PARAMS, seed=7)
    version = "1" if name == "champion" else None
    of_bundle = {"target": name, "known": knows, "registry_version": version}
    return Evaluated(figures.evaluation.model_copy(update=of_bundle), figures.resamples)


def test_figures_over_some_classes_are_those_of_a_run_that_knows_no_others() -> None:
    both, alone = measured("onnx", ["bolt", "crack"], 0.8, []), measured("onnx", ["bolt"], 0.8, [])
    evaluation, resamples = over(["bolt"], both.evaluation, both.resamples)
    for name, interval in alone.evaluation.overall.items():
        assert evaluation.overall[name].value == pytest.approx(interval.value), name
        np.testing.assert_allclose(resamples[name], alone.resamples[name], err_msg=name)
    sliced, expected = ([one for one in of.slices if one.by == "size"] for of in (evaluation, alone.evaluation))
    assert [(one.part, one.objects, one.recall.value, one.ap50.value) for one in sliced] == [
        (one.part, one.objects, one.recall.value, one.ap50.value) for one in expected
    ]
    for name in (f"{figure} where size = {one.part}" for figure in ("ap50", "recall") for one in expected):
        np.testing.assert_allclose(resamples[name], alone.resamples[name], err_msg=name)


def test_class_that_only_the_challenger_forgot_counts_while_test_holds_it() -> None:
    """It is no new name: the champion finds what is labelled, and the challenger does not."""
    champion = measured("champion", ["bolt", "crack"], 0.9, [])
    challenger = measured("onnx", ["bolt"], 0.9, ["crack"])
    assert compare_classes(challenger.evaluation, champion.evaluation).labels == ["bolt", "crack"]
    result = only_result(judged(["map50 not worse than champion by 0.1"], challenger, champion=champion))
    assert result.outcome == "rejected"


def test_models_of_the_same_classes_are_compared_over_all_without_a_word() -> None:
    champion, challenger = (measured(name, ["bolt", "crack"], 0.9, []) for name in ("champion", "onnx"))
    result = only_result(judged(["map50 not worse than champion by 0.1"], challenger, champion=champion))
    assert result.outcome == "accepted"
    assert "compared over" not in result.reason
