"""What every format is read into: a stream of images, each with everything labelled on it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

Points = list[tuple[float, float]]
PointShapes = Literal["ledger", "hull"]

# What becomes of objects that are marked as a crowd (COCO) or difficult (VOC).
CrowdAndDifficult = Literal["auto", "ignore", "count"]

# Why an object is in no table. A labeller reads these words in the ledger.
NOT_NUMBERS = "coordinates missing or not numbers"
INVERTED = "corners the wrong way round"
NO_AREA = "no area"
OUTSIDE_IMAGE = "wholly outside the image"
NO_LABEL = "no label"
LABEL_TOO_LONG = "label longer than parse.max_text_chars"
NO_PLACE = "a tag says what, not where"
POINTS_ALONE = "points have no extent (parse.points: hull boxes sets of them)"
NOTHING_VISIBLE = "no visible point"
MASK_MALFORMED = "mask does not fill its rectangle"
SIZE_UNKNOWN = "size of the image unknown, and coordinates relative to it"
FRAME_SKIPPED = "frame left out by parse.frame_step"
FRAME_DELETED = "frame deleted in CVAT"
LABEL_DROPPED = "label in parse.drop"
DELETED = "deleted by its labeller"
SUPERSEDED = "superseded by"  # and the newer export's name


class Details(NamedTuple):
    """What an object may have beside label, shape and box."""

    rotation: float = 0.0  # degrees, clockwise
    truncated: bool = False  # as the label file says; going over the border is found later
    track_id: str | None = None
    attributes: dict[str, object] | None = None
    points: Points | None = None
    refused: str | None = None  # the reason why there is no box; the four coordinates mean nothing then
    ignored: str | None = None  # as in objects.parquet


PLAIN = Details()


class LabelledObject(NamedTuple):
    """One object as labelled, with the tight box around it, in pixels (fractions where the image is `relative`)."""

    label: str
    shape: str  # box, rotated_box, ellipse, polygon, polyline, points, mask, cuboid, skeleton, tag
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    occluded: bool = False
    z_order: int = 0
    source: str = "file"  # manual, auto, semi-auto; file where the format does not say
    details: Details = PLAIN


# A plain box whose numbers are still text: label, x_min, y_min, x_max, y_max, occluded ("0" or "1"), z_order, source.
# Most objects of large CVAT files are of this kind, and reading numbers a column at a time takes half the time.
TextBox = tuple[str, str, str, str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where images were labelled. Equal for two exports of the same CVAT task, so that the newer one can take over."""

    identity: str  # goes into image ids
    title: str  # for people and groups
    task_id: str | None = None  # of a CVAT job it is not known
    job_id: str | None = None  # where only a job of the task was exported
    is_video: bool = False
    subsets: frozenset[str] = frozenset()  # of the whole export; tells a sub-folder of images from a subset


@dataclass(slots=True)
class LabelledImage:
    """One image or video frame that a label file declares."""

    name: str  # as the label file has it
    origin: Origin
    width: int | None  # pixels, as the label file says; None if it does not
    height: int | None
    subset: str | None = None
    frame: int | None = None
    file: str | None = None  # as in images.parquet, where the reader made or knows it; else it is looked for by name
    stored_as: str | None = None  # the name that its file has in the export, where that is another one
    video_name: str | None = None  # of the file that the frame can be decoded from
    left_out: str | None = None  # the reason why it is in no table, nor are its objects
    outside: int = 0  # marks that a track is not visible, counted on any one of its frames
    relative: bool = False  # coordinates are fractions of the image's size
    objects: list[LabelledObject | TextBox] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LabelFile:
    """One body of labels that was exported at once: a CVAT XML, a COCO JSON, a YOLO or VOC folder."""

    export: str  # folder of the export that holds it, below the ingest folder
    source: str  # name of that export: equal for a later version of it
    format: str
    path: Path  # what the reader opens
    folder: Path  # that its images lie below, if they came along
    own_folders: tuple[str, ...]  # in which its images are looked for first, relative to the ingest folder
    is_video: bool  # its images, if they came along, are frames of one video
    written: datetime  # when CVAT wrote it if it says so, else when it was taken in
    labels: tuple[str, ...]  # declared; empty if the format declares none
    read: Callable[[], Iterator[LabelledImage]]
    notes: list[str] = field(default_factory=list)  # what the reader leaves aside
