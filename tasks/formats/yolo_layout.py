"""Where the label files of a YOLO export lie: Ultralytics' `data.yaml` and its variants, and `obj.data` of YOLO 1.1."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from tasks.contracts.errors import PipelineError
from tasks.formats.text_files import read_text
from tasks.formats.yolo_entries import USUAL_SUBSETS, Entries, YoloEntry, YoloFiles, find_entries

_NO_SUBSETS = frozenset({"classes", "names", "backup", "download", "nc", "path", "kpt_names", "kpt_shape"})
_NOTHING = frozenset({"", "~", "null"})  # in YAML
_NAMES = re.compile(r"""^[\s{"']*names["']?\s*:""", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class YoloLayout:
    """Classes, images and label files of a YOLO export."""

    labels: Mapping[int, str]
    numbers_per_point: int | None  # of pose; None without
    entries: list[YoloEntry]
    notes: list[str] = field(default_factory=list)
    passed_over: list[Path] = field(default_factory=list)  # label files that a list of images leaves out

    @property
    def is_found(self) -> bool:
        """Whether any image or label file lies where the export says."""
        return any(entry.image or entry.label_file for entry in self.entries)


class _DataYaml(BaseModel):
    names: dict[int, str] | list[str]
    kpt_shape: tuple[int, int] | None = None  # points per object, numbers per point


def read_data_yaml(path: Path, export: Path) -> YoloLayout | None:
    """Read `data.yaml`; None for other YAML, which names no classes or no subset.

    Subsets are folders, lists of folders or images, or text files that list images. Nothing outside of the folder
    `export` is read.
    """
    content = _content(path)
    subsets = {key: items for key, value in content.items() if key not in _NO_SUBSETS and (items := _texts(value))}
    if "names" not in content:
        return None
    found = _first_found(_roots(path.parent, content.get("path"), export), subsets)
    if not found.entries and not any(key.lower() in USUAL_SUBSETS for key in subsets):
        return None
    try:
        data = _DataYaml.model_validate(content)
    except ValidationError as error:
        raise PipelineError(
            "not a sound data.yaml", f"{path}: {error.errors()[0]['msg']}", "Give names as a list or by number"
        ) from error
    return YoloLayout(_numbered(data.names), data.kpt_shape[1] if data.kpt_shape else None, *found)


def _numbered(names: dict[int, str] | list[str]) -> dict[int, str]:
    return dict(enumerate(names)) if isinstance(names, list) else names


def names_of_yaml(path: Path) -> dict[int, str]:
    """The class names of a YAML, whatever else it says; none if it has none that are sound."""
    try:
        return _numbered(_DataYaml.model_validate(_content(path)).names)
    except (ValidationError, PipelineError):
        return {}


def read_obj_data(path: Path) -> YoloLayout:
    """Read `obj.data` of YOLO 1.1: lines `key = value`, each subset a text file that lists images."""
    values = {
        key.strip(): value.strip()
        for key, equals, value in (line.partition("=") for line in read_text(path).splitlines())
        if equals
    }
    names_file = YoloFiles(path.parent).find(values.get("names", "obj.names"))
    if names_file is None:
        raise PipelineError("file of class names does not exist", f"{path}: names", "Export the labels again")
    subsets = {key: [value] for key, value in values.items() if key not in _NO_SUBSETS and value}
    return YoloLayout(dict(enumerate(read_text(names_file).splitlines())), None, *find_entries(path.parent, subsets))


def _content(path: Path) -> Mapping[str, object]:
    """A YAML's outermost keys, if `names` may be one; every number, date and yes is text, as class names may be."""
    try:
        content = read_text(path)
    except PipelineError:
        if not _NAMES.search(path.read_bytes().decode("latin-1")):
            return {}
        raise
    if not _NAMES.search(content):
        return {}
    try:
        # It makes nothing but text, lists and dicts.
        found = yaml.load(content, yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError) as error:
        raise PipelineError("YAML cannot be read", f"{path}: {error}", "Correct it or remove it") from error
    if not isinstance(found, dict):
        return {}
    return {key.lower() if key.lower() in _NO_SUBSETS else key: value for key, value in found.items()}


def _texts(value: object) -> list[str]:
    items = value if isinstance(value, list) else [value]
    texts = [item for item in items if isinstance(item, str) and item not in _NOTHING]
    return texts if len(texts) == len(items) else []


def _roots(own: Path, declared: object, export: Path) -> list[Path]:
    """The folders that paths may start from, the narrower one first."""
    try:
        # Often that of the machine that exported.
        inside = (own / str(declared or ".")).resolve().relative_to(export.resolve())
        is_there = (export / inside).is_dir()
    except (OSError, ValueError):
        return [own]
    return sorted({export / inside: None, own: None} if is_there else [own], key=lambda root: -len(root.parts))


def _first_found(roots: Iterable[Path], subsets: Mapping[str, Sequence[str]]) -> Entries:
    found = Entries([], [], [])
    for root in roots:
        found = find_entries(root, subsets)
        if any(entry.image or entry.label_file for entry in found.entries):
            break
    return found
