"""split: what subsets say, what is found where they say nothing, and images that move to another one."""

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from tasks.contracts.errors import PipelineError
from tasks.contracts.leakage import SPLITS
from tasks.split import Split, SplitParams, split
from tests.fixtures.cvat import BOX, document, image, task_meta, write
from tests.fixtures.parse import run, write_image
from tests.fixtures.split import NO_PAIRS, NOTHING, PARAMS, divided, frames, looks, splits_of
from tests.fixtures.tables import Row

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
    """Images in the folders of their splits."""
    shutil.rmtree(raw / "yolo", ignore_errors=True)
    splits = "".join(f"{split}: images/{split}\n" for split in sorted(set(subsets.values())))
    write(raw / "yolo" / "data.yaml", f"names: [car]\n{splits}")
    for task, subset in subsets.items():
        write_images(raw / "yolo" / "images" / subset, task)


def split_of(raw: Path, previous: pd.DataFrame) -> tuple[Split, dict[str, str]]:
    """The split by the subsets of what parse reads, and the split of each image by its name."""
    parsed = run(raw)
    params = SplitParams.model_validate(PARAMS.model_dump() | {"use_subsets": True})
    tables = (parsed.images, parsed.objects, looks(parsed.images), previous)
    result = split(*tables, pairs=NO_PAIRS, seed=7, params=params)
    placed = result.table.merge(parsed.images, on="image_id", suffixes=("", "_of_image"))
    return result, dict(zip(placed["name"], placed["split"], strict=True))


