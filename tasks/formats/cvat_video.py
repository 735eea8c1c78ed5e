"""CVAT for video 1.1: `<track>` elements, frame by frame, from task, job and project exports."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tasks.contracts.errors import PipelineError
from tasks.formats import xml_stream
from tasks.formats.cvat_meta import CvatMeta, CvatTask, refuse_span
from tasks.formats.cvat_shapes import shape_to_object
from tasks.formats.cvat_tracks import Track, TrackShape
from tasks.formats.labelled_image import (
    FRAME_DELETED,
    FRAME_SKIPPED,
    LabelledImage,
    LabelledObject,
    Origin,
    PointShapes,
    TextBox,
)


def cvat_video_to_labels(
    path: Path, meta: CvatMeta, export: Origin, points: PointShapes, frame_step: int
) -> Iterator[LabelledImage]:
    """Read a file and give its frames in order, those without objects too.

    Every `frame_step`-th frame of a task is wanted; the others are marked as left out. The visible shapes of all
    tracks are kept in memory, since a file is sorted by track.
    """
    target = _Tracks(path)
    videos: dict[str, _Video] = {}
    for _ in xml_stream.feed(path, target):
        for track in target.tracks:
            _add(track, videos, meta, export, points)
        target.tracks.clear()
    # A task without any track still has its frames.
    for task_id, task in meta.tasks.items():
        videos.setdefault(task_id, _Video(task, task.origin or export, task.subset))
    if not videos:
        videos[""] = _Video(meta.task, meta.task.origin or export, meta.task.subset)
    for video in videos.values():
        yield from video.images(frame_step)


@dataclass(slots=True)
class _Video:
    """What is visible on the frames of one task."""

    task: CvatTask
    origin: Origin
    subset: str | None
    objects: dict[int, list[LabelledObject | TextBox]] = field(default_factory=lambda: defaultdict(list))
    outside: int = 0  # marks that a track is not visible
    written: set[int] = field(default_factory=set)  # frames on which a shape or such a mark stands
    gaps: list[tuple[bool, list[range]]] = field(default_factory=list)  # of each track: whether it has all shapes, and

    def deleted(self) -> set[int]:
        """Frames that were deleted in CVAT: those on which a visible object has no shape.

        CVAT writes visible objects on every frame but these, and no other word of them. A track of keyframes alone says
        so only beside one that has all its shapes, and where no gap of its own is filled by others: else it is of a
        tool that leaves the frames between keyframes to the reader.
        """
        of_cvat = any(has_all for has_all, _ in self.gaps)
        found: set[int] = set()
        for has_all, gaps in self.gaps:
            frames = {frame for gap in gaps for frame in gap} if of_cvat else set()
            if has_all or frames.isdisjoint(self.written):
                found |= frames
        return found - self.written

    def images(self, frame_step: int) -> Iterator[LabelledImage]:
        width, height = self.task.size_wh or (None, None)
        shift = self.task.shift(self.objects)
        deleted = self.deleted()
        frames = sorted({*(self.task.frames or ()), *(frame - shift for frame in self.objects)})
        for place, frame in enumerate(frames):
            is_deleted = frame + shift in deleted
            yield LabelledImage(
                name=f"frame_{frame:06d}",
                origin=self.origin,
                width=width,
                height=height,
                subset=self.subset,
                frame=frame,
                stored_as=f"frame_{frame + shift:06d}" if shift else None,
                video_name=self.task.video_name,
                left_out=FRAME_DELETED if is_deleted else FRAME_SKIPPED if place % frame_step else None,
                outside=self.outside if place == 0 else 0,
                # On a deleted frame there are only those that were made up between keyframes.
                objects=[] if is_deleted else self.objects[frame + shift],
            )


def _add(track: Track, videos: dict[str, _Video], meta: CvatMeta, export: Origin, points: PointShapes) -> None:
    task_id = track.given.get("task_id", "")
    if task_id not in videos:
        task = meta.tasks.get(task_id, meta.task)
        origin = task.origin or replace(export, task_id=task_id or None, is_video=True)
        videos[task_id] = _Video(task, origin, track.given.get("subset") or task.subset)
    video = videos[task_id]
    video.written.update(shape.frame for shape in track.shapes)
    video.gaps.append((track.has_all, track.gaps(video.task.frames)))
    for shape in track.complete(video.task.frames):
        if shape.is_outside:
            video.outside += 1
            continue
        labelled = shape_to_object(
            shape.tag,
            {"source": track.given.get("source", "manual"), **shape.given},
            shape.attributes,
            shape.elements,
            label=track.given.get("label", ""),
            track_id=track.given.get("id"),
            points=points,
        )
        video.objects[shape.frame].append(labelled)


class _Tracks:
    """Puts tracks together from elements."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.tracks: list[Track] = []  # complete ones, not yet taken
        self._open: list[Track] = []  # the track, and inside it that of a skeleton point
        self._shape: TrackShape | None = None
        self._depth = 0  # of elements inside the shape
        self._attribute: str | None = None
        self._text: list[str] = []

    def start(self, tag: str, given: Mapping[str, str]) -> None:
        """Within a track every element is a shape or a track; within a shape there are attributes and points."""
        if tag == "track":
            self._open.append(Track(given))
        elif self._shape is not None:
            self._depth += 1
            if tag != "attribute":
                self._shape.elements = [*(self._shape.elements or ()), given]
            elif self._depth == 1:
                self._attribute, self._text = given.get("name", ""), []
        elif self._open:
            self._shape = TrackShape(tag, self._frame(given), given)

    def _frame(self, given: Mapping[str, str]) -> int:
        try:
            return int(given["frame"])
        except (KeyError, ValueError) as error:
            raise PipelineError(
                "a shape of a track has no frame number",
                f"{self._path}, track {self._open[-1].given.get('id')}",
                "Export the labels again",
            ) from error

    def data(self, text: str) -> None:
        """Add text to that of the open attribute."""
        if self._attribute is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        """Finish the attribute, shape or track that the tag closes."""
        if self._shape is not None and self._depth:
            self._depth -= 1
            if self._attribute is not None:
                self._shape.attributes = (self._shape.attributes or {}) | {self._attribute: "".join(self._text)}
                self._attribute = None
        elif self._shape is not None:
            self._open[-1].shapes.append(self._shape)
            self._shape = None
        elif tag == "track":
            track = self._open.pop()
            frames = [shape.frame for shape in track.shapes]
            refuse_span(max(frames, default=0) - min(frames, default=0), f"{self._path}, track {track.given.get('id')}")
            (self._open[-1].points if self._open else self.tracks).append(track)
