"""Targets are compared in pairs with checkpoint and champion, and few objects or scenes show little."""

import functools
import math
import re

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tasks.contracts.evaluation import ClassEvaluation, Evaluation, Interval
from tasks.contracts.tables import BOX
from tasks.contracts.verdict import Outcome
from tasks.dataset.read_split import Dataset
from tasks.evaluate import evaluate
from tasks.gating.judgement import Evaluated, interval_between
from tasks.metrics.bootstrap import draw
from tests.fixtures.gate import LABELS, PARAMS, USE_CASE, detected, judged, labelled, only_result, placed, target

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def perfect() -> Evaluated:
    return target("onnx")


@pytest.mark.parametrize(
    ("checkpoint", "artefact", "rule", "outcome"),
    [
        (0.95, 0.95, "drop of map50 <= 0", "accepted"),
        (0.95, 0.8, "drop of map50 <= 0.05", "rejected"),
        (0.95, 0.8, "drop of map50 <= 0.4", "accepted"),
        (0.8, 0.95, "drop of ap50 of each class <= 0.02", "accepted"),
        (0.95, 0.8, 'drop of recall of "crack" <= 0.18', "undecided"),
    ],
)
def test_drop_is_measured_in_pairs_against_the_checkpoint(
    checkpoint: float, artefact: float, rule: str, outcome: Outcome
) -> None:
    verdict = judged([rule], target("pytorch", checkpoint), target("onnx", artefact))
    assert verdict.outcome == outcome
    assert verdict.targets["pytorch"].outcome == "accepted"  # the checkpoint is equal to itself


@pytest.mark.parametrize("of", ["pytorch", "champion"])
@pytest.mark.parametrize("share", [0.8, 0.95])
def test_interval_of_a_difference_is_what_a_rule_of_its_confidence_goes_by(of: str, share: float) -> None:
    other, artefact = target(of, 0.95, of_version="4" if of == "champion" else None), target("onnx", share)
    if of == "champion":
        verdict = judged(["map50 not worse than champion at 97.5 % confidence"], artefact, champion=other)
    else:
        verdict = judged(["drop of map50 <= 0.1 at 97.5 % confidence"], other, artefact)
    (result,) = verdict.targets["onnx"].rules
    assert result.low is not None
    assert result.high is not None
    # A drop is counted downwards.
    expected = (-result.high, -result.low) if of == "pytorch" else (result.low, result.high)
    assert interval_between("map50", artefact, other) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("share", "said"), [(0.95, r"at 95 % confidence at least 0\.\d+ above, and"), (0.7, r"at most 0\.\d+ below, and")]
)
def test_a_gain_over_the_champion_says_by_how_much_it_is_above_at_least(share: float, said: str) -> None:
    champion = target("champion", 0.7, of_version="4")
    result = only_result(judged(["recall not worse than champion by 0.2"], target("onnx", share), champion=champion))
    assert result.low is not None
    assert (result.low > 0) == ("least" in said)
    assert re.search(said, result.reason)


def test_paired_bound_is_narrower_than_two_bounds_apart() -> None:
    """Both miss the same objects: what they share does not blur their difference, but 300 objects are not all."""
    champion = target("champion", 0.8, of_version="4")
    result = only_result(judged(["recall not worse than champion by 0.01"], target("onnx", 0.8), champion=champion))
    assert (result.value, result.outcome) == (0, "accepted")
    assert (result.low, result.high) == pytest.approx((-(1 - 0.05 ** (1 / 300)), 1 - 0.05 ** (1 / 300)))


@pytest.mark.parametrize(
    ("groups", "objects", "found", "outcome", "more"),
    [
        (20, 1, (20, 20), "undecided", 39),
        (20, 1, (20, 19), "undecided", None),
        (1, 20, (20, 19), "undecided", None),
        (59, 1, (59, 59), "accepted", None),
        (100, 3, (280, 280), "accepted", None),
    ],
)
def test_equal_results_on_few_objects_do_not_show_that_a_challenger_is_as_good(
    groups: int, objects: int, found: tuple[int, int], outcome: Outcome, more: int | None
) -> None:
    """As with a floor of 0.95: of 59 objects of which none was lost, no loss of 0.05 follows at 95 % confidence."""
    champion, challenger = (
        recall_of_groups(name, np.bincount(np.arange(of) % groups, minlength=groups), objects)
        for name, of in zip(("champion", "onnx"), found, strict=True)
    )
    result = only_result(judged(["recall not worse than champion by 0.05"], challenger, champion=champion))
    assert (result.outcome, result.more_objects) == (outcome, more)