@pytest.mark.parametrize("export", [task_exports, project_export, yolo_folder])
def test_images_that_move_to_another_subset_keep_their_split(
    tmp_path: Path, export: Callable[[Path, Subsets, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    export(tmp_path / "raw", SUBSETS, 1)
    first, splits = split_of(tmp_path / "raw", NOTHING)
    assert splits == {name: split for task, split in SUBSETS.items() for name in names(task)}
    export(tmp_path / "raw", MOVED, 2)
    second, sides_after = split_of(tmp_path / "raw", first.table)
    assert set(second.table["image_id"]) != set(first.table["image_id"])
    assert sides_after == splits
    assert "images that changed their subset and keep their split: 3" in caplog.text
    assert second.leakage.placed_before == len(second.table) == 9
    caplog.clear()
    export(tmp_path / "raw", SUBSETS, 3)
    third, _ = split_of(tmp_path / "raw", second.table)
    pd.testing.assert_frame_equal(third.table, first.table)
    assert "changed their subset" not in caplog.text


@pytest.mark.parametrize("subsets", [SUBSETS, MOVED], ids=["before it moves", "as it moves"])
def test_an_image_that_moves_and_whose_file_is_away_for_a_while_keeps_its_split(
    tmp_path: Path, subsets: Subsets
) -> None:
    project_export(tmp_path / "raw", SUBSETS, 1)
    first, splits = split_of(tmp_path / "raw", NOTHING)
    project_export(tmp_path / "raw", subsets, 2)
    away = names("3")[0]
    (tmp_path / "raw" / "project" / "images" / subsets["3"] / away).unlink()
    second, without = split_of(tmp_path / "raw", first.table)
    assert without == splits | {away: "excluded"}
    project_export(tmp_path / "raw", MOVED, 3)
    third, again = split_of(tmp_path / "raw", second.table)
    assert again == splits
    assert len(third.table) == 9


def test_images_of_one_name_in_two_subsets_keep_their_own_splits(
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


# Not every split has a subset --------------------------------------------------------------------------------------


def marked(*scenes: tuple[str | None, str, int]) -> list[Row]:
    """Frames of scenes: subset, scene and number of frames."""
    return [row for subset, scene, count in scenes for row in frames(scene, count, subset=subset)]


TRAIN = [("Train", f"a{number:02}-", 4 + number % 3) for number in range(20)]
TEST = [("Test", f"t{number}-", 5) for number in range(5)]
WITHOUT = [(None, f"x{number}-", 6) for number in range(6)]


def by_scene(result: Split) -> dict[str, set[str]]:
    """Subset letter of scenes -> splits of their images."""
    found: dict[str, set[str]] = {}
    for image_id, name in splits_of(result).items():
        found.setdefault(image_id[0], set()).add(name)
    return found


def test_val_without_a_subset_is_taken_from_train_by_whole_scenes_and_test_stays_as_labelled() -> None:
    alike = [["a03-001", "a11-002"]]
    result = divided(marked(*TRAIN, *TEST), alike=alike, use_subsets=True)
    assert by_scene(result) == {"a": {"train", "val"}, "t": {"test"}}
    assert result.leakage.method == "subsets"
    assert result.leakage.after.same_group == result.leakage.after.near_duplicate == 0
    assert result.leakage.excluded == {}
    # As train and val are to each other.
    val, train = (result.leakage.splits[split].images for split in ("val", "train"))
    assert val / (val + train) == pytest.approx(0.15 / 0.85, abs=0.03)
    assert f"No subset is val: {val} images" in result.leakage.notes[0]
    assert "in Train were taken for it" in result.leakage.notes[0]


def test_splits_stay_when_val_was_taken_from_train_and_more_is_labelled(caplog: pytest.LogCaptureFixture) -> None:
    first = divided(marked(*TRAIN, *TEST), use_subsets=True)
    again = divided(marked(*TRAIN, *TEST), previous=first.table, use_subsets=True)
    pd.testing.assert_frame_equal(again.table, first.table)
    more = [("Train", f"b{number:02}-", 5) for number in range(20)]
    grown = divided(marked(*TRAIN, *more, *TEST, ("Test", "u-", 5)), previous=first.table, use_subsets=True)
    assert splits_of(grown) | splits_of(first) == splits_of(grown)
    assert by_scene(grown)["b"] == {"train", "val"}
    assert by_scene(grown)["u"] == {"test"}
    assert "changed their subset" not in caplog.text
    validation = [("Validation", scene, count) for _, scene, count in more[:4]]
    named = divided(marked(*TRAIN, *validation, *TEST), previous=first.table, use_subsets=True)
    assert splits_of(named) | splits_of(first) == splits_of(named)
    assert by_scene(named)["b"] == {"val"}
    assert "changed their subset" not in caplog.text
    val = first.table.loc[first.table["split"] == "val", "image_id"].iloc[0]
    rows = [{**row, "subset": "Test"} if row["image_id"] == val else row for row in marked(*TRAIN, *TEST)]
    changed = divided(rows, previous=first.table, use_subsets=True)
    assert splits_of(changed) == splits_of(first)
    assert "images that changed their subset and keep their split: 1" in caplog.text


def test_val_is_taken_by_blocks_of_time_if_train_is_one_scene() -> None:
    result = divided(marked(("Train", "a", 200), ("Test", "t", 60)), use_subsets=True)
    assert {split for image, split in splits_of(result).items() if image[0] == "t"} == {"test"}
    assert result.leakage.after.neighbouring_frame == 0
    assert result.leakage.excluded == {"gap": 10}
    (note,) = (note for note in result.leakage.notes if "blocks of time" in note)
    assert "blocks of time: val shows scenes of train, so its figures" in note
    whole = divided(marked(*TRAIN, ("Test", "t", 60)), use_subsets=True)
    assert not any("blocks of time" in note for note in whole.leakage.notes)


@pytest.mark.parametrize(
    ("subsets", "shows"),
    [
        pytest.param([(None, "a", 300)], "val and test show scenes of train, so their", id="no subset"),
        pytest.param(
            [("Train", "a", 200), ("Validation", "v", 60)], "test shows scenes of train, so its", id="own val"
        ),
    ],
)
def test_splits_that_show_scenes_of_train_are_named(subsets: list[tuple[str | None, str, int]], shows: str) -> None:
    notes = divided(marked(*subsets), use_subsets=True).leakage.notes
    assert [shows in note for note in notes if "blocks of time" in note] == [True]


@pytest.mark.parametrize(
    ("given", "splits"),
    [
        (("Train", "Validation"), {"Train": {"train", "test"}, "Validation": {"val"}}),
        (("Train",), {"Train": {"train", "val", "test"}}),
        (("Test", None), {"Test": {"test"}, None: {"train", "val"}}),
        (("Validation", None), {"Validation": {"val"}, None: {"train", "test"}}),
        (("Train", None), {"Train": {"train", "val", "test"}, None: {"train", "val", "test"}}),
        (("Train", "Test", None), {"Train": {"train", "val"}, "Test": {"test"}, None: {"train", "val"}}),
        (
            ("Train", "Validation", "Test", None),
            {"Train": {"train"}, "Validation": {"val"}, "Test": {"test"}, None: {"train"}},
        ),
        (("train", "TEST", "default"), {"train": {"train", "val"}, "TEST": {"test"}, "default": {"train", "val"}}),
    ],
    ids=lambda value: " and ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_no_subset_names_is_filled_from_train_and_images_without_a_subset(
    given: tuple[str | None, ...], splits: dict[str | None, set[str]]
) -> None:
    rows = [
        row for subset in given for number in range(12) for row in frames(f"{subset} {number:02}-", 5, subset=subset)
    ]
    result = divided(rows, use_subsets=True)
    found: dict[str | None, set[str]] = {subset: set() for subset in given}
    for row in rows:
        found[row["subset"]].add(splits_of(result)[str(row["image_id"])])  # type: ignore[index]
    assert all(found[subset] <= splits[subset] for subset in given)
    assert set().union(*found.values()) == set(SPLITS)
    assert result.leakage.after.same_group == 0


def test_an_image_without_a_subset_stays_with_its_scene_or_near_duplicates_on_test() -> None:
    rows = [*marked(*TRAIN, *TEST, *WITHOUT), {"image_id": "new", "group": "t0-", "frame": 9, "subset": None}]
    result = divided(rows, alike=[["x1-002", "t3-001"]], use_subsets=True)
    splits = splits_of(result)
    assert splits["new"] == splits["x1-000"] == "test"
    assert result.leakage.excluded == {}
    assert any(
        "37 images are in no subset that says train, val or test (none)" in note for note in result.leakage.notes
    )


def test_images_of_train_in_a_scene_of_test_never_become_test() -> None:
    rows = marked(*TRAIN, *TEST) + [{**row, "subset": "Train"} for row in frames("t0-", 9)[5:]]
    splits = splits_of(divided(rows, alike=[["a01-000", "t3-001"]], use_subsets=True))
    assert {splits[f"t0-{number:03}"] for number in range(5, 9)} <= {"train", "val"}
    assert {split for image, split in splits.items() if image.startswith("a01-")} <= {"train", "val", "excluded"}


@pytest.mark.parametrize("subset", ["Validation", "Test"])
def test_subsets_that_leave_train_empty_are_refused_with_what_they_say(subset: str) -> None:
    with pytest.raises(PipelineError, match="not enough to fill") as raised:
        divided(marked(*((subset, scene, count) for _, scene, count in TRAIN)), use_subsets=True)
    assert "where subsets name train for 0" in raised.value.where
    assert "filled from Train and images without a subset" in raised.value.hint


def test_subsets_that_say_nothing_are_told(caplog: pytest.LogCaptureFixture) -> None:
    result = divided(marked(*(("night", scene, count) for _, scene, count in TRAIN)), use_subsets=True)
    assert "no subset says train, val or test; there are: night" in caplog.text
    assert result.leakage.method == "groups"
