"""parse: several exports of one task, and several versions of one export."""

import json
from pathlib import Path

import pytest

from tasks.contracts.manifest import Export, Manifest
from tasks.contracts.record import write_record
from tests.fixtures.cvat import BOX, box, document, image, task_meta, video_meta, write
from tests.fixtures.parse import Parsed, run, write_image

OLD, NEW = "2026-01-01 00:00:00+00:00", "2026-02-01 00:00:00+00:00"


def task(dumped: str, number: int = 5, name: str = "a task") -> str:
    return task_meta(number, name, labels=("car", "bus"), dumped=dumped)


def job(dumped: str, number: int = 9) -> str:
    return task(dumped, number, "").replace("task>", "job>")


def hold(raw: Path, *folders: str, names: tuple[str, ...] = ()) -> None:
    """Write the manifest of exports taken in this order."""
    exports = [
        Export(name=name, folder=folder, source="s", sha256="", bytes=1, files=1)
        for folder, name in zip(folders, names or folders, strict=True)
    ]
    write_record(Manifest(exports=exports), raw / "manifest.json")


def coco(path: Path, *names: str, label: str = "car") -> None:
    content = {
        "categories": [{"id": 1, "name": label}],
        "images": [{"id": number, "file_name": name, "width": 100, "height": 80} for number, name in enumerate(names)],
        "annotations": [{"image_id": number, "category_id": 1, "bbox": [1, 2, 3, 4]} for number, _ in enumerate(names)],
    }
    write(path / "annotations" / "instances_default.json", json.dumps(content))


def kept(parsed: Parsed) -> list[tuple[str, str]]:
    """Names of images with the export that speaks for each; nothing is lost on the way."""
    counts = parsed.ledger.images
    assert counts.declared == len(parsed.images) + counts.superseded
    assert parsed.ledger.objects.total == len(parsed.objects) + parsed.ledger.objects.dropped
    return sorted(parsed.images[["name", "source"]].itertuples(index=False, name=None))


def test_newer_export_of_a_task_supersedes_the_older_one(tmp_path: Path) -> None:
    older = document(image("a.jpg", BOX, BOX), image("b.jpg", BOX), meta=task(OLD))
    newer = document(image("a.jpg", box("bus")), image("b.jpg", BOX), meta=task(NEW))
    write(tmp_path / "raw" / "z_older" / "annotations.xml", older)
    write(tmp_path / "raw" / "a_newer" / "annotations.xml", newer)
    parsed = run(tmp_path / "raw")
    assert kept(parsed) == [("a.jpg", "a_newer"), ("b.jpg", "a_newer")]
    assert parsed.objects["label"].tolist() == ["bus", "car"]
    assert parsed.ledger.dropped == {"superseded by a_newer": 3}
    assert parsed.ledger.exports["z_older"].superseded_by == ["a_newer"]
    assert (parsed.ledger.images.declared, parsed.ledger.images.superseded) == (4, 2)


@pytest.mark.parametrize(
    ("older", "newer", "expected"),
    [
        (task(OLD), task(NEW, name="renamed"), [("a.jpg", "newer")]),
        (task(OLD), task(NEW, number=6), [("a.jpg", "newer"), ("a.jpg", "older"), ("b.jpg", "older")]),
        (task(OLD), task(NEW), [("a.jpg", "newer")]),
        (task(OLD), job(NEW), [("a.jpg", "newer"), ("b.jpg", "older")]),
        (job(OLD), task(NEW), [("a.jpg", "newer")]),
        (job(OLD), job(NEW), [("a.jpg", "newer")]),
        (job(OLD), job(NEW, number=10), [("a.jpg", "newer"), ("b.jpg", "older")]),
        (task(NEW), task(NEW), [("a.jpg", "older"), ("b.jpg", "older")]),
    ],
    ids=[
        "renamed task", "another task", "image deleted from a task", "job of the task", "task of the job",
        "image deleted from a job", "job that overlaps", "parts of one dump",
    ],
)  # fmt: skip
def test_each_image_of_a_task_is_held_once_as_its_newest_export_has_it(
    tmp_path: Path, older: str, newer: str, expected: list[tuple[str, str]]
) -> None:
    write(
        tmp_path / "raw" / "older" / "annotations.xml", document(image("a.jpg", BOX), image("b.jpg", BOX), meta=older)
    )
    write(tmp_path / "raw" / "newer" / "annotations.xml", document(image("a.jpg", box("bus")), meta=newer))
    assert kept(run(tmp_path / "raw")) == expected


