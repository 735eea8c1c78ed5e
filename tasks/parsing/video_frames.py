"""Frames out of the video that was labelled, exactly those that a label file names."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.dataset.decoding import MAX_MEGAPIXELS, megapixels
from tasks.formats.image_paths import near, near_forms
from tasks.formats.labelled_image import LabelFile, LabelledImage
from tasks.parsing.resolve_images import ImageFiles

SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".mts"})
FrameFormat = Literal["jpg", "png"]
_ENCODING: dict[str, list[int]] = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95], ".png": []}


class VideoFrames:
    """Gives frames of labelled videos their image files, in `frames/` of the annotations folder."""

    def __init__(
        self, raw: Path, annotations: Path, image_format: FrameFormat, max_megapixels: float = MAX_MEGAPIXELS
    ) -> None:
        """Look for videos below `raw`, once for all label files."""
        self._raw, self._annotations, self._format = raw, annotations, image_format
        self._max_megapixels = max_megapixels
        self._videos = sorted(path for path in raw.rglob("*") if path.suffix.lower() in SUFFIXES)
        self._chosen: dict[tuple[str | None, Path], Path | None] = {}  # by name of the video and label file
        self._files: dict[tuple[Path, int], str] = {}  # decoded so far, as in images.parquet

    def with_files(
        self, images: Iterable[LabelledImage], label_file: LabelFile, image_files: ImageFiles
    ) -> Iterator[LabelledImage]:
        """The same images; where there is no image file but the video, its frames are decoded."""
        if not self._videos:
            yield from images
            return
        listed = list(images)
        wanted: dict[Path, dict[int, list[LabelledImage]]] = defaultdict(lambda: defaultdict(list))
        for image in listed:
            if not image.origin.is_video or image.frame is None or image.left_out is not None:
                continue
            video = self._video(image.video_name, label_file)
            if video is None:
                continue
            name = image.stored_as or image.name
            if not image_files.find_below(label_file.own_folders, name, image.subset, image.origin.subsets):
                wanted[video][image.frame].append(image)
        for video, frames in wanted.items():
            self._decode(video, frames, label_file)
            for number, of_number in frames.items():
                for image in of_number:
                    image.file = self._files.get((video, number))
        yield from listed

    def _video(self, name: str | None, label_file: LabelFile) -> Path | None:
        """The video of that name, the one in the label file's own folder first; else the only one in that folder."""
        if (name, label_file.path) not in self._chosen:
            self._chosen[name, label_file.path] = self._choose(name, label_file)
        return self._chosen[name, label_file.path]

    def _choose(self, name: str | None, label_file: LabelFile) -> Path | None:
        beside = [video for video in self._videos if video.is_relative_to(label_file.folder)]
        named = _named(beside, name) or _named(self._videos, name)
        if not named:
            return beside[0] if len(beside) == 1 else None
        if len(named) > 1 and len(set(map(content_sha256, named))) > 1:
            places = ", ".join(video.relative_to(self._raw).as_posix() for video in named[:3])
            label_file.notes.append(f"{len(named)} different videos are called {name} ({places}): none was decoded")
            return None
        return named[0]

    def _decode(self, video: Path, wanted: Mapping[int, list[LabelledImage]], label_file: LabelFile) -> None:
        missing = {number for number in wanted if (video, number) not in self._files}
        # Two videos of one name in different folders keep apart.
        place = video.relative_to(self._raw).as_posix()
        folder = Path("frames") / f"{video.stem}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
        (self._annotations / folder).mkdir(parents=True, exist_ok=True)
        size_wh = video_size(video)
        if megapixels(size_wh) > self._max_megapixels:
            label_file.notes.append(
                f"{video.name} is {size_wh[0]}x{size_wh[1]}, {megapixels(size_wh):,.0f} megapixels a frame, and "
                f"parse.max_megapixels is {self._max_megapixels:g}: not decoded"
            )
            return
        for number, pixels in decode_frames(video, missing):
            height, width = pixels.shape[:2]
            others = {(image.width, image.height) for image in wanted[number] if image.width} - {(width, height)}
            for given_width, given_height in others:
                given = f"{given_width}x{given_height}"
                label_file.notes.append(f"{video.name} is {width}x{height}, not the labelled {given}: not decoded")
                return
            file = folder / f"frame_{number:06d}.{self._format}"
            _write_image(self._annotations / file, pixels)
            self._files[video, number] = file.as_posix()


def _named(videos: Sequence[Path], name: str | None) -> list[Path]:
    exact = [video for video in videos if video.name == name]
    return exact or [video for video in videos if name and near(video.name) in near_forms(name)]


def video_size(video: Path) -> tuple[int, int]:
    """Width and height of a video's frames as its header has them; (0, 0) where it does not say, or is broken."""
    import av  # noqa: PLC0415

    try:
        with av.open(str(video)) as container:
            context = container.streams.video[0].codec_context
            return context.width, context.height
    except (av.FFmpegError, IndexError):
        return 0, 0


def decode_frames(video: Path, wanted: Collection[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Decode frames, BGR, turned upright as the video's metadata says.

    Frames are counted from 0 in the order of display, as CVAT counts them; seeking would not be exact. Stops after the
    last one wanted. Raises PipelineError if the file cannot be decoded; a video that is too short just ends.
    """
    # Codecs are loaded only where there is a video.
    import av  # noqa: PLC0415
    from tqdm import tqdm  # noqa: PLC0415

    last = max(wanted, default=-1)
    try:
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            progress = tqdm(total=last + 1, desc=video.name, unit="frame", disable=None, leave=False)
            for number, frame in enumerate(container.decode(stream)):
                progress.update()
                if number in wanted:
                    pixels = frame.to_ndarray(format="bgr24")
                    # Counter-clockwise degrees, by quarters.
                    yield number, np.ascontiguousarray(np.rot90(pixels, k=frame.rotation // 90 % 4))
                if number >= last:
                    break
            progress.close()
    except (av.FFmpegError, IndexError) as error:
        raise PipelineError("video cannot be decoded", f"{video}: {error}", "Replace the file or remove it") from error


def _write_image(path: Path, pixels: NDArray[np.uint8]) -> None:
    is_written, data = cv2.imencode(path.suffix, pixels, _ENCODING[path.suffix])
    assert is_written, f"{path.suffix} cannot be encoded"
    path.write_bytes(data.tobytes())
