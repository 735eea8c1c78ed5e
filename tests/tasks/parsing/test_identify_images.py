"""Identity, group and precedence of images."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.formats.labelled_image import LabelFile, LabelledImage, LabelledObject, Origin
from tasks.parsing.identify_images import GroupBy, ImageIdentifier, group_of, identify
from tasks.parsing.ledger_builder import LedgerBuilder
from tasks.parsing.resolve_images import ImageFiles

TASK = Origin("cvat task 5", "task 5 belt", task_id="5")
IMAGE = LabelledImage("cam1/a.jpg", TASK, 10, 8, subset="train")


def label_file(export: str) -> LabelFile:
    path = Path(export)
    return LabelFile(
        export=export,
        source=export,
        format="cvat_images",
        path=path,
        folder=path,
        own_folders=(export,),
        is_video=False,
        written=datetime.now(UTC),
        labels=(),
        read=lambda: iter(()),
    )


@pytest.mark.parametrize(
    ("image", "group_by", "group"),
    [
        (IMAGE, "auto", "task 5 belt/cam1"),
        (replace(IMAGE, name="cam1\\a.jpg"), "auto", "task 5 belt/cam1"),
        (replace(IMAGE, name="a.jpg"), "auto", "task 5 belt"),
        (replace(IMAGE, origin=replace(TASK, is_video=True)), "auto", "task 5 belt"),
        (replace(IMAGE, origin=replace(TASK, is_video=True)), "folder", "task 5 belt/cam1"),
        (IMAGE, "folder", "task 5 belt/cam1"),
        (IMAGE, "task", "task 5 belt"),
        (IMAGE, "source", "export"),
        (IMAGE, "image", "the id"),
    ],
    ids=[
        "folder",
        "Windows folder",
        "task",
        "video",
        "folder of a video",
        "by folder",
        "by task",
        "by source",
        "by image",
    ],
)
def test_group_is_the_scene(image: LabelledImage, group_by: GroupBy, group: str) -> None:
    assert group_of(image, "the id", "export", group_by) == group


@pytest.mark.parametrize(
    "other",
    [
        replace(IMAGE, name="cam2/a.jpg"),
        replace(IMAGE, name="cam1/a.jpeg"),
        replace(IMAGE, subset="test"),
        replace(IMAGE, origin=replace(TASK, task_id="6")),
        replace(IMAGE, origin=replace(TASK, identity="cvat task 6")),
    ],
    ids=["folder", "ending", "subset", "task", "origin"],
)
def test_images_differ_by_where_they_came_from(other: LabelledImage) -> None:
    assert identify(other) != identify(IMAGE)


def test_id_does_not_depend_on_what_was_labelled() -> None:
    other = replace(IMAGE, width=99, frame=4, objects=[LabelledObject("car", "box", 0, 0, 1, 1)])
    assert identify(other) == identify(IMAGE) == "d434bdcfe30d120f"


def test_newer_export_takes_over_even_from_another_subset(tmp_path: Path) -> None:
    builder = LedgerBuilder()
    identifier = ImageIdentifier(ImageFiles(tmp_path, []), "auto", {"vehicle": "car"}, builder)
    older = replace(IMAGE, subset="test", objects=[LabelledObject("vehicle", "box", 0, 0, 1, 1)])
    assert identifier.place(IMAGE, label_file("new")) is not None
    assert identifier.place(older, label_file("old")) is None
    assert builder.objects == {("old", "box", "car", "superseded by new"): 1}
    assert builder.superseded_by == {"old": {"new"}}


def test_image_listed_twice_in_one_file_is_one_image_with_all_objects(tmp_path: Path) -> None:
    identifier = ImageIdentifier(ImageFiles(tmp_path, []), "auto", {}, LedgerBuilder())
    export = label_file("export")
    placed = [
        identifier.place(replace(IMAGE, objects=[LabelledObject("car", "box", 0, 0, 1, 1)] * 2), export) for _ in "ab"
    ]
    assert [one.objects_before for one in placed if one] == [None, 2]
    assert len({one.image_id for one in placed if one}) == 1
