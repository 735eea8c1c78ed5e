"""Intervals are as wide as they say, few objects are not trusted, and resamples pair."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tasks.metrics.bootstrap import count, draw, resampled_figures
from tasks.metrics.intervals import ClassCounts, Evidence, bounds, evidence, objects_to_decide
from tasks.metrics.matching import match, scene
from tests.fixtures.scene import Draw, random_scene

LABELS = ["bolt", "crack", "nut"]
TAIL = 0.025


def rate(right: int, objects: int, units: int = 50) -> Evidence:
    return evidence("recall", [ClassCounts(objects, units, right, 0, right)])


def spread(value: float, deviation: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng(0).normal(value, deviation, 4000)


@pytest.mark.parametrize(
    ("right", "objects", "low", "high"),
    # Clopper and Pearson's table for 95 %.
    [(20, 20, 0.8316, 1.0), (0, 20, 0.0, 0.1684), (5, 5, 0.4782, 1.0), (59, 59, 0.9394, 1.0)],
)
def test_rate_that_resamples_to_itself_gets_the_exact_interval(
    right: int, objects: int, low: float, high: float
) -> None:
    value = right / objects
    assert bounds(value, np.full(1000, value), rate(right, objects), TAIL) == pytest.approx((low, high), abs=2e-4)


def test_effective_trials_are_fewer_where_objects_of_a_group_share_their_fate() -> None:
    independent = bounds(0.9, spread(0.9, 0.03), rate(90, 100), TAIL)
    clustered = bounds(0.9, spread(0.9, 0.06), rate(90, 100), TAIL)
    assert clustered[0] < independent[0] - 0.04


def test_no_spread_makes_a_rate_surer_than_its_objects_allow() -> None:
    assert bounds(0.9, spread(0.9, 1e-4), rate(18, 20), TAIL) == pytest.approx((0.6830, 0.9877), abs=1e-3)


def test_normal_interval_stands_where_objects_and_groups_are_many() -> None:
    resamples = spread(0.6, 0.02)
    behind = Evidence("ap", 5000, 9000, 10_000, 10_000)
    assert bounds(0.6, resamples, behind, TAIL) == pytest.approx((0.56, 0.64), abs=2e-3)


@pytest.mark.parametrize(("value", "deviation"), [(0.97, 0.03), (0.03, 0.03), (0.999, 0.002), (1.0, 0.01)])
def test_interval_of_a_share_stays_within_0_and_1(value: float, deviation: float) -> None:
    low, high = bounds(value, np.clip(spread(value, deviation), 0, 1), rate(round(value * 1000), 1000), TAIL)
    assert 0 <= low < value <= high <= 1


def test_interval_of_scenes_of_unequal_weight_is_that_of_fewer() -> None:
    counts = ClassCounts(100, 12, 80, 0, 80)
    lows = [
        bounds(0.8, spread(0.8, 0.05), evidence("recall", [replace(counts, effective_units=equal)]), TAIL)[0]
        for equal in (12.0, 3.0)
    ]
    assert lows[1] < lows[0] - 0.05


def test_one_scene_that_holds_most_objects_does_not_make_everything_possible() -> None:
    # 94 of 100 found, 70 of them in one of six scenes, and no scene much worse than another.
    counts = ClassCounts(100, 6, 94, 0, 100, effective_units=1.97)
    low, high = bounds(0.94, spread(0.94, 0.02), evidence("recall", [counts]), TAIL)
    assert 0.5 < low < 0.83
    assert 0.97 < high <= 1


def test_few_groups_widen_the_interval() -> None:
    widths = [
        np.diff(bounds(0.8, spread(0.8, 0.02), Evidence("ap", units, 9e3, 1e4), TAIL)).item() for units in (5, 10, 50)
    ]
    assert widths[0] > widths[1] * 1.1 > widths[2] * 1.2


def test_perfect_ap_over_few_objects_is_no_certainty() -> None:
    counts = ClassCounts(objects=20, units=20, right=20, wrong=0, found=20)
    low, high = bounds(1.0, np.ones(1000), evidence("ap50", [counts]), TAIL)
    assert (low, high) == pytest.approx((0.8316, 1.0), abs=1e-3)
    several = evidence("map50", [counts, ClassCounts(2000, 90, 2000, 0, 2000)])
    assert bounds(1.0, np.ones(1000), several, TAIL)[0] == pytest.approx(0.025 ** (1 / 79.2), abs=1e-3)


def test_bound_of_ap_lies_lower_where_resamples_lie_above_it() -> None:
    """They show a part of the bias of the envelope; see docs/statistics for how much."""
    behind = Evidence("ap", 5000, 9000, 10_000, 10_000)
    (low, high), (plain, same_high) = (bounds(0.6, spread(middle, 0.02), behind, TAIL) for middle in (0.61, 0.6))
    assert low == pytest.approx(plain - 0.01 / 0.25, abs=3e-3)
    assert high == pytest.approx(same_high, abs=1e-3)


@pytest.mark.parametrize("name", ["recall", "precision", "f1", "ap50"])
def test_objects_of_few_groups_are_counted_as_fewer(name: str) -> None:
    trials = [evidence(name, [ClassCounts(100, units, 100, 0, 100)]).trials for units in (1, 5, 9, 10)]
    assert trials == pytest.approx([100 / 10.9, 100 / 2.9, 100 / (1 + 0.1 * (100 / 9 - 1)), 100])


def test_a_bar_is_seldom_passed_by_chance_where_all_objects_are_in_few_scenes() -> None:
    """60 objects in 1 to 5 scenes that differ; on average 0.9 is found, and at least 0.9 asked for."""
    rng = np.random.default_rng(1)
    for units in (1, 2, 3, 5):
        chance = np.repeat(rng.beta(8.1, 0.9, (400, units)), 60 // units, axis=1)
        found = (rng.random(chance.shape) < chance).reshape(400, units, -1).sum(axis=2)
        weights = np.array([np.bincount(rng.integers(units, size=units), minlength=units) for _ in range(200)])
        lows = [
            bounds(
                of.sum() / 60,
                weights @ of / 60,
                evidence("recall", [ClassCounts(60, units, of.sum(), 0, 60)]),
                0.05,
            )
            for of in found
        ]
        assert np.mean([low >= 0.9 for low, _ in lows]) <= 0.05


def test_perfect_f1_over_few_objects_is_no_certainty() -> None:
    behind = evidence("f1", [ClassCounts(objects=20, units=20, right=20, wrong=0, found=20)])
    assert bounds(1.0, np.ones(1000), behind, TAIL)[0] == pytest.approx(2 * 0.8316 / 1.8316, abs=1e-3)


def test_resamples_without_the_class_do_not_count() -> None:
    resamples = np.where(np.arange(4000) % 3 == 0, np.nan, spread(0.8, 0.02))
    low, high = bounds(0.8, resamples, Evidence("ap", 50, 900, 1000), TAIL)
    assert low == pytest.approx(0.8 - 2 * 0.02, abs=0.015)
    assert high == pytest.approx(0.8 + 2 * 0.02, abs=0.015)


@pytest.mark.parametrize(("at_hand", "more"), [(20, 39), (58, 1)])
def test_recall_of_95_without_a_miss_needs_59_objects(at_hand: int, more: int) -> None:
    assert objects_to_decide(1.0, 0.95, np.ones(1000), rate(at_hand, at_hand), 0.05) == more


def test_objects_to_decide_would_indeed_decide() -> None:
    resamples = spread(0.97, 0.02)
    more = objects_to_decide(0.97, 0.95, resamples, rate(97, 100), 0.05)
    assert more is not None
    grown = (100 + more) / 100
    narrower = 0.97 + (resamples - 0.97) / np.sqrt(grown)
    low, _ = bounds(0.97, narrower, rate(round(97 * grown), 100 + more, units=round(50 * grown)), 0.05)
    assert low == pytest.approx(0.95, abs=0.002)


@pytest.mark.parametrize("value", [0.95, 0.94, 0.9500001])
def test_value_at_or_below_the_bar_is_decided_by_no_number_of_objects(value: float) -> None:
    assert objects_to_decide(value, 0.95, spread(value, 0.02), rate(95, 100), 0.05) is None


def test_same_seed_and_groups_give_the_same_draw_whatever_the_order_of_groups_names() -> None:
    groups = [f"g{number % 13}" for number in range(40)]
    first, second = draw(groups, 50, seed=3), draw(groups, 50, seed=3)
    np.testing.assert_array_equal(first.weights, second.weights)
    assert first.groups == 13
    assert (first.weights.sum(axis=0) == 13).all()
    assert (draw(groups, 50, seed=4).weights != first.weights).any()


def test_resampled_figures_are_those_of_the_split_where_every_group_is_drawn_once() -> None:
    truth, predictions, images = random_scene(Draw(), 0)
    matches = match(scene(truth, predictions, images, LABELS))
    drawn = draw(sorted(images), 200, seed=0)
    drawn.weights[:, 0] = 1
    figures = resampled_figures(matches, np.array([[0.3], [0.4], [0.5]]), drawn)
    counts = count(matches, [0.3, 0.4, 0.5], drawn)
    once = figures.iloc[0]
    for label, of in zip(LABELS, counts, strict=True):
        assert once[f'recall of "{label}"'] == pytest.approx(of.right / of.objects, rel=1e-6)
        assert once[f'precision of "{label}"'] == pytest.approx(of.right / (of.right + of.wrong), rel=1e-6)
    assert once["recall"] == pytest.approx(sum(of.right for of in counts) / len(truth), rel=1e-6)
    assert once["map50"] == pytest.approx(np.mean([once[f'ap50 of "{label}"'] for label in LABELS]), rel=1e-6)
    assert list(figures.columns[:2]) == ["map50", 'ap50 of "bolt"']


def test_interval_holds_the_true_value_about_as_often_as_it_says() -> None:
    """40 scenes, each easier or harder than others; a plain interval over images would be far too narrow."""
    inside = {"groups": 0, "images": 0}
    trials = 150
    for seed in range(trials):
        table, groups = _scenes(seed)
        for unit in inside:
            value, low, high = _recall_interval(
                table, groups if unit == "groups" else table["image_id"].to_list(), seed
            )
            inside[unit] += low <= 0.8 <= high
            assert low <= value <= high
    assert inside["groups"] / trials >= 0.89
    assert inside["images"] / trials <= 0.85


def _scenes(seed: int) -> tuple[pd.DataFrame, list[str]]:
    """One object per image, ten images per scene; its chance to be found is 0.8 on average and the scene's own."""
    rng = np.random.default_rng(seed)
    chance = np.repeat(rng.beta(2.4, 0.6, size=40), 10)
    table = pd.DataFrame({"image_id": [f"i{number:03}" for number in range(400)], "found": rng.random(400) < chance})
    return table, [f"g{number // 10:02}" for number in range(400)]


def _recall_interval(table: pd.DataFrame, groups: list[str], seed: int) -> tuple[float, float, float]:
    drawn = draw(groups, 300, seed)
    right = np.bincount(drawn.group, weights=table["found"], minlength=drawn.groups)
    objects = np.bincount(drawn.group, minlength=drawn.groups)
    resamples = (right @ drawn.weights) / (objects @ drawn.weights)
    found = int(table["found"].sum())
    low, high = bounds(found / 400, resamples, rate(found, 400, units=drawn.groups), TAIL)
    return found / 400, low, high
