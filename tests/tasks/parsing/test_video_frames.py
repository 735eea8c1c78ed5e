"""Frames decoded from videos."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tasks.contracts.errors import PipelineError
from tasks.dataset.decoding import read_image
from tasks.formats.labelled_image import LabelFile, LabelledImage, Origin
from tasks.parsing.resolve_images import ImageFiles
from tasks.parsing.video_frames import VideoFrames, decode_frames

SIZE_WH = (96, 64)
STEP = 8  # of brightness, from one frame to the next


def write_video(path: Path, frames: int = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE_WH, "yuv420p"
        stream.bit_rate = 8_000_000
        # Frames between key frames and out of order, so that seeking would go wrong.
        stream.gop_size, stream.codec_context.max_b_frames = 12, 2
        for number in range(frames):
            pixels = np.full((SIZE_WH[1], SIZE_WH[0], 3), 20 + STEP * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def label_file(raw: Path, folder: str = "export") -> LabelFile:
    (raw / folder).mkdir(parents=True, exist_ok=True)
    return LabelFile(
        export=folder,
        source=folder,
        format="cvat_video",
        path=raw / folder / "annotations.xml",
        folder=raw / folder,
        own_folders=(folder,),
        is_video=True,
        written=datetime.now(UTC),
        labels=(),
        read=lambda: iter(()),
    )


def frame(number: int) -> LabelledImage:
    return LabelledImage(
        f"frame_{number:06d}", Origin("t", "t", is_video=True), *SIZE_WH, frame=number, video_name="clip.mp4"
    )


def files_of(raw: Path, images: list[LabelledImage], labels: LabelFile, image_format: str = "png") -> list[str | None]:
    frames = VideoFrames(raw, raw / "out", image_format)  # type: ignore[arg-type]
    return [image.file for image in frames.with_files(images, labels, ImageFiles(raw, []))]


@pytest.mark.parametrize("wanted", [{0}, {23}, {3, 4, 17}, set(range(0, 24, 5))], ids=str)
def test_exactly_the_wanted_frames_come(tmp_path: Path, wanted: set[int]) -> None:
    video = write_video(tmp_path / "clip.mp4")
    brightness = {number: float(pixels.mean()) for number, pixels in decode_frames(video, wanted)}
    assert brightness == pytest.approx({number: 20 + STEP * number for number in wanted}, abs=STEP * 0.45)


def test_video_that_is_too_short_gives_what_it_has(tmp_path: Path) -> None:
    assert [number for number, _ in decode_frames(write_video(tmp_path / "clip.mp4", 5), {3, 9})] == [3]


def test_broken_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    with pytest.raises(PipelineError, match=r"cannot be decoded: .*clip\.mp4.*Replace the file or remove it"):
        list(decode_frames(tmp_path / "clip.mp4", {0}))


@pytest.mark.parametrize("image_format", ["png", "jpg"])
@pytest.mark.parametrize("place", ["export/clip.mp4", "videos/clip.mp4", "export/renamed.mp4"])
def test_labelled_frames_get_files(tmp_path: Path, place: str, image_format: str) -> None:
    write_video(tmp_path / place)
    files = files_of(tmp_path, [frame(2), frame(7)], label_file(tmp_path), image_format)
    assert [Path(file or "").name for file in files] == [f"frame_000002.{image_format}", f"frame_000007.{image_format}"]
    assert read_image(tmp_path / "out" / (files[1] or "")).mean() == pytest.approx(20 + STEP * 7, abs=STEP * 0.45)


def test_frames_that_nobody_wants_or_that_have_a_file_are_not_decoded(tmp_path: Path) -> None:
    write_video(tmp_path / "export" / "clip.mp4")
    (tmp_path / "export" / "images").mkdir()
    cv2.imwrite(str(tmp_path / "export" / "images" / "frame_000001.png"), np.zeros((4, 4, 3)))
    images = [frame(1), replace(frame(2), left_out="not wanted"), frame(3)]
    assert [file is not None for file in files_of(tmp_path, images, label_file(tmp_path))] == [False, False, True]


def test_video_of_another_name_elsewhere_is_not_taken(tmp_path: Path) -> None:
    write_video(tmp_path / "videos" / "other.mp4")
    assert files_of(tmp_path, [frame(1)], label_file(tmp_path)) == [None]


def test_video_of_another_size_is_not_decoded_and_noted(tmp_path: Path) -> None:
    write_video(tmp_path / "export" / "clip.mp4")
    labels = label_file(tmp_path)
    assert files_of(tmp_path, [replace(frame(1), width=1920, height=1080)], labels) == [None]
    assert labels.notes == ["clip.mp4 is 96x64, not the labelled 1920x1080: not decoded"]


def test_video_beside_a_task_of_images_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "clip.mp4").write_bytes(b"no video")
    image = LabelledImage("a.jpg", Origin("t", "t"), *SIZE_WH, frame=0)
    assert files_of(tmp_path, [image], label_file(tmp_path)) == [None]


@pytest.mark.parametrize(("frames", "is_decoded"), [(24, True), (12, False)], ids=["copy", "another video"])
def test_of_several_videos_of_one_name_none_is_guessed(tmp_path: Path, frames: int, is_decoded: bool) -> None:
    write_video(tmp_path / "site1" / "clip.mp4")
    write_video(tmp_path / "site2" / "clip.mp4", frames)
    labels = label_file(tmp_path)
    files = files_of(tmp_path, [frame(1), frame(2)], labels)
    assert [file is not None for file in files] == [is_decoded] * 2
    places = "site1/clip.mp4, site2/clip.mp4"
    note = f"2 different videos are called clip.mp4 ({places}): none was decoded"
    assert labels.notes == ([] if is_decoded else [note])


def test_two_tasks_on_one_video_both_get_its_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "export" / "clip.mp4")
    other = replace(frame(1), origin=Origin("u", "u", is_video=True))
    files = files_of(tmp_path, [frame(1), other], label_file(tmp_path))
    assert files[0] is not None
    assert files[0] == files[1]
