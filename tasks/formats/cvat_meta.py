"""The head of a CVAT 1.1 XML: what kind it is, and its `<meta>` of a task, a job, a project, or none at all."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tasks.contracts.errors import PipelineError
from tasks.formats import xml_stream
from tasks.formats.labelled_image import Origin

_VERSION = "1.1"
MAX_FRAMES = 2_000_000  # of a task: 18 hours at 30 a second


@dataclass(frozen=True, slots=True)
class CvatTask:
    """A task, or a job of one; what a file says about the images that follow."""

    origin: Origin | None  # None where the file does not name it
    subset: str | None
    frames: range | None  # of a video, in the video's own numbers
    size_wh: tuple[int, int] | None  # of a video
    video_name: str | None
    size: int = 0  # in frames, deleted ones included
    offset: int = 0  # what a project export adds to numbers of frames, see `_in_project`

    def shift(self, frames: Iterable[int]) -> int:
        """What was added to these numbers of frames: the offset, if without it they lie within the task."""
        if not self.offset or self.frames is None:
            return 0
        return self.offset if all(frame - self.offset in self.frames for frame in frames) else 0


@dataclass(frozen=True, slots=True)
class CvatMeta:
    """What stands before the first image or track."""

    is_video: bool
    labels: tuple[str, ...]  # without those of skeleton points
    written: datetime | None
    task: CvatTask  # of task and job exports; empty in project exports
    tasks: dict[str, CvatTask]  # of project exports, by task id


def read_meta(path: Path) -> CvatMeta:
    """Read the head of a file. Raises PipelineError for CVAT XML of another version than 1.1."""
    head = _Head()
    with contextlib.suppress(_HeadRead):
        for _ in xml_stream.feed(path, head):
            pass
    if head.version not in ("", _VERSION):
        raise PipelineError(
            f"CVAT XML of version {head.version}",
            str(path),
            f'Only {_VERSION} is read: export again as "CVAT for images 1.1" or "CVAT for video 1.1"',
        )
    meta = head.meta()
    for task in (meta.task, *meta.tasks.values()):
        if task.frames is not None:
            refuse_span(_count(task.frames), str(path))
    return meta


def refuse_span(frames: int, where: str) -> None:
    """Raise PipelineError for more frames than a task can sensibly have: each takes memory."""
    if frames > MAX_FRAMES:
        raise PipelineError(
            f"frames over a span of {frames:,}, more than {MAX_FRAMES:,}",
            where,
            "Check start_frame, stop_frame and the frame numbers of tracks; split a longer video into several tasks",
        )


class _HeadRead(Exception):  # noqa: N818 - not an error: the rest of the file is not needed
    """The first image or track has come."""


class _Head:
    """Collects texts until the first image or track opens, those of each task and job by themselves."""

    def __init__(self) -> None:
        self.version = ""
        self._first = ""  # image or track
        self._labels: list[dict[str, str]] = []
        # Kind of scope, and texts by path below it: size, original_size/width, ...
        self._scopes: list[tuple[str, dict[str, str]]] = [("", {})]
        self._path: list[str] = []
        self._scope_depths = [0]
        self._text: list[str] = []

    def start(self, tag: str, _attributes: Mapping[str, str]) -> None:
        """Open an element; raises _HeadRead at the first image or track."""
        if len(self._path) == 1 and tag in ("image", "track"):
            self._first = tag
            raise _HeadRead
        self._path.append(tag)
        self._text = []
        if tag in ("task", "job"):
            self._scopes.append((tag, {}))
            self._scope_depths.append(len(self._path))
        elif tag == "label":
            self._labels.append({})

    def data(self, text: str) -> None:
        """Add text to that of the open element."""
        self._text.append(text)

    def end(self, tag: str) -> None:
        """Close an element and keep its text."""
        text, self._text = "".join(self._text).strip(), []
        if self._path == ["annotations", "version"]:
            self.version = text
        if tag in ("task", "job"):
            self._scope_depths.pop()
        elif "label" in self._path[:-1]:
            self._labels[-1].setdefault(tag, text)
        else:
            depth = self._scope_depths[-1]
            fields = self._scopes[-1 if depth else 0][1]
            fields.setdefault("/".join(self._path[depth:]), text)
        self._path.pop()

    def meta(self) -> CvatMeta:
        """The labels, tasks and sizes that `<meta>` told."""
        outer = {path.removeprefix("annotations/meta/"): text for path, text in self._scopes[0][1].items()}
        is_project = any(path.startswith("project/") for path in outer)
        modes = {fields.get("mode") for _, fields in self._scopes[1:]}
        is_video = self._first == "track" or (self._first != "image" and modes == {"interpolation"})
        subsets = frozenset(outer.get("project/subsets", "").split("\n")) - {""}
        # Job exports and old versions write <original_size> and <source> beside the task, not in it.
        found = [_task(kind, outer | fields, is_video, subsets) for kind, fields in self._scopes[1:]]
        nothing = CvatTask(None, None, None, None, None)
        return CvatMeta(
            is_video=is_video,
            labels=tuple(label["name"] for label in self._labels if "name" in label and "parent" not in label),
            written=_time(outer.get("dumped")),
            task=found[0] if found and not is_project else nothing,
            tasks={task.origin.task_id: task for task in _in_project(found) if task.origin and task.origin.task_id}
            if is_project
            else {},
        )


def _in_project(tasks: Iterable[CvatTask]) -> Iterator[CvatTask]:
    """The tasks of a project export with their offsets.

    CVAT numbers the frames of a subset through: it adds `start + step * size` of the tasks before, in the order of
    `<meta>`. (`ProjectData._init_task_frame_offsets` in cvat/apps/dataset_manager/bindings.py)
    """
    subset, offset = None, 0
    for task in tasks:
        if task.subset != subset:
            subset, offset = task.subset, 0
        yield replace(task, offset=offset)
        if task.frames is not None:
            offset += task.frames.start + task.frames.step * (task.size or _count(task.frames))


def _task(kind: str, fields: Mapping[str, str], is_video: bool, subsets: frozenset[str]) -> CvatTask:
    number, name = fields.get("id", ""), fields.get("name", "")
    origin = Origin(
        identity=_moment(fields["created"]) if fields.get("created") else "\0".join(["cvat", kind, number, name]),
        title=f"{kind} {number} {name}".strip(),
        task_id=number if kind == "task" else None,
        job_id=number if kind == "job" else None,
        is_video=is_video or fields.get("mode") == "interpolation",
        subsets=subsets,
    )
    size_wh = _numbers(fields, "original_size/width", "original_size/height")
    return CvatTask(
        origin=origin if number else None,
        subset=fields.get("subset") or None,
        frames=_frames(fields),
        size_wh=(size_wh[0], size_wh[1]) if size_wh else None,
        video_name=fields.get("source") or None,
        size=(_numbers(fields, "size") or [0])[0],
    )


def _moment(created: str) -> str:
    # To the microsecond. It is all that a job's head tells of its task, and unlike the name it never changes.
    time = _time(created)
    return f"cvat\0{time.astimezone(UTC).isoformat() if time else created}"


def _frames(fields: Mapping[str, str]) -> range | None:
    bounds = _numbers(fields, "start_frame", "stop_frame")
    if bounds is None:
        return None
    step = re.search(r"step\s*=\s*(\d+)", fields.get("frame_filter", ""))
    return range(bounds[0], bounds[1] + 1, max(1, int(step[1])) if step else 1)


def _count(frames: range) -> int:
    # What len() gives, which refuses numbers beyond the machine's.
    return -((frames.start - frames.stop) // frames.step)


def _numbers(fields: Mapping[str, str], *names: str) -> list[int] | None:
    try:
        return [int(fields[name]) for name in names]
    except (KeyError, ValueError):
        return None


def _time(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
