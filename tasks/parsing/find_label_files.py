"""Which exports an ingest folder holds, and the label files in each."""

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.manifest import MANIFEST, Export, Manifest
from tasks.contracts.record import read_record
from tasks.contracts.tables import CROWD, DIFFICULT
from tasks.formats.crowds import CrowdMarks
from tasks.formats.image_paths import IMAGE_SUFFIXES
from tasks.formats.labelled_image import LabelFile, LabelledImage, Origin
from tasks.parsing.detect_format import READS
from tasks.parsing.ignored import Ignored
from tasks.parsing.loose_labels import recognise
from tasks.parsing.recognised import Reading, Recognised
from tasks.parsing.video_frames import SUFFIXES as VIDEO_SUFFIXES

log = logging.getLogger(__name__)

# What CVAT calls its files: task_5_dataset_2026_01_02_03_04_05_coco 1.0. Where it puts the name of the task in place of
# its number, or a person has renamed the file, nothing tells two tasks apart, and the name stays as it is.
_STAMPED = re.compile(
    r"(?P<of>(?:.*/)?(?:task|job|project)_\d+)_(?:annotations|dataset)_(?P<when>\d{4}(?:_\d\d){5})_(?P<format>.+?)"
    r"(?: ?\(\d+\))?"  # of browsers, for a second download
)
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Export:
    folder: str  # relative to the ingest folder, "." for that folder itself
    name: str  # equal for a later version of the same export
    dated: datetime  # of files that do not say when they were written
    is_outdated: bool = False  # there is a later version


def find_label_files(raw: Path, reading: Reading, ignored: Sequence[str] = ()) -> list[LabelFile]:
    """All label files below the ingest folder, newest first.

    Without a manifest every folder that holds labels is an export. ignored: patterns of paths, relative to `raw`, that
    are passed over. Raises PipelineError naming each file or folder that cannot be read, or if there are no labels at
    all.
    """
    if not raw.is_dir():
        raise PipelineError("folder does not exist", str(raw), "Run ingest, or pass --raw DIR")
    faults: list[str] = []
    ignore = Ignored(raw, ignored)
    recognised = list(_exports(raw, faults, ignore))
    ignore.tell()
    if faults:
        raise PipelineError("exports cannot be read", f"\n{first_of(faults)}\n", f"Formats that are read: {READS}")
    if not recognised:
        raise PipelineError("no labels found", str(raw), f"Put exports there. Formats that are read: {READS}")
    return _newest_first(_label_files(raw, recognised, reading))


def _label_files(raw: Path, found: list[tuple[_Export, Recognised]], reading: Reading) -> list[LabelFile]:
    # The subsets of an export are of one hand: what `iscrowd` means is asked of all together.
    crowds: dict[str, CrowdMarks] = defaultdict(CrowdMarks)
    for export, recognised in found:
        crowds[export.folder].add(recognised.crowds)
    files: list[LabelFile] = []
    for export, recognised in found:
        marks = crowds[export.folder]
        note = marks.sentence(reading.crowd_and_difficult) if recognised.crowds.crowds else None
        if note and note not in (earlier for file in files for earlier in file.notes if file.export == export.folder):
            recognised.notes.append(note)
        crowd = {CROWD} if marks.are_ignored(reading.crowd_and_difficult) else set()
        difficult = {DIFFICULT} if reading.crowd_and_difficult != "count" else set()
        of_export = replace(reading, ignores=frozenset(crowd | difficult))
        files.append(_label_file(raw, export, recognised, of_export))
    return files


def _newest_first(files: list[LabelFile]) -> list[LabelFile]:
    """By when they were written; but of one export the later version, whatever date its files bear.

    files: in the order in which their exports were taken.
    """
    dates: dict[str, datetime] = {}  # by name of the export
    placed = []
    for number, file in enumerate(files):
        dates[file.source] = max(file.written, dates.get(file.source, file.written))
        placed.append((dates[file.source].timestamp(), number, file))
    return [file for _, _, file in sorted(placed, key=lambda place: place[:2], reverse=True)]


