"""COCO instances."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle

from tasks.contracts.errors import PipelineError
from tasks.formats.coco import coco_to_labels
from tasks.formats.labelled_image import MASK_MALFORMED, NO_PLACE, NOT_NUMBERS, LabelledImage, LabelledObject, Origin
from tests.fixtures.parse import objects_of

MASK = np.zeros((8, 10), dtype=np.uint8)
MASK[2:5, 3:7] = 1
PACKED = rle.encode(np.asfortranarray(MASK))
RUNS = [26, 3, 5, 3, 5, 3, 5, 3, 27]  # the same in column order


def read(folder: Path, *annotations: dict[str, Any], name: str = "instances_default.json") -> list[LabelledImage]:
    content = {
        "categories": [{"id": 1, "name": "car"}, {"id": 0, "name": "bus"}],
        "images": [{"id": 1, "file_name": "a.jpg", "width": 10, "height": 8}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": list(annotations),
    }
    (folder / name).write_text(json.dumps(content))
    return list(coco_to_labels([folder / name], Origin("export", "export"), []))


def read_one(folder: Path, **annotation: Any) -> LabelledObject:
    return objects_of(read(folder, {"image_id": 1, "category_id": 1} | annotation)[0])[0]


@pytest.mark.parametrize(
    ("annotation", "shape", "box"),
    [
        ({"bbox": [1, 2, 3, 4]}, "box", (1, 2, 4, 6)),
        ({"bbox": [1, 2, 3, 4], "segmentation": []}, "box", (1, 2, 4, 6)),
        ({"bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 4, 2, 4, 6]]}, "polygon", (1, 2, 4, 6)),
        ({"segmentation": [[1, 2, 4, 2, 4, 6], [9, 1, 8, 1, 8, 2]]}, "polygon", (1, 1, 9, 6)),
        ({"segmentation": {"counts": RUNS, "size": [8, 10]}}, "mask", (3, 2, 7, 5)),
        ({"segmentation": {"counts": PACKED["counts"].decode(), "size": [8, 10]}}, "mask", (3, 2, 7, 5)),
        ({"bbox": [0, 0, 40, 20], "attributes": {"rotation": 90}}, "rotated_box", (10, -10, 30, 30)),
        ({"bbox": [0, 0, 9, 8], "keypoints": [1, 1, 2, 5, 5, 0]}, "skeleton", (0, 0, 9, 8)),
    ],
    ids=[
        "box",
        "empty segmentation",
        "polygon",
        "two polygons without box",
        "runs",
        "packed runs",
        "rotated",
        "keypoints",
    ],
)
def test_annotation_becomes_its_box(
    tmp_path: Path, annotation: dict[str, Any], shape: str, box: tuple[float, float, float, float]
) -> None:
    found = read_one(tmp_path, **annotation)
    assert (found.label, found.shape, found.details.refused) == ("car", shape, None)
    assert found[2:6] == pytest.approx(box)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({}, NO_PLACE),
        ({"bbox": ["x", 2, 3, 4]}, NOT_NUMBERS),
        ({"bbox": [1, 2, 3]}, NOT_NUMBERS),
        ({"segmentation": [[1, 2, 3]]}, NOT_NUMBERS),
        ({"segmentation": {"counts": "x"}}, MASK_MALFORMED),
    ],
    ids=["label only", "no number", "three numbers", "half a point", "mask without size"],
)
def test_annotation_without_a_box_says_why(tmp_path: Path, annotation: dict[str, Any], reason: str) -> None:
    assert read_one(tmp_path, **annotation).details.refused == reason


def test_nan_in_a_box_stays_for_the_check_of_all_boxes(tmp_path: Path) -> None:
    assert math.isnan(read_one(tmp_path, bbox=[float("nan"), 2, 3, 4]).x_min)


def test_attributes_of_cvat_find_their_columns(tmp_path: Path) -> None:
    given = {"occluded": True, "track_id": 27, "Lane_id": "2", "keyframe": False}
    found = read_one(tmp_path, bbox=[1, 2, 3, 4], attributes=given, iscrowd=1)
    assert (found.occluded, found.details.track_id, found.source) == (True, "27", "file")
    assert found.details.attributes == {"Lane_id": "2", "keyframe": False, "iscrowd": 1}


def test_images_without_annotations_and_category_zero_are_there(tmp_path: Path) -> None:
    images = read(tmp_path, {"image_id": 2, "category_id": 0, "bbox": [1, 2, 3, 4]}, name="instances_Train.json")
    assert [(found.name, found.subset, found.width, len(found.objects)) for found in images] == [
        ("a.jpg", "Train", 10, 0),
        ("b.jpg", "Train", None, 1),
    ]
    assert objects_of(images[1])[0].label == "bus"


def test_annotations_of_unlisted_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"does not list: .*image ids 7, 9, 2 in all"):
        read(tmp_path, {"image_id": 7}, {"image_id": 9})


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(
        PipelineError, match=r"(?s)not a sound COCO file.*annotations\.0\.image_id.*annotations\.1\.image_id"
    ):
        read(tmp_path, {"category_id": 1}, {"category_id": 1})
