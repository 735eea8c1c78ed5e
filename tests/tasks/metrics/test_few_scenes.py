"""Means over classes of which one is in few scenes of test."""

import pandas as pd
import pytest

from tasks.contracts.evaluation import ClassSlice, Interval
from tasks.contracts.tables import BOX
from tasks.contracts.verdict import Outcome
from tasks.dataset.read_split import Dataset
from tasks.evaluate import evaluate
from tasks.gating.judgement import Evaluated
from tasks.metrics.few_scenes import note_of, unproven
from tests.fixtures.gate import LABELS, PARAMS, USE_CASE, detected, judged, only_result, placed

SCENES = 20


def labelled(side: str, scenes_of_crack: int) -> Dataset:
    """Five bolts in each image, two images a scene, and thirty cracks in so many of the scenes."""
    names = [f"{side}-{number:02}" for number in range(2 * SCENES)]
    bolts = [[name, "bolt", 10 + 45 * at, 10, 40 + 45 * at, 40] for name in names for at in range(5)]
    cracks = [
        [names[2 * (number % scenes_of_crack)], "crack", 10 + 45 * number, 60, 40 + 45 * number, 90]
        for number in range(30)
    ]
    truth = pd.DataFrame(bolts + cracks, columns=["image_id", "label", *BOX]).assign(attributes="{}")
    return Dataset(placed(names, [f"{side}-g{number // 2}" for number in range(len(names))]), truth)


def all_found(scenes_of_crack: int) -> Evaluated:
    val, test = labelled("val", 10), labelled("test", scenes_of_crack)
    boxes = pd.concat([detected(val.objects, 1.0, 1).assign(score=0.5), detected(test.objects, 1.0, 0)])
    measured = evaluate(val, test, boxes, LABELS, use_case=USE_CASE, params=PARAMS, seed=7)
    return Evaluated(measured.evaluation.model_copy(update={"target": "onnx"}), measured.resamples)


@pytest.mark.parametrize(
    ("scenes", "outcome"), [(1, "undecided"), (2, "undecided"), (3, "undecided"), (5, "accepted"), (6, "accepted")]
)
def test_a_class_in_few_scenes_carries_a_mean_as_far_as_those_scenes_support(scenes: int, outcome: Outcome) -> None:
    """Were it found in whole scenes only, all of 1 or 3 scenes are found by chance when it is rare to be found."""
    result = only_result(judged(["map50 >= 0.7"], all_found(scenes)))
    assert (result.value, result.outcome) == (1, outcome)
    assert result.low is not None
    assert (result.low >= 0.7) == (outcome == "accepted")
    assert (f'all objects of "crack" are in {scenes} scene' in result.reason) == (scenes < 6)
    told = f"in so few scenes: label {6 - scenes} more scenes with it; all objects"
    assert (told in result.reason) == (outcome == "undecided")


def test_the_scenes_asked_for_are_enough_for_a_class_that_is_in_few() -> None:
    result = only_result(judged(["map50 >= 0.941"], all_found(2)))
    # So few objects would be in a single scene.
    assert "about 11 more test objects in 4 more scenes could decide it" in result.reason


def test_a_difference_is_short_by_nothing_less_than_nothing_and_nobody_is_sent_for_what_cannot_be_shown() -> None:
    challenger, champion = all_found(2), all_found(2)
    champion = Evaluated(champion.evaluation.model_copy(update={"target": "champion"}), champion.resamples)
    for rule, words in (
        ('recall of "crack" not worse than champion by 0.3', "could decide it"),
        ('recall of "crack" not worse than champion', "no test can show that nothing is lost: allow a little"),
    ):
        result = only_result(judged([rule], challenger, champion=champion))
        assert result.outcome == "undecided"
        assert result.shortfall is not None
        assert result.shortfall >= 0
        assert words in result.reason


@pytest.mark.parametrize("scenes", [1, 5, 6])
def test_a_table_shows_the_bound_that_rules_go_by(scenes: int) -> None:
    artefact = all_found(scenes)
    for rule, low in (
        ("map50 >= 0.1", artefact.evaluation.overall["map50"].low),
        ("ap50 where size = small >= 0.1", {of.part: of.ap50.low for of in artefact.evaluation.slices}["small"]),
    ):
        assert only_result(judged([f"{rule} at 97.5 % confidence"], artefact)).low == pytest.approx(low)


def test_a_rate_over_all_objects_is_no_mean_over_classes() -> None:
    assert judged(["recall >= 0.7"], all_found(1)).accepted


def of_class(groups: int, ap50: float | None, objects: int = 4) -> ClassSlice:
    interval = Interval(value=ap50, low=None, high=None)
    return ClassSlice(
        objects=objects, groups=groups, images=groups, true_positives=0, found=0, ap50=interval, recall=interval
    )


def test_what_few_scenes_do_not_support_weighs_as_its_class_does() -> None:
    enough, few, none = of_class(9, 0.9), of_class(2, 0.8), of_class(0, None, objects=0)
    assert unproven("map50", {"a": enough, "b": few}, 6, 0.25) == pytest.approx(0.8 * (1 - 0.5) / 2)
    assert unproven("ap50", {"a": enough, "b": few, "c": enough, "none": none}, 6, 0.25) == pytest.approx(0.4 / 3)
    assert unproven("map50", {"a": enough, "b": of_class(1, None)}, 6, 0.25) == 0  # nothing found: no lower can it be
    assert unproven("map50", {"b": few}, 6, 0.25) == unproven("recall", {"a": enough, "b": few}, 6, 0.25) == 0


def test_the_note_counts_as_people_do() -> None:
    assert note_of({"a": of_class(9, 1), "b": of_class(5, 1), "c": of_class(1, 1)}, 6) == (
        '; all objects of "c" are in 1 scene of test; all objects of "b" are in 5 scenes of test'
    )
