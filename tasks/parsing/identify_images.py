"""Gives each labelled image its identity, its file and its group; of two exports of one image the newer one speaks."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tasks.formats.image_paths import RepeatedNames, base_name, has_ending_of, is_nearly, repeated_names
from tasks.formats.labelled_image import FRAME_DELETED, SUPERSEDED, LabelFile, LabelledImage, LabelledObject, Origin
from tasks.parsing.ledger_builder import LedgerBuilder
from tasks.parsing.resolve_images import Ambiguous, ImageFiles

GroupBy = Literal["auto", "folder", "task", "source", "image"]


@dataclass(slots=True)
class PlacedImage:
    """An image on its way into the tables."""

    image: LabelledImage
    label_file: LabelFile
    image_id: str
    group: str
    file: str | Ambiguous | None  # as in images.parquet; None: there is none
    is_own: bool  # the file came with the labels; one from elsewhere may be another picture of the same name
    objects_before: int | None  # the same label file has listed the image before, with so many objects
    is_nearly_named: bool = False  # the file is not called so, but nearly, and is the only one


@dataclass(frozen=True, slots=True)
class _Speaker:
    """What a label file says of one task."""

    given: Origin  # as the reader gives it
    origin: Origin  # with the title of the newest export of the task
    label_file: LabelFile
    newer: LabelFile | None  # which says all of this task, and lacks what was deleted


class ImageIdentifier:
    """Remembers which images have come. Label files must come newest first."""

    def __init__(
        self, image_files: ImageFiles, group_by: GroupBy, rename: Mapping[str, str], builder: LedgerBuilder
    ) -> None:
        self._image_files, self._group_by, self._rename, self._builder = image_files, group_by, rename, builder
        self.left_out: set[str] = set()  # files of images that are left out, as in images.parquet
        self._speakers: dict[int, _Speaker] = {}  # by hash of the image's identity without subset
        self._last: _Speaker | None = None
        self._complete: dict[tuple[str | bool | None, ...], LabelFile] = {}  # by task or job
        self._first: dict[str, Origin] = {}  # by identity
        self._repeated: tuple[LabelFile, RepeatedNames] | None = None  # of the label file that is being read
        self._objects: dict[str, int] = {}  # by image id, of the label file that is being read
        self._reading: LabelFile | None = None

    def place(self, image: LabelledImage, label_file: LabelFile) -> PlacedImage | None:
        """Place an image; None if it is left out, or a newer export has it already."""
        self._builder.outside += image.outside
        if self._last is None or self._last.given is not image.origin or self._last.label_file is not label_file:
            self._last = self._speaker(image.origin, label_file)
        image.origin = self._last.origin
        newer = self._last.newer or self._newer_image(image.name, self._last)
        if newer is not None:
            self._builder.superseded_by[label_file.export].add(newer.export)
            self._leave_out(image, label_file, "superseded", f"{SUPERSEDED} {newer.export}")
            return None
        if image.left_out is not None:
            what = "deleted" if image.left_out == FRAME_DELETED else "skipped"
            self._leave_out(image, label_file, what, image.left_out)
            return None
        if label_file is not self._reading:
            self._reading, self._objects = label_file, {}
        image_id = identify(image)
        before = self._objects.get(image_id)
        self._objects[image_id] = (before or 0) + len(image.objects)
        file, is_own = (None, True) if before is not None else self._find(image, label_file)
        group = group_of(image, image_id, label_file.source, self._group_by)
        is_near = isinstance(file, str) and image.file is None and is_nearly(image.stored_as or image.name, file)
        return PlacedImage(image, label_file, image_id, group, file, is_own, before, is_near)

    def _speaker(self, given: Origin, label_file: LabelFile) -> _Speaker:
        # Jobs of a task, and the task under an earlier name, are one group.
        first = self._first.setdefault(given.identity, given)
        origin = replace(given, title=first.title) if _may_be_one_task(first, given) else given
        return _Speaker(given, origin, label_file, self._newer_version(origin, label_file))

    def _newer_version(self, origin: Origin, label_file: LabelFile) -> LabelFile | None:
        """A newer export of the whole task or job, or version of the file: an image that it lacks was deleted."""
        task = (origin.identity, origin.is_video)
        newest = self._complete.setdefault((*task, origin.task_id, origin.job_id), label_file)
        newest_task = newest
        if origin.job_id is None:
            self._complete.setdefault(task, label_file)
        else:
            newest_task = self._complete.get(task, label_file)
        # Files of one moment are parts of one export.
        return next((file for file in (newest, newest_task) if file.written != label_file.written), None)

    def _newer_image(self, name: str, speaker: _Speaker) -> LabelFile | None:
        origin = speaker.origin
        # Without the subset: a task that was moved to another subset is still the same task. First without the task,
        # which a job does not know. Hashes, since the names of a million images would take a hundred megabytes.
        for task_id in (None, origin.task_id):
            first = self._speakers.setdefault(hash((origin.identity, task_id, name)), speaker)
            if first is speaker:
                return None
            if _may_be_one_task(first.origin, origin):
                return None if first.label_file is speaker.label_file else first.label_file
        return None

    def _leave_out(self, image: LabelledImage, label_file: LabelFile, what: str, reason: str) -> None:
        self._builder.image(label_file.export, "declared")
        self._builder.image(label_file.export, what)
        file, _ = self._find(image, label_file)
        if isinstance(file, str):
            self.left_out.add(file)
        for labelled in image.objects:
            shape = labelled.shape if isinstance(labelled, LabelledObject) else "box"
            self._builder.objects[label_file.export, shape, self._rename.get(labelled[0], labelled[0]), reason] += 1

    def _find(self, image: LabelledImage, label_file: LabelFile) -> tuple[str | Ambiguous | None, bool]:
        if image.file is not None:
            return image.file, True
        name = image.stored_as or image.name
        found = self._image_files.find(
            label_file.own_folders,
            name,
            image.subset,
            image.origin.subsets,
            lambda: base_name(name) not in self._repeated_in(label_file).bases,
            is_sole_nearly=lambda key: key not in self._repeated_in(label_file).near_names,
        )
        if not isinstance(found, str):
            return found, True
        is_own = any(folder == "." or found.startswith(folder + "/") for folder in label_file.own_folders)
        # With another ending too it may be another picture.
        return f"raw/{found}", is_own and has_ending_of(name, found)

    def _repeated_in(self, label_file: LabelFile) -> RepeatedNames:
        # Reads the file once more, but only where an image is not found by its whole name.
        if self._repeated is None or self._repeated[0] is not label_file:
            names = (image.stored_as or image.name for image in label_file.read())
            self._repeated = label_file, repeated_names(names)
        return self._repeated[1]


def _may_be_one_task(one: Origin, other: Origin) -> bool:
    return one.identity == other.identity and (None in (one.task_id, other.task_id) or one.task_id == other.task_id)


def identify(image: LabelledImage) -> str:
    """The stable id of an image: from where it was labelled, its subset, its task and its name."""
    origin = image.origin
    parts = (origin.identity, image.subset or "", origin.task_id or "", image.name)
    # 64 bits: among ten million images two ids meet with a probability of 3 in a million.
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


def group_of(image: LabelledImage, image_id: str, source: str, group_by: GroupBy) -> str:
    """The group that a split never divides."""
    if group_by == "image":
        return image_id
    if group_by == "source":
        return source
    folder = image.name.replace("\\", "/").rpartition("/")[0]
    if group_by == "task" or not folder or (group_by == "auto" and image.origin.is_video):
        return image.origin.title
    return f"{image.origin.title}/{folder}"
