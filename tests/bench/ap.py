"""AP and its intervals, against faster-coco-eval as it comes, on 5,000 images with 400,000 detections of 80 classes."""

import numpy as np
import pandas as pd
from faster_coco_eval.core.faster_eval_api import COCOeval_faster

from tasks.contracts.tables import BOX
from tasks.metrics.bootstrap import draw, resampled_figures
from tasks.metrics.matching import Scene, match, scene
from tasks.metrics.operating_points import BEST_F1, parse_operating_point
from tasks.metrics.resampled_thresholds import resampled_thresholds
from tasks.metrics.use_case import figures
from tests.bench.ratios import Ratio, at_most, interleaved
from tests.fixtures.coco_library import library_truth_and_predictions

IMAGES, CLASSES, OBJECTS, DETECTIONS = 5_000, 80, 37_000, 400_000
RESAMPLES = 1_000
IMAGES_PER_GROUP = 20


def measure() -> list[Ratio]:
    """Everything starts from the same arrays; the library's conversions are its own cost."""
    boxes = _scene()
    thresholds, points = [0.5] * CLASSES, [parse_operating_point(BEST_F1, "")] * CLASSES
    matches = match(boxes)
    groups = [f"scene {number // IMAGES_PER_GROUP}" for number in range(IMAGES)]
    drawn = draw(groups, RESAMPLES, seed=7)
    ours, library, intervals = interleaved(
        3,
        lambda: figures(match(boxes), thresholds),
        lambda: _library_as_it_comes(boxes),
        lambda: resampled_figures(matches, resampled_thresholds(matches, points, drawn), drawn),
    )
    return [
        at_most("all headline figures over faster-coco-eval alone", ours, library, 1.0),
        at_most(f"intervals with {RESAMPLES:,} resamples over one evaluation", intervals, ours, 3.0),
    ]


def _library_as_it_comes(boxes: Scene) -> None:
    evaluation = COCOeval_faster(*library_truth_and_predictions(boxes), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()


def _scene() -> Scene:
    rng = np.random.default_rng(7)
    truth = pd.DataFrame(
        {
            "image_id": _names("image", rng.integers(IMAGES, size=OBJECTS)),
            "label": _names("class", rng.integers(CLASSES, size=OBJECTS)),
            **_boxes(rng, OBJECTS),
        }
    )
    # Half of the detections stand near an object, as a real detector's do.
    near = truth.sample(DETECTIONS // 2, replace=True, random_state=7).reset_index(drop=True)
    near[["x_min", "x_max"]] += rng.normal(scale=6.0, size=(len(near), 1))
    near[["y_min", "y_max"]] += rng.normal(scale=6.0, size=(len(near), 1))
    far = pd.DataFrame(
        {
            "image_id": _names("image", rng.integers(IMAGES, size=DETECTIONS // 2)),
            "label": _names("class", rng.integers(CLASSES, size=DETECTIONS // 2)),
            **_boxes(rng, DETECTIONS // 2),
        }
    )
    predictions = pd.concat([near, far], ignore_index=True)
    predictions["score"] = rng.random(DETECTIONS)
    images = [f"image {number}" for number in range(IMAGES)]
    return scene(truth, predictions, images, [f"class {number}" for number in range(CLASSES)])


def _names(what: str, numbers: np.ndarray) -> list[str]:
    return [f"{what} {number}" for number in numbers]


def _boxes(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    left, top = rng.uniform(0, 1_700, count), rng.uniform(0, 900, count)
    sides = rng.uniform(20, 200, (2, count))
    return dict(zip(BOX, (left, top, left + sides[0], top + sides[1]), strict=True))
