"""Where the label files of a YOLO export lie: Ultralytics' `data.yaml` and its variants, and `obj.data` of YOLO 1.1."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.contracts.errors import PipelineError
from tasks.formats.image_files import SUFFIXES

_SUBSETS = frozenset({"train", "val", "valid", "test"})  # other keys are subsets too, if they name what exists
_NO_SUBSETS = frozenset({"classes", "names", "backup", "download", "nc", "path", "kpt_names"})


@dataclass(frozen=True, slots=True)
class YoloEntry:
    """One image."""

    name: str  # without the folders of all images and of the subset
    subset: str
    label_file: Path | None  # None: there is none, so nothing is labelled on it


@dataclass(frozen=True, slots=True)
class YoloLayout:
    """A YOLO export."""

    labels: Mapping[int, str]
    numbers_per_point: int | None  # of pose; None without
    entries: list[YoloEntry]
    notes: list[str] = field(default_factory=list)


class _DataYaml(BaseModel):
    model_config = ConfigDict(extra="allow")

    names: dict[int, str] | list[str]
    path: str = "."
    kpt_shape: tuple[int, int] | None = None  # points per object, numbers per point


def is_data_yaml(path: Path) -> bool:
    """Whether a YAML file names classes and subsets."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return False
    return isinstance(content, dict) and "names" in content and any(map(_is_subset, content, content.values()))


def _is_subset(key: object, value: object) -> bool:
    is_text = isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)
    )
    return is_text and key not in _NO_SUBSETS


def read_data_yaml(path: Path) -> YoloLayout:
    """Read `data.yaml`: subsets are folders, lists of folders or images, or text files that list images."""
    try:
        data = _DataYaml.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise PipelineError(
            "not a sound data.yaml", f"{path}: {error.errors()[0]['msg']}", "Give names as a list or by number"
        ) from error
    names = dict(enumerate(data.names)) if isinstance(data.names, list) else data.names
    # `path` is often that of the machine that exported.
    root = path.parent / data.path if (path.parent / data.path).is_dir() else path.parent
    subsets = {
        key: [value] if isinstance(value, str) else list(value)
        for key, value in (data.model_extra or {}).items()
        if _is_subset(key, value)
    }
    return _layout(root, names, data.kpt_shape[1] if data.kpt_shape else None, subsets)


def read_obj_data(path: Path) -> YoloLayout:
    """Read `obj.data` of YOLO 1.1: lines `key = value`, each subset a text file that lists images."""
    values = {
        key.strip(): value.strip()
        for key, equals, value in (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
        if equals
    }
    names_file = _existing(path.parent, values.get("names", "obj.names"))
    if names_file is None:
        raise PipelineError("file of class names does not exist", f"{path}: names", "Export the labels again")
    names = dict(enumerate(names_file.read_text(encoding="utf-8").splitlines()))
    subsets = {key: [value] for key, value in values.items() if _is_subset(key, value)}
    return _layout(path.parent, names, None, subsets)


def _layout(
    root: Path, names: Mapping[int, str], numbers_per_point: int | None, subsets: Mapping[str, list[str]]
) -> YoloLayout:
    notes: list[str] = []
    entries = [
        entry for subset, items in subsets.items() for item in items for entry in _entries(root, subset, item, notes)
    ]
    shared = [file for file, count in Counter(entry.label_file for entry in entries).items() if file and count > 1]
    if shared:
        notes.append(
            f"{len(shared):,} label files belong to several images of one stem, each got all objects: "
            + ", ".join(file.name for file in shared[:5])
        )
    return YoloLayout(names, numbers_per_point, entries, notes)


def _entries(root: Path, subset: str, item: str, notes: list[str]) -> Iterator[YoloEntry]:
    found = _existing(root, item)
    if found is not None and found.suffix == ".txt":
        for line in found.read_text(encoding="utf-8-sig").splitlines():
            if line.strip():
                yield _entry(root, subset, line.strip())
    elif PurePosixPath(item).suffix.lower() in SUFFIXES:
        yield _entry(root, subset, item)
    else:
        folder = found if found is not None else _existing(root, _swapped(item))
        if folder is None:
            if subset in _SUBSETS:
                notes.append(f"subset {subset}: {item} does not exist")
            return
        yield from _folder_entries(root, subset, folder)


def _folder_entries(root: Path, subset: str, folder: Path) -> Iterator[YoloEntry]:
    # Images, and label files whose image did not come along: their names have no ending.
    images = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    entries = [_entry(root, subset, image.relative_to(root).as_posix()) for image in images]
    yield from entries
    swapped = _existing(root, _swapped(folder.relative_to(root).as_posix()))
    labels = swapped if swapped is not None else folder
    known = {entry.label_file for entry in entries}
    for path in sorted(labels.rglob("*.txt")):
        if path not in known:
            yield YoloEntry(_name(path.relative_to(root).with_suffix("").as_posix(), subset), subset, path)


def _entry(root: Path, subset: str, image: str) -> YoloEntry:
    # Beside the image in YOLO 1.1, in a like-named folder in Ultralytics' layout.
    stem = image.removesuffix(PurePosixPath(image).suffix)
    label_file = _existing(root, _swapped(stem) + ".txt") or _existing(root, stem + ".txt")
    return YoloEntry(_name(image, subset), subset, label_file)


def _existing(root: Path, item: str) -> Path | None:
    """The file or folder meant, never one outside of `root`."""
    parts = [part for part in PurePosixPath(item.replace("\\", "/")).parts if part not in (".", "..", "/")]
    # CVAT writes `data/` before its paths, though no such folder is in the archive.
    for inside in (parts, parts[1:] if parts[:1] == ["data"] else []):
        if inside and root.joinpath(*inside).exists():
            return root.joinpath(*inside)
    return root if not parts else None


def _swapped(path: str) -> str:
    parts = path.split("/")
    if "images" in parts:
        place = len(parts) - 1 - parts[::-1].index("images")
        parts[place] = "labels"
    return "/".join(parts)


def _name(path: str, subset: str) -> str:
    parts = list(PurePosixPath(path.replace("\\", "/")).parts)
    for place, part in enumerate(parts):
        if part in ("images", "labels") or (part.startswith("obj_") and part.endswith("_data")):
            parts = parts[place + 1 :]
            break
    if len(parts) > 1 and parts[0] == subset:
        parts = parts[1:]
    return "/".join(parts)
