"""Lower bounds lie above the truth no more often than they say: docs/statistics in short."""

import numpy as np
import pandas as pd
import pytest

from docs.statistics import differences
from docs.statistics.simulate import simulate
from docs.statistics.world import World, detect, draw_truth
from tasks.metrics.bootstrap import draw
from tasks.metrics.use_case import figures

pytestmark = pytest.mark.slow

WORLDS = {
    "few scenes": World(9, images=3),
    "AP near 1": World(12, images=3, found=(5.0, 5.0, 5.0), fit=(2.5, 2.5, 2.5), alarms=0.05),
}
RUNS = 80


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_lower_bound_lies_above_the_truth_in_few_runs(world: World) -> None:
    """2.5 % are asked for and 4 % the goal; percentiles of resampled images gave up to 11 %."""
    above = simulate(world, RUNS, 200, rules=False)["above"]
    assert above.max() <= 100 * 5 / RUNS, above.to_dict()


def test_detector_of_the_simulation_is_measured_as_it_was_drawn() -> None:
    """Many scenes: recall and box quality come out as the world has them on average."""
    rng = np.random.default_rng(0)
    truth = draw_truth(World(2000, images=1, rare=400, unlike=0.0, found=(2.0, 2.0, 2.0)), rng)
    measured = figures(detect(truth, rng), [0.0] * 3)
    assert measured["recall"] == pytest.approx(1 / (1 + np.exp(-2.0)), abs=0.01)
    assert pd.Series(measured).between(0, 1).all()
    assert draw(truth.scenes, 5, 0).groups == 2000


def test_pairs_of_the_simulation_differ_by_what_they_are_to() -> None:
    found = differences.simulate(differences.CELLS["9 of 9"], runs=2, resamples=50)
    lost = [name for name, pair in differences.PAIRS.items() if pair.true is not None]
    true = found["true"].to_dict()
    assert {name: true[name] for name in lost} == pytest.approx(dict.fromkeys(lost, -0.03), abs=0.002)
    assert true["drop: none"] == 0
    assert true["champion: better"] > 0.02
