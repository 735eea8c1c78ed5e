"""The gate accepts, rejects, waits for more objects, and says why in the use case's words."""

import json
import math
from pathlib import Path

import pytest
import yaml

from tasks.contracts.errors import PipelineError
from tasks.contracts.record import read_record, write_record
from tasks.contracts.verdict import Outcome, Verdict
from tasks.evaluate import evaluate
from tasks.gate import GateParams, gate, main
from tasks.gating.judgement import Evaluated
from tests.fixtures.gate import LABELS, PARAMS, USE_CASE, detected, judged, labelled, only_result, target
from tests.fixtures.repository import REPOSITORY


@pytest.fixture(scope="module")
def perfect() -> Evaluated:
    return target("onnx")


@pytest.mark.parametrize(
    ("found", "images", "rule", "outcome", "reason"),
    [
        (1.0, 200, 'recall of "crack" >= 0.95', "accepted", "at 95 % confidence at least 0.970, and 0.95 is asked for"),
        (1.0, 200, 'recall of "crack" >= 0.97 at 98 % confidence', "undecided", "only at least 0.962"),
        (
            1.0,
            40,
            'recall of "crack" >= 0.95',
            "undecided",
            'about 39 more test objects of "crack" in 39 more scenes could decide it',
        ),
        (0.9, 200, 'recall of "crack" >= 0.95', "rejected", 'recall of "crack" is 0.930, 0.020 short of 0.95'),
        (0.9, 200, 'recall of "crack" >= 0.9', "undecided", "more test objects"),
        (0.9, 200, "recall >= 0.85", "accepted", "at least 0."),
        (0.9, 200, "map50 >= 0.8", "accepted", "at least 0."),
        (1.0, 200, 'recall of "bolt" where size = small >= 0.95', "accepted", "where size = small is 1.000"),
        (
            1.0,
            200,
            'recall of "bolt" where size = large >= 0.95',
            "undecided",
            "no such object, and it takes at least 59; by size it holds small, medium",
        ),
        (1.0, 200, "latency p95 <= 20 ms", "accepted", "latency p95 is 12 ms, and 20 ms is allowed"),
        (1.0, 200, "latency p95 <= 10 ms", "rejected", "2 ms over the 10 ms that is allowed"),
        (1.0, 200, "size <= 2.5 MB", "rejected", "0.5 MB over"),
        (1.0, 200, "peak memory <= 80 MB", "accepted", "peak memory is 80 MB"),
    ],
)
def test_rule_is_judged_by_its_bound(found: float, images: int, rule: str, outcome: Outcome, reason: str) -> None:
    verdict = judged([rule], target("onnx", found, images))
    result = only_result(verdict)
    assert (result.outcome, verdict.outcome, verdict.accepted) == (outcome, outcome, outcome == "accepted")
    assert reason in result.reason
    assert (result.shortfall is None) == (outcome == "accepted" or result.value is None)


def test_undecided_rule_says_how_many_more_objects_and_the_shortfall() -> None:
    result = only_result(judged(['recall of "crack" >= 0.95'], target("onnx", 1.0, 40)))
    assert result.more_objects == 39  # 20 are there; of 59 found without a miss 95 % follows at 95 % confidence
    assert result.shortfall == pytest.approx(0.95 - 0.05 ** (1 / 20))


def test_rule_for_each_class_gives_one_result_per_class(perfect: Evaluated) -> None:
    (verdict,) = judged(["ap50 of each class >= 0.5"], perfect).targets.values()
    assert [result.metric for result in verdict.rules] == ['ap50 of "bolt"', 'ap50 of "crack"']


def test_class_without_test_objects_is_undecided_and_says_how_many_it_takes(perfect: Evaluated) -> None:
    classes = dict(perfect.evaluation.classes)
    empty = evaluate(
        labelled(40, "val"),
        labelled(40, "test"),
        detected(labelled(40, "test").objects, 1, 0),
        [*LABELS, "dent"],
        use_case=USE_CASE,
        params=PARAMS,
        seed=7,
    )
    assert "dent" not in classes
    unknown = Evaluated(empty.evaluation.model_copy(update={"target": "onnx"}), empty.resamples)
    result = only_result(judged(['recall of "dent" >= 0.9'], unknown))
    assert (result.outcome, result.value, result.more_objects) == (
        "undecided",
        None,
        math.ceil(math.log(0.05) / math.log(0.9)),
    )
    assert "test holds no such object" in result.reason


def test_nothing_predicted_is_a_rejection() -> None:
    verdict = judged(['precision of "crack" >= 0.5', "map50 >= 0.1"], target("onnx", 0.0))
    assert [result.outcome for result in verdict.targets["onnx"].rules] == ["rejected", "rejected"]
    assert "nothing was found at all" in verdict.reason


