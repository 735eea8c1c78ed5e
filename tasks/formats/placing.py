"""Gives each labelled image its identity, its file and its group; of two exports of one image the newer one speaks."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tasks.formats.image_files import Ambiguous, ImageFiles
from tasks.formats.labels import SUPERSEDED, LabelFile, LabelledImage, LabelledObject
from tasks.formats.tally import Tally

GroupBy = Literal["auto", "folder", "task", "source", "image"]


@dataclass(slots=True)
class PlacedImage:
    """An image on its way into the tables."""

    image: LabelledImage
    label_file: LabelFile
    image_id: str
    group: str
    file: str | Ambiguous | None  # as in images.parquet; None: not held
    is_own: bool  # the file came with the labels; one from elsewhere may be another picture of the same name
    objects_before: int | None  # the same label file has listed the image before, with so many objects


class Placer:
    """Remembers which images have come. Label files must come newest first."""

    def __init__(self, image_files: ImageFiles, group_by: GroupBy, rename: Mapping[str, str], tally: Tally) -> None:
        self._image_files, self._group_by, self._rename, self._tally = image_files, group_by, rename, tally
        self._speakers: dict[int, LabelFile] = {}  # by hash of the image's identity without subset
        self._objects: dict[str, int] = {}  # by image id, of the label file that is being read
        self._reading: LabelFile | None = None

    def place(self, image: LabelledImage, label_file: LabelFile) -> PlacedImage | None:
        """Place an image; None if it is left out, or a newer export has it already."""
        self._tally.outside += image.outside
        newer = self._newer(image, label_file)
        if newer is not None:
            self._tally.superseded_by[label_file.export].add(newer.export)
            self._leave_out(image, label_file, "superseded", f"{SUPERSEDED} {newer.export}")
            return None
        if image.left_out is not None:
            self._leave_out(image, label_file, "skipped", image.left_out)
            return None
        if label_file is not self._reading:
            self._reading, self._objects = label_file, {}
        image_id = identify(image)
        before = self._objects.get(image_id)
        self._objects[image_id] = (before or 0) + len(image.objects)
        file, is_own = (None, True) if before is not None else self._find(image, label_file)
        group = group_of(image, image_id, label_file.source, self._group_by)
        return PlacedImage(image, label_file, image_id, group, file, is_own, before)

    def _newer(self, image: LabelledImage, label_file: LabelFile) -> LabelFile | None:
        # Without the subset: a task that was moved to another subset is still the same task.
        # Its hash, since the names of a million images would take a hundred megabytes.
        known = hash((image.origin.identity, image.origin.task_id, image.name))
        speaker = self._speakers.setdefault(known, label_file)
        return None if speaker is label_file else speaker

    def _leave_out(self, image: LabelledImage, label_file: LabelFile, what: str, reason: str) -> None:
        self._tally.image(label_file.export, "declared")
        self._tally.image(label_file.export, what)
        for labelled in image.objects:
            shape = labelled.shape if isinstance(labelled, LabelledObject) else "box"
            self._tally.objects[label_file.export, shape, self._rename.get(labelled[0], labelled[0]), reason] += 1

    def _find(self, image: LabelledImage, label_file: LabelFile) -> tuple[str | Ambiguous | None, bool]:
        if image.file is not None:
            return image.file, True
        name = image.held_as or image.name
        found = self._image_files.find(label_file.own_folders, name, image.subset, image.origin.subsets)
        if not isinstance(found, str):
            return found, True
        is_own = any(folder == "." or found.startswith(folder + "/") for folder in label_file.own_folders)
        return f"raw/{found}", is_own


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