@pytest.mark.parametrize("images", [2, 6, 40], ids=["one scene", "three scenes", "twenty scenes"])
@pytest.mark.parametrize("metric", ["recall", "map50"])
def test_equal_figures_do_not_show_that_an_artefact_predicts_as_its_checkpoint(images: int, metric: str) -> None:
    """As where a tenth of the objects is lost, and none of the few that there are; only the scores tell."""
    checkpoint, other = target("pytorch", 1.0, images, seed=1), target("onnx", 1.0, images, seed=2)
    result = only_result(judged([f"drop of {metric} <= 0.02"], checkpoint, other))
    assert (result.value, result.outcome) == (0, "undecided")
    assert result.high is not None
    assert result.high > 0.02


def test_artefact_that_predicts_as_its_checkpoint_has_lost_nothing_however_few_the_objects() -> None:
    checkpoint, artefact = target("pytorch", 0.9, 6), target("onnx", 0.9, 6)
    rounded = artefact.predictions.assign(score=artefact.predictions["score"] + 1e-6)
    same = Evaluated(artefact.evaluation, artefact.resamples, rounded.sample(frac=1, random_state=0))
    assert judged(["drop of recall <= 0"], checkpoint, same).accepted
    moved = rounded.assign(x_max=rounded["x_max"] + np.where(rounded.index == rounded.index[0], 0.2, 0))
    other = Evaluated(artefact.evaluation, artefact.resamples, moved)
    assert only_result(judged(["drop of recall <= 0.02"], checkpoint, other)).outcome == "undecided"
    nothing = Evaluated(artefact.evaluation, artefact.resamples, rounded.iloc[:0])
    assert only_result(judged(["drop of recall <= 0.02"], checkpoint, nothing)).outcome == "undecided"


@pytest.mark.parametrize(
    ("groups_of_crack", "outcome", "reason"),
    [
        (1, "undecided", 'all objects of "crack" are in 1 scene of test'),
        (3, "undecided", 'all objects of "crack" are in 3 scenes of test'),
        (20, "accepted", "at least 0.970, and 0.95 is asked for"),
    ],
)
def test_objects_of_few_scenes_count_for_less_and_the_reason_says_so(
    groups_of_crack: int, outcome: Outcome, reason: str
) -> None:
    """A hundred cracks, all found, in few of twenty scenes or more."""
    images = [f"test-{number:03}" for number in range(100)]
    cracks = pd.DataFrame([[name, "crack", 60, 60, 200, 120] for name in images], columns=["image_id", "label", *BOX])
    others = [f"empty-{number:02}" for number in range(20)]
    groups = [f"g{number % groups_of_crack}" for number in range(100)] + others
    rows = placed(images + others, groups)
    test = Dataset(rows, cracks.assign(attributes="{}"))
    val = labelled(40, "val")
    measured = evaluate(
        val,
        test,
        pd.concat([detected(val.objects, 1.0, 1).assign(score=0.5), detected(test.objects, 1.0, 0)]),
        LABELS,
        use_case=USE_CASE,
        params=PARAMS,
        seed=7,
    )
    assert measured.evaluation.resampled == "groups"
    one = Evaluated(measured.evaluation.model_copy(update={"target": "onnx"}), measured.resamples)
    for rule in ('recall of "crack" >= 0.95', "recall >= 0.95", "map50 >= 0.95"):
        result = only_result(judged([rule], one))
        assert result.outcome == outcome, result.reason
        assert (reason in result.reason) == (groups_of_crack < 10 or result.value == 1.0), result.reason


@pytest.mark.parametrize(
    ("challenger", "rule", "outcome"),
    [
        (0.95, "map50 not worse than champion by 0.01", "accepted"),
        (0.95, "map50 not worse than champion", "accepted"),
        (0.7, "map50 not worse than champion by 0.01", "rejected"),
        (0.82, "map50 not worse than champion", "undecided"),
    ],
)
def test_challenger_is_compared_with_the_champion(challenger: float, rule: str, outcome: Outcome) -> None:
    champion = target("champion", 0.8, seed=3, of_version="4")
    verdict = judged([rule], target("onnx", challenger, seed=4), champion=champion)
    assert verdict.outcome == outcome
    assert verdict.champion_version == "4"
    assert "champion" not in verdict.targets


