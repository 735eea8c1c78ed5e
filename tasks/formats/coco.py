"""COCO 1.0 instances and keypoints, as CVAT and others write them."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from tasks.contracts.errors import PipelineError, first_of
from tasks.formats.coco_objects import CocoAnnotation, Id, coco_object
from tasks.formats.crowds import CrowdMarks
from tasks.formats.json_stream import read_members, value_at
from tasks.formats.labelled_image import LabelledImage, LabelledObject, Origin
from tasks.formats.text_files import read_text

_INSTANCES, _KEYPOINTS = "instances_", "person_keypoints_"
_MOST_PIXELS = 2**31  # of a side
_UNKNOWN_SHOWN = 20  # category ids by number

_Likeness = tuple[str, ...]  # equal for an object that two files have


class CocoCategory(BaseModel):
    """An entry of `categories`."""

    id: Id
    name: str


class CocoImage(BaseModel):
    """An entry of `images`; sizes in pixels."""

    id: Id
    file_name: str
    width: int | None = Field(default=None, le=_MOST_PIXELS)
    height: int | None = Field(default=None, le=_MOST_PIXELS)


@dataclass(slots=True)
class CocoFile:
    """The parts of a file that matter here; annotations stay text until their image's turn has come."""

    text: str
    labels: dict[int | str, str] = field(default_factory=dict)  # by category id
    images: list[CocoImage] = field(default_factory=list)
    places: dict[int | str, "array[int]"] = field(default_factory=lambda: defaultdict(lambda: array("q")))
    faults: list[str] = field(default_factory=list)
    crowds: CrowdMarks = field(default_factory=CrowdMarks)
    _listed: dict[int | str, CocoImage] = field(default_factory=dict)  # the first of each id
    _counts: Counter[str] = field(default_factory=Counter)
    _unknown: set[int | str] = field(default_factory=set)  # the first category ids that `labels` lacks

    def take(self, key: str, place: int, value: Any) -> None:
        """Take one entry of `categories`, `images` or `annotations`."""
        try:
            if key == "categories":
                category = CocoCategory.model_validate(value)
                first = self.labels.setdefault(category.id, category.name)
                if first != category.name:
                    self._note_second(key, category.id, first, category.name)
            elif key == "images":
                image = CocoImage.model_validate(value)
                self.images.append(image)
                listed = self._listed.setdefault(image.id, image)
                if listed != image:
                    self._note_second(key, image.id, listed.file_name, image.file_name)
            elif key == "annotations":
                annotation = CocoAnnotation.model_validate(value)
                self.places[annotation.image_id].append(place)
                self.crowds.note(annotation.iscrowd, annotation.segmentation, annotation.attributes)
        except ValidationError as error:
            for fault in error.errors():
                where = ".".join(map(str, (key, self._counts[key], *fault["loc"])))
                self.faults.append(f"{where}: {fault['msg']}")
        self._counts[key] += 1

    def _note_second(self, key: str, given: int | str, first: str, second: str) -> None:
        # Whose the objects are cannot be told.
        both = f'"{first}" and "{second}"' if first != second else f'"{first}" twice, in two sizes'
        self.faults.append(f"{key}.{self._counts[key]}.id: {given} is that of {both}")

    def objects(self, image: CocoImage, ignores: Set[str]) -> Iterator[tuple[_Likeness, LabelledObject]]:
        """What is labelled on an image; asked again, nothing."""
        for place in self.places.pop(image.id, ()):
            annotation = CocoAnnotation.model_validate(value_at(self.text, place))
            label, unknown = self._label(annotation.category_id)
            read = coco_object(annotation, label, no_label=unknown, ignores=ignores)
            yield (str(annotation.id), label, str(annotation.bbox)), read

    def _label(self, category_id: int | str | None) -> tuple[str, str | None]:
        """The label, and the reason if the file has none of that id."""
        if category_id is None:
            return "", None
        if category_id in self.labels:
            return self.labels[category_id], None
        # Each is a row of the ledger, which a file that numbers all its objects would make endless.
        if len(self._unknown) < _UNKNOWN_SHOWN:
            self._unknown.add(category_id)
        if category_id not in self._unknown:
            return "category unknown", "category_id is not in categories"
        return f"category {category_id}", f"category_id {category_id} is not in categories"


