"""The one reader of a split: which images are there, where, and what is on them."""

from pathlib import Path

import pandas as pd
import pytest

from tasks.dataset.read_split import Dataset, join_split
from tests.fixtures.tables import toy_images, toy_objects

NAMES = ["lost", "broken", "frame", "kept", "left out", "tested"]


@pytest.fixture
def dataset() -> Dataset:
    rows: list[dict[str, object]] = [
        {"image_id": "tested", "group": "line"},
        {"image_id": "kept", "group": "line"},
        {"image_id": "frame", "file": "frames/video/7.png", "group": "video"},
        {"image_id": "broken", "readable": False},
        {"image_id": "lost", "file": None},
        {"image_id": "left out", "group": "video"},
        {"image_id": "of no split"},
    ]
    splits = ["train", "train", "val", "train", "excluded", "test"]
    split = pd.DataFrame({"image_id": NAMES, "split": splits, "group": NAMES})
    objects = toy_objects([{"image_id": name} for name in ["kept", *NAMES, "of no split"]])
    return join_split(toy_images(rows), objects, split, Path("R"), Path("A"))


def test_images_are_those_of_the_split_in_the_order_of_their_ids(dataset: Dataset) -> None:
    assert dataset.images["image_id"].tolist() == sorted(NAMES)
    assert dataset.images["group"].tolist() == sorted(NAMES)
    assert "of no split" not in set(dataset.objects["image_id"])


def test_an_image_that_is_not_there_or_cannot_be_read_has_no_path(dataset: Dataset) -> None:
    readable = dataset.readable()
    assert dict(zip(readable.images["image_id"], readable.images["path"], strict=True)) == {
        "frame": Path("A/frames/video/7.png"),
        "kept": Path("R/export/kept.png"),
        "left out": Path("R/export/left out.png"),
        "tested": Path("R/export/tested.png"),
    }
    assert not {"lost", "broken"} & set(readable.objects["image_id"])


def test_objects_go_with_the_images_of_the_splits_asked_for(dataset: Dataset) -> None:
    assert dataset.of("val", "test").images["image_id"].tolist() == ["frame", "tested"]
    assert sorted(dataset.of("train").objects["image_id"]) == ["broken", "kept", "kept", "lost"]


def test_only_a_scene_of_two_splits_is_divided_not_one_of_many_images_or_with_excluded_ones(dataset: Dataset) -> None:
    assert dataset.images.loc[dataset.images["divided"], "image_id"].tolist() == ["kept", "tested"]