def test_drop_of_just_the_bound_is_no_more_than_the_bound() -> None:
    """Every group loses the same one object of fifty: 0.98 less 0.96 is 0.020000000000000018."""
    checkpoint = recall_of_groups("pytorch", np.full(40, 49), 50)
    artefact = recall_of_groups("onnx", np.full(40, 48), 50)
    assert only_result(judged(["drop of recall <= 0.02"], checkpoint, artefact)).outcome == "undecided"


def test_champion_that_found_nothing_holds_nobody_back() -> None:
    champion = target("champion", 0.0, of_version="4")
    rule = 'precision of "crack" not worse than champion'
    assert "has none: it finds nothing at all" in only_result(judged([rule], target("onnx"), champion=champion)).reason
    assert only_result(judged([rule], target("onnx", 0.0), champion=champion)).outcome == "rejected"


def test_class_that_the_champion_never_heard_of_holds_nobody_back(perfect: Evaluated) -> None:
    champion = target("champion", 0.5, of_version="4")
    known = {label: of for label, of in champion.evaluation.classes.items() if label != "crack"}
    older = Evaluated(champion.evaluation.model_copy(update={"classes": known}), champion.resamples)
    (verdict,) = judged(["ap50 of each class not worse than champion"], perfect, champion=older).targets.values()
    assert [result.outcome for result in verdict.rules] == ["accepted", "accepted"]


def test_without_a_champion_its_rules_pass_and_say_so(perfect: Evaluated) -> None:
    result = only_result(judged(["map50 not worse than champion by 0.01"], perfect))
    assert (result.outcome, result.value) == ("accepted", None)
    assert result.reason == "there is no champion yet to compare with"


@functools.cache
def drawn_weights(groups: int) -> NDArray[np.float32]:
    """How often each group is in each of 300 resamples: of shape (groups, 300)."""
    return draw([f"g{n:03}" for n in range(groups)], 300, seed=7).weights


def recall_of_groups(name: str, found: NDArray[np.int64], objects: int) -> Evaluated:
    """A target of which nothing is known but how many of each group's objects it found."""
    groups = len(found)
    value, nothing = float(found.sum() / (objects * groups)), Interval(value=None, low=None, high=None)
    of_class = ClassEvaluation(
        objects=objects * groups,
        groups=groups,
        threshold=0.5,
        true_positives=int(found.sum()),
        false_positives=0,
        **dict.fromkeys(("ap50", "ap50_95", "precision", "recall", "f1"), nothing),
    )
    overall = {"recall": Interval(value=value, low=None, high=None)}
    evaluation = Evaluation(target=name, overall=overall, classes={"bolt": of_class})
    return Evaluated(evaluation, pd.DataFrame({"recall": found @ drawn_weights(groups) / (objects * groups)}))


@pytest.mark.parametrize(
    ("groups", "objects", "champion_finds", "worse_by", "margin"),
    [(40, 5, 0.8, 0.0, 0.0), (40, 5, 0.8, 0.05, 0.05), (20, 1, 0.99, 0.05, 0.05), (100, 1, 0.95, 0.0, 0.0)],
    ids=["A/A", "worse by the margin", "few objects", "seldom apart"],
)
def test_a_model_that_should_not_pass_the_champion_seldom_does(
    groups: int, objects: int, champion_finds: float, worse_by: float, margin: float
) -> None:
    """At the edge of the rule, chance alone may promote a challenger one time in twenty."""
    promoted, trials = 0, 300
    rng = np.random.default_rng(5)
    for _ in range(trials):
        ease = rng.normal(0, 0.25 * (1 - champion_finds), groups)  # groups easy for one are easy for the other
        found = [
            rng.binomial(objects, np.clip(share + ease, 0, 1)) for share in (champion_finds, champion_finds - worse_by)
        ]
        champion, challenger = (
            recall_of_groups(name, of, objects) for name, of in zip(("champion", "onnx"), found, strict=True)
        )
        rule = f"recall not worse than champion by {margin}"
        promoted += judged([rule], challenger, champion=champion).accepted
    assert promoted / trials <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)
    assert promoted or groups * objects < 59  # or the rule would never promote anything
