"""The sample: the same bytes from the same seed, shapes where the parts are, and every fault that it says it plants."""

import os
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from tasks.contracts.record import write_record
from tasks.contracts.verdict import RuleResult, TargetVerdict, Verdict
from tasks.dataset.decoding import Image
from tasks.sample.__main__ import draw_project, main
from tasks.sample.labelling import seen_in
from tasks.sample.parts import Part, draw_part
from tasks.sample.planted_faults import decoded
from tasks.sample.scene import CAMERAS, FRAME_WH, Frame, sequence
from tests.fixtures.repository import REPOSITORY

IMAGES = 96


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    main(to=folder, images=IMAGES, seed=7)
    return folder


def annotations(export: Path) -> ET.Element:
    with zipfile.ZipFile(export) as archive:
        return ET.fromstring(archive.read("annotations.xml"))


def image_bytes(export: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(export) as archive:
        return {
            name.removeprefix("images/"): archive.read(name) for name in archive.namelist() if name != "annotations.xml"
        }


def test_same_seed_draws_the_same_bytes_and_another_seed_another_scene(samples: Path, tmp_path: Path) -> None:
    main(to=tmp_path / "again", images=IMAGES, seed=7)
    main(to=tmp_path / "other", images=IMAGES, seed=8)
    for name in ("belt.zip", "belt-video.zip"):
        drawn = (samples / name).read_bytes()
        assert (tmp_path / "again" / name).read_bytes() == drawn
        assert (tmp_path / "other" / name).read_bytes() != drawn


def test_project_has_a_task_per_camera_and_each_image_its_file_and_task(samples: Path) -> None:
    root, files = annotations(samples / "belt.zip"), image_bytes(samples / "belt.zip")
    tasks = {task.findtext("id"): int(task.findtext("size") or 0) for task in root.iter("task")}
    images = root.findall("image")
    assert len(tasks) == 4
    assert {image.get("name") for image in images} == set(files)
    assert len(images) == sum(tasks.values()) == IMAGES - IMAGES // 12
    for task_id, size in tasks.items():
        ids = [image.get("id") for image in images if image.get("task_id") == task_id]
        assert ids == [str(number) for number in range(size)]  # in a project, ids repeat from task to task


def test_every_shape_kind_label_and_attribute_of_the_manual_is_there(samples: Path) -> None:
    root = annotations(samples / "belt.zip")
    shapes = [shape for image in root.findall("image") for shape in image]
    assert {shape.tag for shape in shapes} == {"box", "ellipse", "polygon"}
    assert any(shape.get("rotation") for shape in shapes)
    assert {shape.get("label") for shape in shapes} == {"washer", "nut", "bolt", "crack", "wahser"}
    values = {(attribute.get("name"), attribute.text) for shape in shapes for attribute in shape}
    assert values == {("surface", "shiny"), ("surface", "matt"), ("severity", "minor"), ("severity", "major")}


def test_duplicate_and_truncated_and_dark_and_blurred_images_are_planted(samples: Path) -> None:
    files = image_bytes(samples / "belt.zip")
    twins = [name for name, data in files.items() if list(files.values()).count(data) == 2]
    assert len({name.rpartition("/")[0] for name in twins}) == 2  # in two sequences
    broken = [name for name, data in files.items() if not data.endswith(b"\xff\xd9")]
    assert len(broken) == 1
    pictures = {name: decoded(data) for name, data in files.items() if name not in broken}
    assert sum(picture.mean() < 12 for picture in pictures.values()) == 1
    sharpness = sorted(np.abs(np.diff(picture.astype(float), axis=1)).mean() for picture in pictures.values())
    assert sharpness[1] < sharpness[2] / 1.5  # the dark one and the blurred one


def test_label_faults_are_planted(samples: Path) -> None:
    images = annotations(samples / "belt.zip").findall("image")
    shapes = [shape for image in images for shape in image]
    plain = [shape for shape in shapes if shape.tag == "box" and not shape.get("rotation")]
    boxes = [{key: float(shape.get(key) or 0) for key in ("xtl", "xbr")} for shape in plain]
    assert sum(shape.get("label") == "wahser" for shape in shapes) == 1
    assert sum(box["xtl"] < 0 for box in boxes) == 1
    assert sum(box["xtl"] == box["xbr"] for box in boxes) == 1
    written = [[tuple(sorted(shape.items())) for shape in image] for image in images]
    assert sum(len(drawn) - len(set(drawn)) for drawn in written) == 1


def test_tracks_of_the_video_end_outside_and_stay_inside_the_frame(samples: Path) -> None:
    root, files = annotations(samples / "belt-video.zip"), image_bytes(samples / "belt-video.zip")
    frames = IMAGES // 12
    assert set(files) == {f"frame_{frame:06d}.PNG" for frame in range(frames)}
    tracks = root.findall("track")
    assert tracks
    for track in tracks:
        boxes = track.findall("box")
        shown = [box for box in boxes if box.get("outside") == "0"]
        last = int(shown[-1].get("frame") or 0)
        ends = [int(box.get("frame") or 0) for box in boxes if box.get("outside") == "1"]
        assert ends == ([] if last == frames - 1 else [last + 1])
        assert all(0 <= float(box.get("xtl") or 0) < float(box.get("xbr") or 0) <= FRAME_WH[0] for box in shown)


@pytest.mark.parametrize("kind", ["washer", "nut", "bolt"])
def test_box_of_a_part_is_where_its_pixels_are(kind: str) -> None:
    part = Part(kind=kind, x=80, y=60, angle=0.6, size=20, bore=0.45, metal="steel", shiny=False, crack=None)  # type: ignore[arg-type]
    canvas = np.full((FRAME_WH[1], FRAME_WH[0], 3), 20.0)
    draw_part(canvas, part)
    rows, columns = np.nonzero(canvas.mean(axis=2) > 40)
    (seen,) = seen_in(Frame(_no_image(), (part,)))
    drawn = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    # A rotated box around a bolt has corners that the bolt does not reach.
    assert np.abs(np.array(seen.box) - drawn).max() < (8 if kind == "bolt" else 1.5)


def test_part_that_the_border_cuts_gets_a_plain_box_inside_and_a_sliver_none() -> None:
    part = Part(kind="nut", x=3, y=60, angle=0, size=20, bore=0.45, metal="steel", shiny=False, crack=None)
    (seen,) = seen_in(Frame(_no_image(), (part,)))
    assert seen.shape.tag == "box"
    assert seen.box[0] == 0
    sliver = Part(kind="nut", x=-15, y=60, angle=0, size=20, bore=0.45, metal="steel", shiny=False, crack=None)
    assert seen_in(Frame(_no_image(), (sliver,))) == []


def test_cracked_part_is_a_crack_only_where_the_crack_is_seen() -> None:
    crack = np.array([[-6.0, 60], [-4, 62], [-5, 64], [-3, 66], [-4, 68], [-2, 70]])
    part = Part(kind="washer", x=8, y=65, angle=0, size=18, bore=0.45, metal="steel", shiny=False, crack=crack)
    assert [seen.shape.label for seen in seen_in(Frame(_no_image(), (part,)))] == ["washer"]
    assert [seen.shape.label for seen in seen_in(Frame(_no_image(), (part,)), tracked=True)] == ["crack"]


def test_parts_move_with_the_belt_from_frame_to_frame() -> None:
    frames = list(sequence(CAMERAS[0], 3, 40.0, np.random.default_rng(1)))
    for before, after in pairwise(frames):
        moved = [new.x - old.x for old, new in zip(before.parts, after.parts, strict=True)]
        assert np.allclose(moved, -40)


def test_default_sample_has_many_sequences_and_enough_cracks_to_judge() -> None:
    pictures = [picture for held in draw_project(385, 7).values() for picture in held]
    assert len({picture.name.rpartition("/")[0] for picture in pictures}) == 65
    cracks = sum(shape.label == "crack" for picture in pictures for shape in picture.shapes)
    assert 120 < cracks < 250


def _no_image() -> Image:
    return np.zeros((FRAME_WH[1], FRAME_WH[0], 3), dtype=np.uint8)


def test_the_last_words_show_the_verdict_with_its_bounds_and_where_the_report_is(tmp_path: Path) -> None:
    rules = [
        RuleResult(
            rule=rule, metric="", outcome="accepted", value=value, low=low, high=high, bound=0, unit=unit,
            shortfall=None, more_objects=None, reason="",
        )
        for rule, value, low, high, unit in (
            ("map50 >= 0.6", 0.98465, 0.8249, 0.9943, ""),
            ("latency p95 <= 2000 ms", 1935.4, None, None, "ms"),
        )
    ]  # fmt: skip
    verdict = Verdict(
        accepted=True, target="onnx", outcome="accepted", reason="all pass",
        targets={"onnx": TargetVerdict(outcome="accepted", rules=rules)}, released=["onnx"], champion_version=None,
    )  # fmt: skip
    write_record(verdict, tmp_path / "verdict.json")
    command = [sys.executable, "-m", "tasks.sample.verdict", "--verdict", str(tmp_path / "verdict.json")]
    done = subprocess.run(
        [*command, "--report", str(tmp_path / "report.html")],
        capture_output=True, text=True, check=True, cwd=REPOSITORY, env=os.environ | {"COLUMNS": "120"},
    )  # fmt: skip
    assert "ACCEPTED: all pass" in done.stdout
    assert "0.985 [0.825, 0.994]" in done.stdout
    assert "1,935 ms" in done.stdout
    assert "In brackets: one-sided bounds, each at the rule's confidence." in done.stdout
    assert (tmp_path / "report.html").as_uri() in done.stdout
