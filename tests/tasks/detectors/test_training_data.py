"""What a detector learns from of the tables."""

from pathlib import Path

import pandas as pd
import pytest

from tasks.contracts.tables import BOX, CROWD, DIFFICULT
from tasks.contracts.use_case import UseCase
from tasks.dataset.read_split import join_split
from tasks.detectors.protocol import USE_CASE_METRIC, TrainingData
from tasks.detectors.training_data import measure_of, training_data
from tests.fixtures.tables import toy_images, toy_objects


@pytest.fixture
def data() -> TrainingData:
    """Two images of train and one of val; the second of train shows a crowd alone, and so does val beside an object."""
    images = toy_images([{"image_id": name} for name in ("t1", "t2", "v1")])
    objects = toy_objects(
        [
            {"image_id": "t1"},
            {"image_id": "t1", "ignored": DIFFICULT, "label": "rare"},
            {"image_id": "t2", "ignored": CROWD},
            {"image_id": "v1"},
            {"image_id": "v1", "ignored": CROWD, "x_min": 100.0, "x_max": 150.0},
        ]
    )
    split = pd.DataFrame({"image_id": ["t1", "t2", "v1"], "split": ["train", "train", "val"], "group": "scene"})
    return training_data(join_split(images, objects, split, Path("raw"), Path("annotations")))


def test_ignored_objects_are_not_learnt_nor_is_a_class_of_them(data: TrainingData) -> None:
    assert data.classes == ["part"]
    assert data.objects["image_id"].tolist() == ["t1", "v1"]


def test_image_of_train_with_nothing_but_ignored_objects_is_left_out(data: TrainingData) -> None:
    assert data.train["image_id"].tolist() == ["t1"]
    assert data.val["image_id"].tolist() == ["v1"]


def test_box_on_a_crowd_of_val_is_no_mistake(data: TrainingData) -> None:
    found = [["v1", "part", 0.9, 40.0, 30, 60, 50], ["v1", "part", 0.95, 110, 30, 120, 50]]
    predictions = pd.DataFrame(found, columns=["image_id", "label", "score", *BOX])
    figures = measure_of(UseCase(target="onnx", metric="map50"), data)(predictions)
    assert (figures[USE_CASE_METRIC], figures["precision"], figures["recall"]) == (1.0, 1.0, 1.0)
