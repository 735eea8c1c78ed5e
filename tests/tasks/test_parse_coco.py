"""parse: COCO as it is found in the wild."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts.errors import PipelineError
from tasks.contracts.manifest import Export, Manifest
from tasks.contracts.record import write_record
from tasks.formats.labelled_image import MASK_MALFORMED, NO_LABEL, NOT_NUMBERS
from tests.fixtures.parse import Parsed, export_of, run, write_image


def content(*annotations: dict[str, Any], **image: Any) -> str:
    return json.dumps(
        {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80} | image],
            "annotations": [{"image_id": 1, "category_id": 1} | annotation for annotation in annotations],
            "categories": [{"id": 1, "name": "car"}, {"id": 0, "name": "bus"}],
        }
    )


def parsed_of(folder: Path, *annotations: dict[str, Any]) -> Parsed:
    return run(export_of(folder, {"annotations/instances_default.json": content(*annotations)}))


@pytest.mark.parametrize(
    ("more", "shape"),
    [
        ({"segmentation": [1, 2, 4, 2, 4, 6]}, "polygon"),
        ({"segmentation": [[1, 2, 4]]}, "box"),
        ({"segmentation": "?"}, "box"),
        ({"keypoints": [1, 2]}, "box"),
        ({"attributes": {"rotation": "left"}}, "box"),
        ({"attributes": None, "iscrowd": None}, "box"),
    ],
    ids=["flat segmentation", "odd segmentation", "text as segmentation", "half a keypoint", "own rotation", "nulls"],
)
def test_sound_box_is_kept_whatever_stands_beside_it(tmp_path: Path, more: dict[str, Any], shape: str) -> None:
    parsed = parsed_of(tmp_path, {"bbox": [1, 2, 3, 4]} | more)
    assert list(parsed.boxes("name").values()) == [[("car", shape, 1, 2, 4, 6)]]


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"bbox": [1, 2, 3, 4], "category_id": None}, NO_LABEL),
        ({"bbox": [1, 2, 3, 4], "attributes": {"rotation": float("inf")}}, NOT_NUMBERS),
        ({"segmentation": {"counts": [-1, 81], "size": [8, 10]}}, MASK_MALFORMED),
        ({"segmentation": {"counts": [10**30], "size": [8, 10]}}, MASK_MALFORMED),
        ({"segmentation": {"counts": [0, 5], "size": [0, 0]}}, MASK_MALFORMED),
    ],
    ids=["no category", "endless rotation", "negative run", "endless run", "no pixels"],
)
def test_object_without_a_box_is_in_the_ledger(tmp_path: Path, annotation: dict[str, Any], reason: str) -> None:
    assert parsed_of(tmp_path, annotation).ledger.dropped == {reason: 1}


def test_category_that_the_file_does_not_list_is_named_by_its_id(tmp_path: Path) -> None:
    box = {"bbox": [1, 2, 3, 4]}
    parsed = parsed_of(tmp_path, box, box | {"category_id": 7}, box | {"category_id": "x"}, box | {"category_id": 7})
    assert parsed.ledger.dropped == {"category_id 7 is not in categories": 2, "category_id x is not in categories": 1}
    assert parsed.objects["label"].tolist() == ["car"]


def test_many_unknown_categories_are_counted_together(tmp_path: Path) -> None:
    parsed = parsed_of(tmp_path, *({"bbox": [1, 2, 3, 4], "category_id": number} for number in range(100, 400)))
    assert (len(parsed.ledger.dropped), parsed.ledger.dropped["category_id is not in categories"]) == (21, 280)


@pytest.mark.parametrize(
    ("ids", "given"),
    [((1, 1), ("1", "1")), (("1", "1"), (1, 1)), (("a-1", "cat"), ("a-1", "cat")), ((1, 1), (1.0, 1.0))],
    ids=["text in annotations", "text in lists", "words", "floats"],
)
def test_ids_may_be_text(tmp_path: Path, ids: tuple[object, object], given: tuple[object, object]) -> None:
    found = json.dumps(
        {
            "images": [{"id": ids[0], "file_name": "a.jpg"}],
            "categories": [{"id": ids[1], "name": "car"}],
            "annotations": [{"image_id": given[0], "category_id": given[1], "bbox": [1, 2, 3, 4]}],
        }
    )
    parsed = run(export_of(tmp_path, {"annotations/instances_default.json": found}))
    assert list(parsed.boxes("name").values()) == [[("car", "box", 1, 2, 4, 6)]]


def test_size_beyond_all_images_is_named(tmp_path: Path) -> None:
    raw = export_of(tmp_path, {"instances_default.json": content(width=10**30)})
    with pytest.raises(PipelineError, match=r"(?s)not a sound COCO file: .*images\.0\.width"):
        run(raw)


TWO_CARS = {"bbox": [1, 2, 3, 4]}, {"bbox": [5, 6, 7, 8]}


def listing(key: str, *more: dict[str, Any]) -> dict[str, str]:
    """A file that lists these too."""
    found = json.loads(content(*TWO_CARS))
    return {"instances_default.json": json.dumps({**found, key: [*found[key], *more]})}


@pytest.mark.parametrize(
    ("key", "second", "said"),
    [
        ("images", {"id": 1, "file_name": "b.jpg"}, r'images\.1\.id: 1 is that of "a\.jpg" and "b\.jpg"'),
        ("images", {"id": "1", "file_name": "b.jpg"}, r'images\.1\.id: 1 is that of "a\.jpg" and "b\.jpg"'),
        (
            "images",
            {"id": 1, "file_name": "a.jpg", "width": 9, "height": 9},
            r'images\.1\.id: 1 is that of "a\.jpg" twice, in two sizes',
        ),
        ("categories", {"id": 1, "name": "bus"}, r'categories\.2\.id: 1 is that of "car" and "bus"'),
        ("categories", {"id": "1", "name": "bus"}, r'categories\.2\.id: 1 is that of "car" and "bus"'),
    ],
    ids=["images", "images, id as text", "sizes", "categories", "categories, id as text"],
)
def test_id_of_two_is_named_with_both(tmp_path: Path, key: str, second: dict[str, Any], said: str) -> None:
    with pytest.raises(PipelineError, match=rf"(?s)not a sound COCO file: .*instances_default\.json:.*{said}.*Export"):
        run(export_of(tmp_path, listing(key, second)))


@pytest.mark.parametrize(
    ("key", "second"),
    [
        ("images", {"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}),
        ("images", {"id": 2, "file_name": "a.jpg", "width": 100, "height": 80}),
        ("categories", {"id": 1, "name": "car", "supercategory": "thing"}),
        ("categories", {"id": 2, "name": "car"}),
    ],
    ids=["the same image", "under two ids", "the same category", "category under two ids"],
)
def test_what_is_listed_twice_alike_costs_no_object(tmp_path: Path, key: str, second: dict[str, Any]) -> None:
    parsed = run(export_of(tmp_path, listing(key, second)))
    assert (len(parsed.images), parsed.objects["label"].tolist()) == (1, ["car", "car"])


def test_objects_of_one_annotation_id_are_all_read(tmp_path: Path) -> None:
    assert len(parsed_of(tmp_path, *(one | {"id": 7} for one in TWO_CARS)).objects) == 2


def test_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    raw = export_of(tmp_path, {"a.json": "\ufeff" + content({"bbox": [1, 2, 3, 4]})})
    assert len(run(raw).objects) == 1


def test_keypoints_and_instances_of_one_subset_are_the_same_images(tmp_path: Path) -> None:
    person, car = {"id": 1, "bbox": [1, 2, 3, 4]}, {"id": 2, "bbox": [5, 6, 7, 8]}
    posed = person | {"keypoints": [1, 2, 2]}
    unlike = {"id": 2, "bbox": [9, 9, 9, 9], "keypoints": [9, 9, 2]}
    files = {
        "annotations/instances_val.json": content(person, car),
        "annotations/person_keypoints_val.json": content(posed, unlike),
        "annotations/person_keypoints_test.json": content(posed),
    }
    parsed = run(export_of(tmp_path, files))
    assert {key: [shape for _, shape, *_ in rows] for key, rows in parsed.boxes("subset", "name").items()} == {
        ("val", "a.jpg"): ["skeleton", "box", "skeleton"],
        ("test", "a.jpg"): ["skeleton"],
    }
    assert parsed.ledger.exports["export"].notes == [
        "1 annotations are in instances_val.json and in person_keypoints_val.json, each is one object"
    ]


def test_ingest_folder_called_annotations_is_read(tmp_path: Path) -> None:
    raw = tmp_path / "annotations"
    raw.mkdir()
    (raw / "instances_default.json").write_text(content({"bbox": [1, 2, 3, 4]}))
    assert run(raw).images["source"].tolist() == ["annotations"]


def test_export_called_annotations_owns_no_images_of_others(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    (raw / "annotations").mkdir(parents=True)
    (raw / "annotations" / "instances_default.json").write_text(content(width=10, height=10))
    write_image(raw / "other" / "a.jpg", 100, 80)
    exports = [
        Export(name=name, folder=name, source=name, sha256="", bytes=1, files=1) for name in ("annotations", "other")
    ]
    write_record(Manifest(exports=exports), raw / "manifest.json")
    assert run(raw).images["file"].isna().tolist() == [True]
