"""Genuine exports against an independent reading of each, and against each other."""

import gzip
import json
import re
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.cvat import write
from tests.fixtures.parse import run

pytestmark = pytest.mark.slow

Expected = dict[tuple[Any, ...], list[tuple[str, str, list[float]]]]


def oracle_sources(shared_data: Path) -> dict[str, Path]:
    sources = {}
    for oracle in sorted((shared_data / "oracles").iterdir()):
        stem = oracle.name.partition(".plain.json")[0]
        if stem.startswith("converted__"):
            sources[oracle.name] = shared_data / "datasets" / (stem.removeprefix("converted__") + ".zip")
        else:
            sources[oracle.name] = shared_data / "cvat-exports" / (stem.replace("__", "/") + ".xml")
    return sources


def expected_box(shape: dict[str, Any]) -> list[float]:
    if "xyxy" in shape:
        assert not shape.get("rotation"), "no genuine export at hand has rotated boxes"
        return list(shape["xyxy"])
    if shape["type"] == "ellipse":
        assert not shape.get("rotation")
        return [
            shape["cx"] - shape["rx"],
            shape["cy"] - shape["ry"],
            shape["cx"] + shape["rx"],
            shape["cy"] + shape["ry"],
        ]
    points = shape.get("points") or [
        point for element in shape["elements"] if not element["outside"] for point in element["points"]
    ]
    xs, ys = zip(*points, strict=True)
    return [min(xs), min(ys), max(xs), max(ys)]


def expected_objects(oracle: dict[str, Any]) -> Expected:
    """Labels, shapes and unclipped boxes that a reading must give, by (subset, name) or (frame,)."""
    found: Expected = defaultdict(list)
    for one in oracle["images"]:
        for shape in one["shapes"]:
            if shape["type"] not in ("points", "tag") and shape["label"]:
                found[one["subset"], one["name"]].append((shape["label"], shape["type"], expected_box(shape)))
    for one in oracle.get("tracks", ()):
        shapes = [shape for shape in one["shapes"] if shape["type"] != "track"]
        points = [element for inner in one["shapes"] if inner["type"] == "track" for element in inner["elements"]]
        for shape in shapes:
            if shape["outside"] or shape["type"] == "points":
                continue
            if points:
                shape["points"] = [
                    point
                    for element in points
                    if element["frame"] == shape["frame"] and not element["outside"]
                    for point in element["points"]
                ]
            found[(shape["frame"],)].append((one["label"], shape["type"], expected_box(shape)))
    return found


def clipped(boxes: Expected, sizes: dict[tuple[Any, ...], Any]) -> Expected:
    found: Expected = defaultdict(list)
    for key, objects in boxes.items():
        width, height = sizes[key]
        for label, shape, (x_min, y_min, x_max, y_max) in objects:
            inside = [max(x_min, 0), max(y_min, 0), min(x_max, width), min(y_max, height)]
            if inside[2] > inside[0] and inside[3] > inside[1]:
                found[key].append((label, shape, inside))
    return found


def test_every_oracle_is_equalled(shared_data: Path, tmp_path: Path, subtests: pytest.Subtests) -> None:
    sources = oracle_sources(shared_data)
    assert len(sources) >= 15
    for name, source in sources.items():
        with subtests.test(name):
            check_against_oracle(shared_data / "oracles" / name, source, tmp_path / name)


def check_against_oracle(oracle_path: Path, source: Path, raw: Path) -> None:
    content = oracle_path.read_bytes()
    oracle = json.loads(gzip.decompress(content) if oracle_path.suffix == ".gz" else content)
    unpack(source, raw / "export")
    parsed = run(raw)
    keys = ("frame",) if oracle.get("tracks") else ("subset", "name")
    subsets = {one["subset"] for one in oracle["images"]}
    if subsets == {None}:
        # A task's subset stands in its head, which the oracles do not repeat on each image.
        parsed.images["subset"] = None
    sizes = {tuple(getattr(row, key) for key in keys): (row.width, row.height) for row in parsed.images.itertuples()}
    expected = clipped(expected_objects(oracle), sizes)
    found = parsed.boxes(*keys)
    assert {key: [(label, shape) for label, shape, *_ in found[key]] for key in sorted(found, key=str)} == {
        key: [(label, shape) for label, shape, _ in expected[key]] for key in sorted(expected, key=str)
    }
    np.testing.assert_allclose(
        [box for key in expected for _, _, *box in found[key]],
        [box for key in expected for _, _, box in expected[key]],
        rtol=0,
        atol=0.02,
    )
    if oracle.get("tracks"):
        marks = [shape["outside"] for one in oracle["tracks"] for shape in one["shapes"] if shape["type"] != "track"]
        assert (parsed.ledger.objects.total, parsed.ledger.outside) == (marks.count(False), marks.count(True))
    else:
        assert list(parsed.images["name"]) == [one["name"] for one in oracle["images"]]
        shapes = [shape for one in oracle["images"] for shape in one["shapes"]]
        assert parsed.ledger.objects.total == len(shapes)
    assert set(oracle["labels"]) - set(parsed.ledger.labels) <= {"1", "2", "3", "4"}, (
        "points of skeletons are no labels"
    )


