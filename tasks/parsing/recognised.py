"""A body of labels that was recognised, and how it is to be read."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tasks.formats.crowds import CrowdMarks
from tasks.formats.labelled_image import CrowdAndDifficult, LabelledImage, Origin, PointShapes


@dataclass(frozen=True, slots=True)
class Reading:
    """Where label files are read from, and what section `parse` says of their reading."""

    raw: Path  # the ingest folder
    points: PointShapes
    frame_step: int
    annotations: Path  # for pictures that label files hold within
    crowd_and_difficult: CrowdAndDifficult
    ignores: frozenset[str] = frozenset()  # CROWD, DIFFICULT: what `crowd_and_difficult` means for an export


@dataclass(frozen=True, slots=True)
class Recognised:
    """Label files of one format that are read together, such as a task of CVAT or a COCO file."""

    format: str
    path: Path  # what the reader opens
    folder: Path  # that its images lie below, if they came along
    labels: tuple[str, ...]  # declared
    read: Callable[[Origin, Reading], Iterator[LabelledImage]]  # the origin stands for images without one of their own
    files: Collection[Path]  # that it stands for: all label files that its reader opens, or leaves aside with a note
    written: datetime | None = None
    is_video: bool = False  # its images, if they came along, are frames of one video
    subsets: frozenset[str] = frozenset()
    crowds: CrowdMarks = field(default_factory=CrowdMarks)
    notes: list[str] = field(default_factory=list)
    images: frozenset[str] = frozenset()  # near base names of all, where they are known without reading labels
