"""Project exports of CVAT, in which the frames of a subset are numbered through its tasks."""

from pathlib import Path

import pytest

from tests.fixtures.cvat import BOX, document, image, track, track_box, write
from tests.fixtures.parse import run, write_image


def task(number: int, subset: str, *, size: int = 3, start: int = 0, step: int = 1, source: str = "clip.mp4") -> str:
    return (
        f"<task><id>{number}</id><name>t</name><size>{size}</size><mode>interpolation</mode>"
        f"<created>2026-03-02 09:14:0{number % 10}.5+00:00</created><subset>{subset}</subset>"
        f"<start_frame>{start}</start_frame><stop_frame>{start + step * (size - 1)}</stop_frame>"
        f"<frame_filter>step={step}</frame_filter>"
        f"<original_size><width>96</width><height>64</height></original_size><source>{source}</source></task>"
    )


def project(*tasks: str, dumped: str = "2026-03-05 16:40:51+00:00") -> str:
    return f"<meta><project><id>7</id><tasks>{''.join(tasks)}</tasks></project><dumped>{dumped}</dumped></meta>"


def box_track(task_id: int, *frames: int) -> str:
    # A track each, since between keyframes of one track others are filled in.
    more = f'task_id="{task_id}" subset="Train"'
    return "\n".join(track(frame, "car", track_box(frame, 0, 0, 9, 9), more=more) for frame in frames)


# The second task's frames 0, 2, 4 were shifted by 4 + 3 * 2 of the first one, its own 4, 6, 8 not.
TASKS = [task(51, "Train", start=4, step=2), task(52, "Train", step=2), task(53, "Validation", step=2)]
BOXED = {("51", 4), ("51", 8), ("52", 0), ("52", 4), ("53", 2)}


def shifted_tracks() -> list[str]:
    return [box_track(51, 4, 8), box_track(52, 10, 14), box_track(53, 2)]


def shifted_images() -> list[str]:
    numbers = {51: (4, 6, 8), 52: (10, 12, 14), 53: (0, 2, 4)}
    boxed = {(51, 4), (51, 8), (52, 10), (52, 14), (53, 2)}
    return [
        image(f"frame_{number:06d}", *([BOX] if (task_id, number) in boxed else []), width=96, height=64,
              more=f'task_id="{task_id}" subset="{"Validation" if task_id == 53 else "Train"}"'
              ).replace('id="0"', f'id="{number}"', 1)
        for task_id, frames in numbers.items() for number in frames
    ]  # fmt: skip


@pytest.mark.parametrize("parts", [shifted_tracks(), shifted_images()], ids=["tracks", "images"])
def test_objects_are_on_the_frames_of_their_own_task(tmp_path: Path, parts: list[str]) -> None:
    write(tmp_path / "raw" / "annotations.xml", document(*parts, meta=project(*TASKS)))
    parsed = run(tmp_path / "raw")
    assert set(parsed.boxes("task_id", "frame")) == BOXED
    frames = parsed.images.groupby("task_id")["frame"].apply(list).to_dict()
    assert frames == {"51": [4, 6, 8], "52": [0, 2, 4], "53": [0, 2, 4]}
    assert all(parsed.images["name"] == [f"frame_{frame:06d}" for frame in parsed.images["frame"]])


def test_numbers_that_were_not_shifted_stay(tmp_path: Path) -> None:
    tracks = [box_track(51, 4), box_track(52, 2, 4)]
    write(tmp_path / "raw" / "annotations.xml", document(*tracks, meta=project(*TASKS[:2])))
    assert set(run(tmp_path / "raw").boxes("task_id", "frame")) == {("51", 4), ("52", 2), ("52", 4)}


@pytest.mark.parametrize("parts", [shifted_tracks(), shifted_images()], ids=["tracks", "images"])
def test_newer_project_export_supersedes_that_of_its_task(tmp_path: Path, parts: list[str]) -> None:
    alone = f"<meta>{TASKS[1]}<dumped>2026-03-01 00:00:00+00:00</dumped></meta>"
    write(
        tmp_path / "raw" / "task" / "annotations.xml", document(track(0, "car", track_box(2, 0, 0, 9, 9)), meta=alone)
    )
    write(tmp_path / "raw" / "project" / "annotations.xml", document(*parts, meta=project(*TASKS)))
    parsed = run(tmp_path / "raw")
    assert set(parsed.boxes("task_id", "frame")) == BOXED
    assert (len(parsed.images), parsed.ledger.images.superseded) == (9, 3)


@pytest.mark.parametrize("parts", [shifted_tracks(), shifted_images()], ids=["tracks", "images"])
def test_pictures_are_found_under_the_shifted_names_that_the_export_gave_them(tmp_path: Path, parts: list[str]) -> None:
    write(tmp_path / "raw" / "annotations.xml", document(*parts, meta=project(*TASKS)))
    for number in (4, 10):
        write_image(tmp_path / "raw" / "images" / "Train" / f"frame_{number:06d}.PNG", 96, 64, colour=number)
    parsed = run(tmp_path / "raw")
    held = parsed.images.dropna(subset="file").set_index(["task_id", "frame"])["file"].to_dict()
    assert held[("51", 4)].endswith("/frame_000004.PNG")
    assert held[("52", 0)].endswith("/frame_000010.PNG")