def unpack(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    if source.suffix == ".zip":
        with zipfile.ZipFile(source) as archive:
            archive.extract("annotations.xml", folder)
    else:
        (folder / "annotations.xml").write_bytes(source.read_bytes())


def test_annotations_of_a_project_join_the_images_of_another_export(shared_data: Path, tmp_path: Path) -> None:
    names = ["bccd_cvat-images-1.1_task", "bccd_cvat-images-1.1_project_subsets.annotations-only"]
    for name in names:
        with zipfile.ZipFile(shared_data / "datasets" / f"{name}.zip") as archive:
            archive.extractall(tmp_path / "raw" / name)
    parsed = run(tmp_path / "raw")
    counts = parsed.ledger.exports[names[1]]
    assert (counts.images.found, counts.images.missing) == (364, 0)
    assert (counts.objects.total, counts.objects.kept, counts.objects.dropped) == (4888, 4886, 2)
    project = parsed.images[parsed.images["source"] == names[1]]
    assert project["subset"].value_counts().to_dict() == {"Train": 205, "Validation": 87, "Test": 72}
    assert sorted(project["group"].unique()) == ["task 51 BCCD Test", "task 52 BCCD Train", "task 53 BCCD Validation"]
    assert parsed.images["image_id"].is_unique
    assert parsed.objects["object_id"].is_unique


def test_video_export_says_the_same_as_the_images_of_its_frames(shared_data: Path, tmp_path: Path) -> None:
    names = ["urban-traffic-640_cvat-images-1.1_task", "urban-traffic-640_cvat-video-1.1_task.annotations-only"]
    parsed = {}
    for name in names:
        with zipfile.ZipFile(shared_data / "datasets" / f"{name}.zip") as archive:
            archive.extract("annotations.xml", tmp_path / name / "export")
        parsed[name] = run(tmp_path / name)
    by_image, by_video = (parsed[name].boxes("frame") for name in names)
    assert len(by_video) == 463
    # CVAT wrote both from the same interpolation, to 0.01 px: nothing but the order of objects differs.
    assert {frame: sorted(boxes) for frame, boxes in by_video.items()} == {
        frame: sorted(boxes) for frame, boxes in by_image.items()
    }
    assert parsed[names[1]].objects["track_id"].nunique() == 32
    assert parsed[names[1]].ledger.labels["Bus"].total == 0


@pytest.mark.parametrize("name", ["annotations.xml", "usa-hitting.xml"])
def test_keyframes_alone_give_what_cvat_interpolated(shared_data: Path, tmp_path: Path, name: str) -> None:
    text = (shared_data / "cvat-exports" / "31-video-volleyball-long" / name).read_text()
    write(tmp_path / "complete" / "annotations.xml", text)
    write(
        tmp_path / "keyframes" / "annotations.xml",
        re.sub(r'<box [^>]*keyframe="0".*?</box>', "", text, flags=re.DOTALL),
    )
    complete, keyframes = (run(tmp_path / kind).boxes("frame", "track_id") for kind in ("complete", "keyframes"))
    assert complete.keys() == keyframes.keys()
    for key, ((_, _, *box),) in complete.items():
        ((_, _, *interpolated),) = keyframes[key]
        # Both are rounded to 0.01 px, and so are the keyframes that this one starts from.
        assert interpolated == pytest.approx(box, abs=0.011), key


def test_four_formats_of_one_task_agree(shared_data: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.symlink_to(shared_data / "cvat-exports" / "16-mixed-shapes-same-task-4-formats")
    found = run(raw).boxes("source", "name")
    strawberries = {
        source: np.array([box for label, _, *box in found[source, "strawberry.jpg"]])
        for source in ("cvat1.1", "coco1.0", "voc1.1", "yolo1.1")
    }
    assert all(boxes.shape == (17, 4) for boxes in strawberries.values())
    for boxes in strawberries.values():
        np.testing.assert_allclose(boxes, strawberries["cvat1.1"], atol=0.02)
    polygons = {source: [box for _, shape, *box in found[source, "birds.jpg"]] for source in ("cvat1.1", "coco1.0")}
    np.testing.assert_allclose(polygons["coco1.0"], polygons["cvat1.1"], atol=0.02)


def test_ultralytics_variants_of_one_image_agree(shared_data: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.symlink_to(shared_data / "cvat-exports" / "40-datumaro-cvatfork-assets" / "yolo_dataset")
    parsed = run(raw)
    found = {source: boxes for (source,), boxes in parsed.boxes("source").items()}
    assert set(found) == {
        "yolo", "yolov8_detection", "yolov8_detection_with_list_of_imgs", "yolov8_detection_with_list_of_names",
        "yolov8_detection_with_subset_txt", "yolov8_oriented_boxes", "yolov8_pose",
        "yolov8_pose_two_values_per_point", "yolov8_segmentation",
    }  # fmt: skip
    width, height = parsed.images[["width", "height"]].iloc[0]
    size = [width, height, width, height]
    detections = [boxes for source, boxes in found.items() if source == "yolo" or "detection" in source]
    assert len(detections) == 5
    for boxes in detections:
        assert [(label, shape) for label, shape, *_ in boxes] == [("label_2", "box"), ("label_4", "box")]
        expected = np.array([[0, 0.2, 0.266667, 0.4], [0.2, 0.3, 0.333333, 0.6]]) * size
        np.testing.assert_allclose([box for _, _, *box in boxes], expected, atol=0.02)
    np.testing.assert_allclose(found["yolov8_segmentation"][0][2:], np.array([0.1, 0.1, 0.4, 0.5]) * size, atol=0.02)
    assert [shape for _, shape, *_ in found["yolov8_pose"]] == ["skeleton"]
    assert parsed.ledger.clipped == 1, "one oriented box reaches over the border"