def _exports(raw: Path, faults: list[str], ignore: Ignored) -> Iterator[tuple[_Export, Recognised]]:
    if not (raw / MANIFEST).is_file():
        for recognised in sorted(recognise(raw, faults, ignore), key=lambda found: _stamp(found.folder.name) or _NEVER):
            folder = recognised.folder.relative_to(raw).as_posix()
            taken = datetime.fromtimestamp(recognised.path.stat().st_mtime, UTC)
            name = raw.resolve().name if folder == "." else folder
            yield _Export(folder, _lasting_name(name), _stamp(name) or taken), recognised
        return
    exports = read_record(raw / MANIFEST, Manifest).exports
    own_faults: dict[str, list[str]] = {export.folder: [] for export in exports}
    recognised_in = {
        export.folder: list(recognise(raw / export.folder, own_faults[export.folder], ignore)) for export in exports
    }
    dates = _dates(exports, recognised_in)
    # Of exports that bear a time the latest is the newest, in whatever order they were taken.
    ordered = sorted(exports, key=lambda export: _stamp(export.name) or _NEVER)
    latest = {_lasting_name(export.name): export for export in ordered}
    for export in ordered:
        folder, found = export.folder, recognised_in[export.folder]
        if not found and not own_faults[folder] and not _has_media(raw / folder):
            own_faults[folder].append(f"no known format: {raw / folder}, from {export.source}")
        name = _lasting_name(export.name)
        is_outdated = latest[name] is not export
        if is_outdated:
            _tell_corrected(own_faults[folder])
        else:
            faults += own_faults[folder]
        for one in found:
            yield _Export(folder, name, dates[folder], is_outdated), one


def _dates(exports: list[Export], recognised: dict[str, list[Recognised]]) -> dict[str, datetime]:
    """By folder the time that an export's name bears, or else one behind those of all that stand before it."""
    dates, last = {}, _NEVER
    for number, export in enumerate(exports, start=1):
        stamp = _stamp(export.name)
        dates[export.folder] = stamp or last + timedelta(microseconds=number)
        last = max(last, stamp or _NEVER, *(found.written or _NEVER for found in recognised[export.folder]))
    return dates


def _lasting_name(name: str) -> str:
    """The name without the time at which CVAT made the file, so that the next one is a version of the same export."""
    stamped = _STAMPED.fullmatch(name)
    return f"{stamped['of']}_{stamped['format']}" if stamped else name


def _stamp(name: str) -> datetime | None:
    stamped = _STAMPED.fullmatch(name)
    try:
        return datetime.strptime(stamped["when"], "%Y_%m_%d_%H_%M_%S").replace(tzinfo=UTC) if stamped else None
    except ValueError:
        return None


def _tell_corrected(faults: list[str]) -> None:
    """An export that was corrected stays beside its corrected version: its faults must not stop the run for ever."""
    for fault in faults:
        log.warning("there is a later version, this one is left out: %s", fault)


def _until_fault(images: Iterator[LabelledImage]) -> Iterator[LabelledImage]:
    try:
        yield from images
    except PipelineError as fault:
        _tell_corrected([str(fault)])


def _has_media(folder: Path) -> bool:
    # Images or a video by themselves are joined to labels of other exports.
    return any(path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES for path in folder.rglob("*"))


def _label_file(raw: Path, export: _Export, recognised: Recognised, reading: Reading) -> LabelFile:
    # The path too: an export may hold several label files, in which names repeat.
    inside = recognised.path.relative_to(raw / export.folder).as_posix()
    origin = Origin(identity=f"{export.name}\0{inside}", title=export.name, subsets=recognised.subsets)
    read = partial(recognised.read, origin, reading)
    return LabelFile(
        export=export.folder,
        source=export.name,
        format=recognised.format,
        path=recognised.path,
        folder=recognised.folder,
        own_folders=tuple(dict.fromkeys([recognised.folder.relative_to(raw).as_posix(), export.folder])),
        is_video=recognised.is_video,
        written=recognised.written or export.dated,
        labels=recognised.labels,
        read=(lambda: _until_fault(read())) if export.is_outdated else read,
        notes=recognised.notes,
    )