@pytest.mark.parametrize(
    ("found", "accepted", "released"),
    [
        ({"onnx": 1.0, "pytorch": 1.0, "torchscript": 0.5}, True, ["onnx", "pytorch"]),
        ({"onnx": 0.5, "pytorch": 1.0, "torchscript": 1.0}, False, []),
    ],
    ids=["the live target passes", "the live target falls short"],
)
def test_release_follows_the_live_target(found: dict[str, float], accepted: bool, released: list[str]) -> None:
    verdict = judged(["map50 >= 0.8"], *[target(name, share) for name, share in found.items()])
    assert verdict.accepted == accepted
    assert sorted(verdict.released) == released
    assert verdict.reason.startswith("onnx passes all 1 rules" if accepted else "onnx is rejected: map50 is 0.")


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ('recall of "carck" >= 0.9', "no class 'carck'; classes are bolt, crack"),
        (
            "recall where lighting = dark >= 0.9",
            "no slices by 'lighting'; there are lot, size; see evaluate.slice_attributes",
        ),
        ("recall where size = smal >= 0.8", "no size 'smal'; sizes are small, medium, large"),
        ("recall where lot = 21 >= 0.8", "'21' is not measured; of 'lot' only the 20 most frequent values are, and 5"),
        ("map50 >= 0.8 at 99.5 % confidence", "300 resamples cannot be that sure; set evaluate.resamples to 1,000 or"),
        ("drop of map50 <= 0.1", "the checkpoint is not evaluated; add pytorch to export.targets"),
        ("map50 not worse than champion", "the champion is not evaluated; add champion to export.targets"),
    ],
)
def test_rule_that_cannot_be_applied_is_refused_with_what_there_is(rule: str, what: str, perfect: Evaluated) -> None:
    lots = [perfect.evaluation.slices[0].model_copy(update={"by": "lot", "part": str(lot)}) for lot in range(20)]
    more = {"slices": [*perfect.evaluation.slices, *lots], "left_out": {"lot": 5}}
    with pytest.raises(PipelineError) as caught:
        judged([rule], Evaluated(perfect.evaluation.model_copy(update=more), perfect.resamples), champion=None)
    assert what in caught.value.where


def test_live_target_that_was_not_evaluated_is_refused(perfect: Evaluated) -> None:
    with pytest.raises(PipelineError, match="Evaluated are torchscript; choose one of them"):
        gate(USE_CASE, GateParams(confidence=95, rules=["map50 >= 0.1"]), {"torchscript": perfect}, None)


def test_targets_of_different_test_splits_are_not_compared(perfect: Evaluated) -> None:
    with pytest.raises(PipelineError, match="Run evaluate again for all of them"):
        judged(["map50 >= 0.1"], perfect, champion=target("champion", images=100))


def test_command_reads_evaluations_and_writes_the_verdict(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left_over = target("torchscript", 1.0, 40)  # of an earlier run that exported more
    measured = (target("onnx", 0.6, 40), target("pytorch", 1.0, 40), target("champion", 0.9, 40, of_version="2"))
    for one in (*measured, left_over):
        folder = tmp_path / "evaluation" / one.evaluation.target
        folder.mkdir(parents=True)
        write_record(one.evaluation, folder / "evaluation.json")
        one.resamples.to_parquet(folder / "resamples.parquet")
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["use_case"]["target"] = "onnx"
    params["export"]["targets"] = ["onnx", "pytorch", "champion"]
    params["gate"]["rules"] = ["map50 >= 0.8", "drop of map50 <= 0.1", "map50 not worse than champion by 0.05"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    caplog.set_level("INFO")
    main(tmp_path / "evaluation", tmp_path / "verdict.json", tmp_path / "metrics.json", tmp_path / "params.yaml")
    verdict = read_record(tmp_path / "verdict.json", Verdict)
    assert not verdict.accepted
    assert list(verdict.targets) == ["onnx", "pytorch"]
    assert verdict.champion_version == "2"
    assert "rejected: map50 is 0." in caplog.text
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert list(figures) == ["onnx", "pytorch", "champion"]
    assert figures["onnx"] == {
        **{name: interval.value for name, interval in measured[0].evaluation.overall.items()},
        "metric": measured[0].evaluation.overall["map50"].value,
        "worst_class_ap50": min(of.ap50.value or 0 for of in measured[0].evaluation.classes.values()),
        "latency_p95_ms": 12.0,
        "peak_memory_mb": measured[0].evaluation.peak_memory_mb,
        "size_mb": measured[0].evaluation.size_bytes / 1e6,
    }
    assert verdict.classes == list(measured[0].evaluation.classes)


def test_hint_of_the_evaluation_stands_in_the_reason_of_what_does_not_go_out() -> None:
    hint = "set export.nms_agnostic: true: 7 of 9 errors are boxes of several classes on one object"
    measured = target("onnx", 0.5)
    hinted = Evaluated(measured.evaluation.model_copy(update={"hints": [hint]}), measured.resamples)
    assert judged(["recall >= 0.9"], hinted).reason.endswith(f"; {hint}")
    assert hint not in judged(["recall >= 0.1"], hinted).reason
