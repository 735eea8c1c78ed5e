"""Which images are the same picture for a detector: copies, however changed, and no others."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tasks.checks.descriptors import thumbnail
from tasks.checks.near_duplicates import DecodedImage, near_duplicates
from tasks.checks.same_picture import Labels
from tests.fixtures.check import checked, clean, encoded, scene

pytestmark = pytest.mark.slow

Grey = NDArray[np.uint8]
Box = tuple[float, float, float, float]

SIZE_WH = (640, 480)
LIMIT = 0.15  # the default of check.near_duplicate_difference


def photograph(seed: int) -> Grey:
    """Soft shapes of many sizes, unlike those of any other seed."""
    rng = np.random.default_rng(seed)
    pixels = np.full(SIZE_WH[::-1], 120, dtype=np.uint8)
    for _ in range(60):
        centre = (int(rng.integers(0, SIZE_WH[0])), int(rng.integers(0, SIZE_WH[1])))
        cv2.circle(pixels, centre, int(rng.integers(6, 70)), int(rng.integers(30, 220)), -1)
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 2), dtype=np.uint8)


def picture(pixels: Grey, boxes: Sequence[Box] = ()) -> DecodedImage:
    small = thumbnail(pixels)
    scale = np.array([small.shape[1] / pixels.shape[1], small.shape[0] / pixels.shape[0]] * 2)
    return DecodedImage(
        small, Labels(np.array(boxes, dtype=float).reshape(-1, 4) * scale, np.zeros(len(boxes), np.int64))
    )


def moved(pixels: Grey, matrix: Sequence[Sequence[float]], border: int = cv2.BORDER_CONSTANT) -> Grey:
    return np.asarray(cv2.warpAffine(pixels, np.array(matrix, dtype=float), SIZE_WH, borderMode=border), dtype=np.uint8)


def turned(pixels: Grey, degrees: float) -> Grey:
    return moved(pixels, cv2.getRotationMatrix2D((SIZE_WH[0] / 2, SIZE_WH[1] / 2), degrees, 1).tolist())


def noisy(pixels: Grey) -> Grey:
    return np.clip(pixels + np.random.default_rng(0).normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Grey], object]] = {
    "half size": lambda pixels: cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "larger": lambda pixels: cv2.resize(pixels, None, fx=1.7, fy=1.7),
    "brighter": lambda pixels: cv2.add(pixels, 25),
    "darker": lambda pixels: (pixels * 0.6).astype(np.uint8),
    "blown out": lambda pixels: np.clip(pixels * 1.3 + 20, 0, 255).astype(np.uint8),
    "blurred": lambda pixels: cv2.GaussianBlur(pixels, (5, 5), 0),
    "re-encoded": lambda pixels: cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 0),
    "noisy": noisy,
    "with a logo": lambda pixels: cv2.rectangle(pixels.copy(), (500, 400), (630, 470), 255, -1),
    "shifted by 2": lambda pixels: moved(pixels, [[1, 0, 2], [0, 1, -2]]),
    "shifted by 10": lambda pixels: moved(pixels, [[1, 0, 10], [0, 1, 10]]),
    "shifted, edges drawn out": lambda pixels: moved(pixels, [[1, 0, -10], [0, 1, 7]], cv2.BORDER_REPLICATE),
    "shifted and cut": lambda pixels: pixels[10:, :-10],
    "cropped to 95 %": lambda pixels: pixels[4:460, 20:628],
    "cropped to 85 %": lambda pixels: pixels[:408, 96:],
    "cropped and enlarged": lambda pixels: cv2.resize(pixels[36:444, 48:592], SIZE_WH),
    "mirrored": lambda pixels: pixels[:, ::-1],
    "upside down": lambda pixels: pixels[::-1],
    "mirrored and cropped": lambda pixels: pixels[60:468, 90:634][:, ::-1],
    "turned by 5 degrees": lambda pixels: turned(pixels, 5),
    "turned by -3 degrees": lambda pixels: turned(pixels, -3),
    "turned by a right angle": np.rot90,
}


@pytest.mark.parametrize("before", [True, False], ids=["copy first", "copy last"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_copy_is_the_same_picture(change: Callable[[Grey], object], before: bool) -> None:
    originals = [picture(photograph(seed)) for seed in range(8)]
    copies = [picture(np.ascontiguousarray(change(photograph(seed)), dtype=np.uint8)) for seed in range(8)]
    found = near_duplicates([*copies, *originals] if before else [*originals, *copies], LIMIT)
    assert sorted((pair.other, pair.image) for pair in found.pairs) == [(number, number + 8) for number in range(8)]


OBJECT: Box = (280, 200, 360, 280)


def with_object(ground: Grey, seed: int, at: tuple[int, int] = (320, 240)) -> Grey:
    """A round object with a pattern of its own, always of the same outline."""
    pattern = cv2.resize(photograph(seed)[100:420, 100:420], (81, 81))
    pixels = ground.copy()
    disc = cv2.circle(np.zeros((81, 81), np.uint8), (40, 40), 38, 1, -1) > 0
    pixels[at[1] - 40 : at[1] + 41, at[0] - 40 : at[0] + 41][disc] = pattern[disc]
    return pixels


@pytest.mark.parametrize("ground", [photograph(99), np.full(SIZE_WH[::-1], 200, np.uint8)], ids=["street", "table"])
def test_other_objects_before_a_fixed_camera_are_other_pictures(ground: Grey) -> None:
    taken = [picture(noisy(with_object(ground, seed)), [OBJECT]) for seed in range(12)]
    found = near_duplicates(taken, LIMIT)
    assert found.pairs == []
    assert len(set(found.clusters)) == 12


def test_copies_among_the_pictures_of_a_fixed_camera_find_their_own_original() -> None:
    ground = photograph(99)
    taken = [with_object(ground, 1, (60 + 45 * number, 240)) for number in range(12)]
    boxes = [(20 + 45 * number, 200, 100 + 45 * number, 280) for number in range(12)]
    pictures = [picture(pixels, [box]) for pixels, box in zip(taken, boxes, strict=True)]
    copies = [
        picture(moved(pixels, [[1, 0, 8], [0, 1, -5]]), [(box[0] + 8, box[1] - 5, box[2] + 8, box[3] - 5)])
        for pixels, box in zip(taken, boxes, strict=True)
    ]
    found = near_duplicates(pictures + copies, LIMIT)
    assert sorted((pair.other, pair.image) for pair in found.pairs) == [(number, number + 12) for number in range(12)]


def crossing(number: int, ground: Grey) -> tuple[Grey, list[Box]]:
    """Frame of a fixed camera: small things that go their ways before the same ground, one of them every few frames."""
    pixels, boxes = ground.copy(), []
    for which, (left, top, step) in enumerate([(20, 90, 9), (600, 180, -11), (40, 300, 7), (560, 400, -8)]):
        x = left + step * (number + (0 if which else number // 3))
        patch = cv2.resize(photograph(40 + which)[:200, :200], (36, 28))
        pixels[top : top + 28, x : x + 36] = patch
        boxes.append((float(x), float(top), float(x + 36), float(top + 28)))
    return pixels, boxes


@pytest.mark.parametrize("name", ["with a logo", "blown out", "noisy", "darker", "blurred", "re-encoded"])
def test_a_copy_of_one_of_many_frames_finds_that_frame(name: str) -> None:
    ground = photograph(77)
    frames = [crossing(number, ground) for number in range(40)]
    copied = [frames[number] for number in range(3, 40, 6)]
    copies = [picture(np.asarray(CHANGES[name](pixels), dtype=np.uint8), boxes) for pixels, boxes in copied]
    pictures = [*copies, *(picture(pixels, boxes) for pixels, boxes in frames)]
    found = {(pair.other, pair.image) for pair in near_duplicates(pictures, LIMIT).pairs}
    assert {(place, len(copies) + number) for place, number in enumerate(range(3, 40, 6))} <= found
    assert len(found) <= 2 * len(copies)


def test_what_moves_before_a_fixed_camera_does_not_carry_the_alignment_along() -> None:
    ground = cv2.addWeighted(photograph(11), 0.4, np.full(SIZE_WH[::-1], 90, np.uint8), 0.6, 0)
    tram = photograph(12)[:220, :400]
    frames = []
    for number in range(24):
        pixels = np.asarray(ground, dtype=np.uint8).copy()
        pixels[200:420, 8 * number : 8 * number + 400] = tram
        frames.append(picture(pixels, [(8 * number, 200, 8 * number + 400, 420)]))
    for pair in near_duplicates(frames, 1.0).pairs:
        assert np.abs(pair.lie - np.eye(3)).max() < 0.25, pair


def board(seed: int) -> Grey:
    """Black lines on white, and hardly anything between."""
    rng = np.random.default_rng(seed)
    pixels = np.full(SIZE_WH[::-1], 255, dtype=np.uint8)
    for _ in range(4):
        ends = rng.integers(0, SIZE_WH[0], 4).tolist()
        cv2.line(pixels, ends[:2], ends[2:], 0, 20)
    return pixels


@pytest.mark.parametrize("change", [noisy, *(CHANGES[name] for name in ("re-encoded", "darker", "half size"))])
def test_a_picture_of_two_grey_values_has_copies_too(change: Callable[[Grey], object]) -> None:
    boards = [cv2.rectangle(board(seed), (300, 220), (312, 232), 0, -1) for seed in range(8)]
    boxes = [(290, 210, 322, 242)]
    copies = [picture(np.asarray(change(np.asarray(each, dtype=np.uint8)), dtype=np.uint8)) for each in boards]
    copies = [DecodedImage(copy.thumbnail, picture(boards[0], boxes).labels) for copy in copies]
    found = near_duplicates([*(picture(np.asarray(each, dtype=np.uint8), boxes) for each in boards), *copies], LIMIT)
    assert sorted((pair.other, pair.image) for pair in found.pairs) == [(number, number + 8) for number in range(8)]


def test_an_object_that_only_labels_tell_makes_another_picture() -> None:
    speck: Box = (100, 100, 108, 108)
    elsewhere: Box = (400, 300, 408, 308)
    pictures = [picture(noisy(photograph(5)), [box, OBJECT]) for box in (speck, elsewhere)]
    assert near_duplicates(pictures, LIMIT).pairs == []
    assert len(near_duplicates([pictures[0], pictures[0]], LIMIT).pairs) == 1
    unlabelled = picture(photograph(5))
    assert len(near_duplicates([pictures[0], unlabelled], LIMIT).pairs) == 1


def test_many_frames_of_nothing_new_are_one_cluster() -> None:
    still = photograph(3).astype(float)
    noise = (np.random.default_rng(number).normal(0, 3, still.shape) for number in range(150))
    frames = [picture(np.clip(still + each, 0, 255).astype(np.uint8)) for each in noise]
    found = near_duplicates(frames, LIMIT)
    assert set(found.clusters) == {0}
    assert {pair.image for pair in found.pairs if pair.other == 0} == set(range(1, 150))


def test_blank_frames_are_no_near_duplicates(tmp_path: Path) -> None:
    drawn = clean(tmp_path, 3)
    blank = {f"blank{level}": np.full((120, 160), level, dtype=np.uint8) for level in (0, 1, 128, 255)}
    blank["rounded"] = np.random.default_rng(0).integers(0, 2, (120, 160)).astype(np.uint8)
    for name, pixels in blank.items():
        drawn.add(name, pixels, group=f"scene of {name}")
    drawn.add("again", blank["blank0"], group="scene of again")
    drawn.add("twin", encoded(scene(1), ".jpg"), group="scene of twin")
    result = checked(tmp_path, drawn)
    clusters = result.duplicates.set_index("image_id")["cluster"]
    assert clusters[[*blank, "again"]].is_unique
    assert clusters["clean1"] == clusters["twin"]
    found = result.findings.set_index("rule")[["image_id", "other_image_id"]]
    assert found.loc["duplicate_image", "image_id"] == "again"
    assert set(found.loc["near_duplicate_images"]) == {"clean1", "twin"}


def test_pairs_do_not_depend_on_the_order_of_rows_and_say_how_a_copy_shows_the_other(tmp_path: Path) -> None:
    drawn = clean(tmp_path, 4)
    original = photograph(7)
    size = {"width": SIZE_WH[0], "height": SIZE_WH[1]}
    drawn.add("original", original, **size)
    drawn.add("a mirrored copy", np.ascontiguousarray(original[:, ::-1]), group="other", **size)
    drawn.add("a turned copy", turned(original, 4), group="other", **size)
    drawn.objects.clear()
    told = checked(tmp_path, drawn, max_empty_share=1.0, stop_on=[]).near_duplicates
    drawn.images.reverse()
    again = checked(tmp_path, drawn, max_empty_share=1.0, stop_on=[]).near_duplicates
    pd.testing.assert_frame_equal(told, again)
    how = {frozenset((pair.image_id, pair.other_image_id)): pair.how for pair in told.itertuples()}
    assert how[frozenset(("a mirrored copy", "original"))] == "mirrored"
    assert "turned by 4°" in str(how[frozenset(("a turned copy", "original"))])
