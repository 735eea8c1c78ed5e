"""Thresholds are chosen on resamples of val as on val itself."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.tables import BOX
from tasks.metrics.bootstrap import Resampling, draw, resampled_counts
from tasks.metrics.matching import Matches, match, scene
from tasks.metrics.operating_points import choose_thresholds, parse_operating_point
from tasks.metrics.resampled_thresholds import resampled_thresholds
from tasks.metrics.use_case import counts_at
from tests.fixtures.scene import Draw, random_scene

LABELS = ["bolt", "crack", "nut"]
POINTS = ["best f1", "recall >= 0.6", "precision >= 0.6", "recall >= 1"]


def matched(draw: Draw, seed: int) -> tuple[Matches, list[str]]:
    truth, predictions, images = random_scene(draw, seed)
    return match(scene(truth, predictions, images, LABELS)), [f"g{number // 3}" for number in range(len(images))]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("seed", range(4))
def test_threshold_of_a_resample_is_the_one_chosen_on_a_val_of_so_many_copies(point: str, seed: int) -> None:
    truth, predictions, images = random_scene(Draw(images=12, decimals=2 if seed % 2 else None), seed)
    images = sorted(images)
    points = [parse_operating_point(point, "")] * len(LABELS)
    drawn = draw([f"g{number // 3}" for number in range(12)], 5, seed)
    chosen = resampled_thresholds(match(scene(truth, predictions, images, LABELS)), points, drawn)
    for number, times in enumerate(drawn.weights.T):
        copies = [
            (f"{name}/{copy}", name)
            for name, group in zip(images, drawn.group, strict=True)
            for copy in range(int(times[group]))
        ]
        ids = pd.DataFrame(copies, columns=["copy", "image_id"])
        truth_of, predictions_of = (
            ids.merge(table, on="image_id").drop(columns="image_id").rename(columns={"copy": "image_id"})
            for table in (truth, predictions)
        )
        matches = match(scene(truth_of, predictions_of, ids["copy"].to_list(), LABELS))
        assert chosen[:, number] == pytest.approx([one.score for one in choose_thresholds(matches, points)])


def test_class_without_a_right_detection_takes_the_threshold_of_all_together() -> None:
    matches, groups = matched(Draw(images=12), 0)
    nothing = replace(matches, found=np.where(matches.label[:, None] == 1, -1, matches.found).astype(np.int32))
    points = [parse_operating_point("best f1", "")] * len(LABELS)
    drawn = Resampling(draw(groups, 1, 0).group, np.ones((4, 1), dtype=np.float32))
    chosen = resampled_thresholds(nothing, points, drawn)[:, 0]
    assert chosen == pytest.approx([one.score for one in choose_thresholds(nothing, points)])


def test_every_resample_is_counted_at_its_own_thresholds() -> None:
    matches, groups = matched(Draw(images=12), 1)
    rng = np.random.default_rng(0)
    drawn = draw(groups, 1, 0)
    thresholds = np.append(rng.random((3, 40)), matches.score[matches.start[:-1], None], axis=1)
    same = Resampling(drawn.group, np.ones((drawn.groups, 41), dtype=np.float32))
    right, wrong, _ = resampled_counts(matches, thresholds, same)
    for number, of in enumerate(thresholds.T):
        assert [right[:, number].tolist(), wrong[:, number].tolist()] == [
            c.tolist() for c in counts_at(matches, of.tolist())
        ]


def test_precision_asked_for_takes_the_highest_threshold_of_the_most_recall() -> None:
    """One object, found with 0.9; false alarms with 0.8 and 0.7 leave precision at a half and a third."""
    truth = pd.DataFrame([["a", "bolt", 0, 0, 10, 10]], columns=["image_id", "label", *BOX])
    boxes = [["a", "bolt", 0.9, 0, 0, 10, 10], ["a", "bolt", 0.8, 50, 50, 60, 60], ["a", "bolt", 0.7, 80, 80, 90, 90]]
    predictions = pd.DataFrame(boxes, columns=["image_id", "label", "score", *BOX])
    matches = match(scene(truth, predictions, ["a"], ["bolt"]))
    (chosen,) = choose_thresholds(matches, [parse_operating_point("precision >= 0.4", "")])
    assert chosen.score == pytest.approx(0.9)
