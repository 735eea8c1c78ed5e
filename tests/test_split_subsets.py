"""split: images that move to another subset keep their side, from the labels on."""

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from tasks.split import Split, SplitParams, split
from tests.cvat_fixture import BOX, document, image, task_meta, write
from tests.parse_fixture import run, write_image
from tests.split_fixture import NO_PAIRS, NOTHING, PARAMS, looks

Subsets = Mapping[str, str]  # by task

SUBSETS = {"1": "train", "2": "val", "3": "test"}
MOVED = SUBSETS | {"3": "train"}


def names(task: str) -> list[str]:
    return [f"scene {task}/{number}.png" for number in range(3)]


def write_images(folder: Path, task: str) -> None:
    for number, name in enumerate(names(task)):
        write_image(folder / name, colour=10 * int(task) + number)


def task_exports(raw: Path, subsets: Subsets, version: int) -> None:
    """Another export of each task beside the older ones."""
    for task, subset in subsets.items():
        folder = raw / f"version {version} of {task}"
        meta = task_meta(int(task), f"task {task}", dumped=f"2026-0{version}-01 00:00:00+00:00")
        images = [image(name, BOX) for name in names(task)]
        write(folder / "annotations.xml", document(*images, meta=meta.replace("default", subset)))
        write_images(folder / "images", task)


def project_export(raw: Path, subsets: Subsets, version: int) -> None:
    """The newest export of the project in place of the last one."""
    shutil.rmtree(raw / "project", ignore_errors=True)
    images = [
        image(name, BOX, more=f'subset="{subset}" task_id="{task}"')
        for task, subset in subsets.items()
        for name in names(task)
    ]
    write(raw / "project" / "annotations.xml", document(*images, meta=""))
    for task, subset in subsets.items():
        write_images(raw / "project" / "images" / subset, task)


def yolo_folder(raw: Path, subsets: Subsets, version: int) -> None:
    """Images in the folders of their sides."""
    shutil.rmtree(raw / "yolo", ignore_errors=True)
    sides = "".join(f"{side}: images/{side}\n" for side in sorted(set(subsets.values())))
    write(raw / "yolo" / "data.yaml", f"names: [car]\n{sides}")
    for task, subset in subsets.items():
        write_images(raw / "yolo" / "images" / subset, task)


def split_of(raw: Path, previous: pd.DataFrame) -> tuple[Split, dict[str, str]]:
    """The split by the subsets of what parse reads, and the side of each image by its name."""
    parsed = run(raw)
    params = SplitParams.model_validate(PARAMS.model_dump() | {"use_subsets": True})
    tables = (parsed.images, parsed.objects, looks(parsed.images), previous)
    result = split(*tables, pairs=NO_PAIRS, seed=7, params=params)
    placed = result.table.merge(parsed.images, on="image_id", suffixes=("", "_of_image"))
    return result, dict(zip(placed["name"], placed["split"], strict=True))


@pytest.mark.parametrize("export", [task_exports, project_export, yolo_folder])
def test_images_that_move_to_another_subset_keep_their_side(
    tmp_path: Path, export: Callable[[Path, Subsets, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    export(tmp_path / "raw", SUBSETS, 1)
    first, sides = split_of(tmp_path / "raw", NOTHING)
    assert sides == {name: side for task, side in SUBSETS.items() for name in names(task)}
    export(tmp_path / "raw", MOVED, 2)
    second, sides_after = split_of(tmp_path / "raw", first.table)
    assert set(second.table["image_id"]) != set(first.table["image_id"])
    assert sides_after == sides
    assert "images that changed their subset and keep their side: 3" in caplog.text
    assert second.leakage.placed_before == len(second.table) == 9
    caplog.clear()
    export(tmp_path / "raw", SUBSETS, 3)
    third, _ = split_of(tmp_path / "raw", second.table)
    pd.testing.assert_frame_equal(third.table, first.table)
    assert "changed their subset" not in caplog.text


@pytest.mark.parametrize("subsets", [SUBSETS, MOVED], ids=["before it moves", "as it moves"])
def test_an_image_that_moves_and_whose_file_is_away_for_a_while_keeps_its_side(
    tmp_path: Path, subsets: Subsets
) -> None:
    project_export(tmp_path / "raw", SUBSETS, 1)
    first, sides = split_of(tmp_path / "raw", NOTHING)
    project_export(tmp_path / "raw", subsets, 2)
    away = names("3")[0]
    (tmp_path / "raw" / "project" / "images" / subsets["3"] / away).unlink()
    second, without = split_of(tmp_path / "raw", first.table)
    assert without == sides | {away: "excluded"}
    project_export(tmp_path / "raw", MOVED, 3)
    third, again = split_of(tmp_path / "raw", second.table)
    assert again == sides
    assert len(third.table) == 9


def test_images_of_one_name_in_two_subsets_keep_their_own_sides(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    subsets = ("train", "val", "test")
    images = [image("a.png", BOX, more=f'subset="{subset}" task_id="3"') for subset in subsets]
    write(tmp_path / "raw" / "annotations.xml", document(*images, meta=""))
    for colour, subset in enumerate(subsets):
        write_image(tmp_path / "raw" / "images" / subset / "a.png", colour=colour)
    first, _ = split_of(tmp_path / "raw", NOTHING)
    assert sorted(first.table["split"]) == sorted(subsets)
    second, _ = split_of(tmp_path / "raw", first.table)
    pd.testing.assert_frame_equal(second.table, first.table)
    assert "changed their subset" not in caplog.text