def test_job_and_its_task_are_one_group(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "task" / "annotations.xml", document(image("a.jpg"), image("b.jpg"), meta=task(OLD)))
    write(tmp_path / "raw" / "job" / "annotations.xml", document(image("a.jpg"), meta=job(NEW)))
    assert run(tmp_path / "raw").images["group"].nunique() == 1


def test_later_version_of_a_named_export_supersedes_the_earlier_one(tmp_path: Path) -> None:
    coco(tmp_path / "raw" / "coco", "a.jpg", "deleted.jpg")
    coco(tmp_path / "raw" / "coco-1a2b3c4d", "a.jpg", label="bus")
    hold(tmp_path / "raw", "coco", "coco-1a2b3c4d", names=("coco", "coco"))
    parsed = run(tmp_path / "raw")
    assert kept(parsed) == [("a.jpg", "coco")]
    assert parsed.objects["label"].tolist() == ["bus"]
    assert parsed.ledger.exports["coco"].superseded_by == ["coco-1a2b3c4d"]


STAMPED = [
    "task_5_dataset_2026_01_02_03_04_05_coco 1.0",
    "task_5_annotations_2026_01_02_03_04_06_coco 1.0 (1)",
]


@pytest.mark.parametrize("order", [STAMPED, STAMPED[::-1]], ids=["in order", "newest taken first"])
@pytest.mark.parametrize("has_manifest", [True, False], ids=["manifest", "folders"])
def test_export_under_the_name_that_cvat_gives_it_is_a_version_of_the_last_one(
    tmp_path: Path, order: list[str], has_manifest: bool
) -> None:
    for name, label in zip(STAMPED, ("car", "bus"), strict=True):
        coco(tmp_path / "raw" / name, "a.jpg", *(["deleted.jpg"] if label == "car" else []), label=label)
    if has_manifest:
        hold(tmp_path / "raw", *order)
    parsed = run(tmp_path / "raw")
    assert parsed.objects["label"].tolist() == ["bus"]
    assert kept(parsed) == [("a.jpg", "task_5_coco 1.0")]


@pytest.mark.parametrize(
    "other",
    [
        "task_6_dataset_2026_01_03_00_00_00_coco 1.0",
        "job_5_dataset_2026_01_03_00_00_00_coco 1.0",
        "site2/task_5_dataset_2026_01_03_00_00_00_coco 1.0",
        "task_5_dataset_2026_01_03_00_00_00_coco keypoints 1.0",
        "task_a task_dataset_2026_01_03_00_00_00_coco 1.0",
    ],
    ids=[
        "another task",
        "job of that number",
        "another server",
        "another format",
        "name of a task in place of its number",
    ],
)
def test_exports_of_different_tasks_stand_side_by_side(tmp_path: Path, other: str) -> None:
    named = "task_a task_dataset_2026_01_02_03_04_05_coco 1.0" if "a task" in other else STAMPED[0]
    for folder in ("one", "two"):
        coco(tmp_path / "raw" / folder, "a.jpg")
    hold(tmp_path / "raw", "one", "two", names=(named, other))
    assert len(kept(run(tmp_path / "raw"))) == 2


def test_of_one_export_the_version_taken_last_speaks_whatever_its_date(tmp_path: Path) -> None:
    for folder, label, dumped in (("e", "car", NEW), ("e-2", "bus", OLD)):
        write(tmp_path / "raw" / folder / "annotations.xml", document(image("a.jpg", box(label)), meta=task(dumped)))
    for versions, speaks in ((("e", "e-2"), "bus"), (("e-2", "e"), "car")):
        hold(tmp_path / "raw", *versions, names=("e", "e"))
        assert run(tmp_path / "raw").objects["label"].tolist() == [speaks]


def test_pictures_of_superseded_images_and_of_skipped_frames_are_not_without_labels(tmp_path: Path) -> None:
    for folder, dumped in (("v1", OLD), ("v2", NEW)):
        write(tmp_path / "raw" / folder / "annotations.xml", document(image("a.jpg", BOX), meta=task(dumped)))
        write_image(tmp_path / "raw" / folder / "images" / "a.jpg")
    write(tmp_path / "raw" / "video" / "annotations.xml", document(meta=video_meta(3)))
    for number in range(4):
        write_image(tmp_path / "raw" / "video" / "images" / f"frame_00000{number}.png")
    write_image(tmp_path / "raw" / "loose" / "b.jpg")
    parsed = run(tmp_path / "raw", frame_step=2)
    assert (len(parsed.images), parsed.ledger.images.skipped, parsed.ledger.files_without_labels) == (3, 2, 1)
