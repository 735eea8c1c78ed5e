"""Slices and curves over the score."""

import json
import logging

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.tables import BOX
from tasks.metrics.bootstrap import draw
from tasks.metrics.curves import calibration_error, curves, score_bins
from tasks.metrics.matching import match, scene
from tasks.metrics.slices import measure_slices, parts
from tests.fixtures.scene import Draw, random_scene

FOUND, MISSED = [10, 10, 50, 50], [100, 100, 140, 140]
LARGE = [200, 200, 350, 350]


def lit_and_dark() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Two images of two sources: in one all is lit and found, in the other dark, half missed, and a false alarm."""
    truth = pd.DataFrame(
        [
            ["a", "crack", *FOUND, '{"light": "day"}'],
            ["a", "crack", *LARGE, '{"light": "day", "wet": true}'],
            ["b", "crack", *FOUND, '{"light": "night"}'],
            ["b", "crack", *MISSED, "{}"],
        ],
        columns=["image_id", "label", *BOX, "attributes"],
    )
    predictions = pd.DataFrame(
        [
            ["a", "crack", 0.9, *FOUND],
            ["a", "crack", 0.8, *LARGE],
            ["b", "crack", 0.7, *FOUND],
            ["b", "crack", 0.95, 400, 400, 440, 440],
        ],
        columns=["image_id", "label", "score", *BOX],
    )
    images = pd.DataFrame({"image_id": ["a", "b"], "source": ["first.zip", "second.zip"], "group": ["g", "h"]})
    return truth, predictions, images


def measured(
    attributes: list[str],
) -> tuple[dict[tuple[str, str], tuple[int, float | None, float | None]], pd.DataFrame]:
    truth, predictions, images = lit_and_dark()
    boxes = scene(truth, predictions, ["a", "b"], ["crack", "dent"])
    found, _ = parts(boxes, images, truth, edges_px=(32, 96), attributes=attributes)
    drawn = draw(["g", "h"], 100, 0)
    slices, resamples = measure_slices(boxes, found, [0.5, 0.5], drawn, np.full((2, 1), 0.5))
    return {(one.by, one.part): (one.objects, one.recall.value, one.ap50.value) for one in slices}, resamples


def test_slices_count_their_own_objects_and_false_alarms() -> None:
    slices, _ = measured(["light", "wet"])
    assert slices == {
        ("size", "medium"): (3, pytest.approx(2 / 3), pytest.approx(2 / 3 * 67 / 101, abs=0.01)),
        ("size", "large"): (1, 1.0, 1.0),
        ("source", "first.zip"): (2, 1.0, 1.0),
        ("source", "second.zip"): (2, 0.5, pytest.approx(0.5 * 51 / 101)),
        ("light", "day"): (2, 1.0, 1.0),
        ("light", "night"): (1, 1.0, 0.5),
        ("wet", "True"): (1, 1.0, 1.0),
    }


def test_resamples_of_slices_are_named_as_the_gate_asks_for_them() -> None:
    _, resamples = measured([])
    assert 'recall of "crack" where size = medium' in resamples
    assert "ap50 where source = second.zip" in resamples
    assert not [name for name in resamples if "dent" in str(name)]
    assert set(resamples["recall where source = second.zip"].dropna()) == {0.5}


def test_attribute_that_no_object_has_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        slices, _ = measured(["colour"])
    assert "no object of test has the attribute 'colour'" in caplog.text
    assert not [by for by, _ in slices if by == "colour"]


def test_values_beyond_the_most_frequent_are_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    rows = [["a", "crack", 60 * n, 0, 60 * n + 50, 50, json.dumps({"lot": n})] for n in range(25)]
    truth = pd.DataFrame(rows, columns=["image_id", "label", *BOX, "attributes"])
    _, nothing, images = lit_and_dark()
    boxes = scene(truth, nothing.iloc[:0], ["a"], ["crack"])
    found, left_out = parts(boxes, images, truth, edges_px=(32, 96), attributes=["lot"])
    assert len([part for part in found if part.by == "lot"]) == 20
    assert left_out == {"lot": 5}
    assert "'lot' has 5 more values than the 20 that are measured" in caplog.text


def test_curve_falls_in_threshold_and_ends_at_the_recall_of_all_detections() -> None:
    truth, predictions, images = random_scene(Draw(), 0)
    matches = match(scene(truth, predictions, images, ["bolt", "crack", "nut", "never seen"]))
    table = curves(matches)
    assert set(table["label"]) == {"bolt", "crack", "nut"}
    for index, label in enumerate(["bolt", "crack", "nut"]):
        curve = table[table["label"] == label]
        assert (np.diff(curve["threshold"]) < 0).all()
        assert (np.diff(curve["recall"]) >= 0).all()
        rows = matches.of(index)
        assert curve["recall"].iloc[-1] == pytest.approx((matches.found[rows, 0] >= 0).sum() / matches.objects[index])


def test_scores_that_mean_what_they_say_have_no_calibration_error() -> None:
    # Of ten detections at 0.75 in the band from 0.7 to 0.8 some are right: 7.5 would be perfect.
    for right, expected in ((8, 0.05), (2, 0.55)):
        rows = [["a", "crack", 60 * n, 0, 60 * n + 50, 50] for n in range(10)]
        truth = pd.DataFrame(rows[:right], columns=["image_id", "label", *BOX])
        predictions = pd.DataFrame(rows, columns=["image_id", "label", *BOX]).assign(score=0.75)
        bins = score_bins(match(scene(truth, predictions, ["a"], ["crack"])), 10, 0.0)
        assert [one.predictions for one in bins] == [0] * 7 + [10, 0, 0]
        assert calibration_error(bins) == pytest.approx(expected)


def test_nothing_detected_has_no_curve_and_no_calibration() -> None:
    truth, predictions, images = random_scene(Draw(), 0)
    matches = match(scene(truth, predictions.iloc[:0], images, ["bolt"]))
    assert curves(matches).empty
    assert calibration_error(score_bins(matches, 10, 0.05)) is None