def read_coco(path: Path) -> CocoFile | None:
    """Read a file; None for other JSON. Raises PipelineError naming all that is missing or of the wrong kind."""
    found = CocoFile(read_text(path))
    try:
        keys = read_members(found.text, found.take)
    except (ValueError, RecursionError) as error:
        raise PipelineError("JSON cannot be read", f"{path}: {error}", "Export the labels again") from error
    if {"items", "categories"} <= keys:
        raise PipelineError("Datumaro format", str(path), 'Export as "CVAT for images 1.1"')
    if not {"images", "annotations", "categories"} <= keys:
        return None
    if found.faults:
        raise PipelineError("not a sound COCO file", f"{path}:\n{first_of(found.faults)}\n", "Export the labels again")
    return found


def coco_to_labels(
    paths: Sequence[Path], export: Origin, notes: list[str], *, ignores: Set[str] = frozenset()
) -> Iterator[LabelledImage]:
    """Read the files of one subset image by image, in the first one's order.

    An annotation that several have is one object, as the last has it; how many there are of these is added to `notes`.
    """
    first, *others = [_whole_file(path) for path in paths]
    unlike = [_by_name(other) for other in others]
    subset, twice = coco_subset(paths[0]), 0
    for image in first.images:
        objects = list(first.objects(image, ignores))
        for other, images in zip(others, unlike, strict=True):
            more = [one for like in images.pop(image.file_name, ()) for one in other.objects(like, ignores)]
            twice += len(objects) + len(more)
            objects = _merged(objects, more)
            twice -= len(objects)
        yield _image(image, export, subset, objects)
    for other, images in zip(others, unlike, strict=True):
        for image in chain.from_iterable(images.values()):
            yield _image(image, export, subset, list(other.objects(image, ignores)))
    if twice:
        notes.append(f"{twice:,} annotations are in {' and in '.join(path.name for path in paths)}, each is one object")


def coco_subset(path: Path) -> str | None:
    """The subset that a file's name tells: what follows `instances_` or `person_keypoints_`."""
    prefix = next(filter(path.stem.lower().startswith, (_INSTANCES, _KEYPOINTS)), None)
    return None if prefix is None else path.stem[len(prefix) :]


def coco_parts(path: Path) -> list[Path]:
    """The files that tell of the same subset, this one among them."""
    subset = coco_subset(path)
    if subset is None:
        return [path]
    beside = {other.name.lower(): other for other in sorted(path.parent.iterdir()) if other.is_file()} | {
        path.name.lower(): path
    }
    names = [f"{prefix}{subset}{path.suffix}".lower() for prefix in (_INSTANCES, _KEYPOINTS)]
    return [beside[name] for name in names if name in beside]


def _whole_file(path: Path) -> CocoFile:
    found = read_coco(path)
    assert found is not None, f"{path} was recognised as COCO"
    strays = found.places.keys() - {image.id for image in found.images}
    if strays:
        raise PipelineError(
            "annotations of images that the file does not list",
            f"{path}: image ids {', '.join(map(str, sorted(strays, key=str)[:20]))}, {len(strays):,} in all",
            "Export the labels again",
        )
    return found


def _by_name(file: CocoFile) -> dict[str, list[CocoImage]]:
    images: dict[str, list[CocoImage]] = defaultdict(list)
    for image in file.images:
        images[image.file_name].append(image)
    return images


def _merged(
    objects: list[tuple[_Likeness, LabelledObject]], more: list[tuple[_Likeness, LabelledObject]]
) -> list[tuple[_Likeness, LabelledObject]]:
    fuller: dict[_Likeness, list[tuple[_Likeness, LabelledObject]]] = defaultdict(list)
    for one in more:
        fuller[one[0]].append(one)
    merged = [fuller[one[0]].pop(0) if fuller[one[0]] else one for one in objects]
    return [*merged, *chain.from_iterable(fuller.values())]


def _image(
    image: CocoImage, export: Origin, subset: str | None, objects: list[tuple[_Likeness, LabelledObject]]
) -> LabelledImage:
    return LabelledImage(
        name=image.file_name,
        origin=export,
        width=image.width or None,
        height=image.height or None,
        subset=subset,
        objects=[labelled for _, labelled in objects],
    )
