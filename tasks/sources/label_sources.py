"""Where exports lie before they are taken: a zip, a folder of exports, or the same in object storage."""

import hashlib
import logging
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from tqdm import tqdm

from tasks.clients.object_storage import Bucket, StoredObject
from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.whole_output import remove
from tasks.sources.archives import LITTER

log = logging.getLogger(__name__)

# A folder that holds one of these is an unpacked export itself, otherwise a collection of exports.
EXPORT_FOLDERS = {"annotations", "images", "imagesets", "jpegimages", "labels", "obj_train_data"}
YOLO_FILES = {"data.yaml", "data.yml", "obj.data"}  # they describe all that lies below their folder
CLASS_FILES = {"classes.txt", "obj.names"}  # so do these, but a list of class names may lie beside zips too
EXPORT_SUFFIXES = {
    *(".xml", ".json", ".yaml", ".yml", ".data", ".names"),
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif", ".gif"),
    *(".jp2", ".ppm", ".pgm", ".jxl"),
    *(".mp4", ".avi", ".mov", ".mkv", ".webm"),
}
# Labels too, those that parse only names among them; but beside folders they may be a list of these.
TABLE_SUFFIXES = {".csv", ".tsv", ".labels", ".jsonl", ".ndjson", ".manifest", ".parquet", ".tfrecord", ".record"}

DOWNLOADS_AT_ONCE = 8
SOURCES = "Set ingest.source in params.yaml to a CVAT zip, a folder of exports, or s3://bucket/prefix"

LocalFiles = Mapping[PurePosixPath, Path]  # path in the export -> file on this machine


@dataclass(frozen=True)
class Found:
    """One export of a source, not taken yet."""

    name: str  # its path below the source, without .zip
    source: str  # path or URL
    is_zip: bool
    paths: Sequence[PurePosixPath]  # in the source, a zip's one included; other people's, good for no file name yet
    size_bytes: int  # in the source
    fetch: Callable[[], AbstractContextManager[LocalFiles]]  # its files on this machine, while the context lasts
    revision: str | None = None  # see contracts.manifest.Export


def exports_in(source: str, endpoint_url: str | None, work: Path) -> list[Found]:
    """The exports of a source, by name. What a download brings lies below `work` until it is taken.

    Raises PipelineError if there is none, or if the source cannot be read.
    """
    found = _in_storage(source, endpoint_url, work) if source.startswith("s3://") else _on_disk(Path(source))
    if not found:
        raise PipelineError("no label export found", source, SOURCES)
    return found


class ExportPaths(NamedTuple):
    """The files of one export, as paths in the source."""

    name: str
    folder: PurePosixPath  # that the paths in the export are relative to
    paths: list[PurePosixPath]

    @property
    def is_zip(self) -> bool:
        """Whether the export is an archive; an unpacked one is never a single zip."""
        return len(self.paths) == 1 and _is_zip(self.paths[0])


def divide(paths: Iterable[PurePosixPath], name: str) -> list[ExportPaths]:
    """Divide the files of a source called `name` into exports, sorted by name.

    A zip is one export. So is a folder that directly holds labels, images or videos and no zip, with all that is below
    it, and a folder of a YOLO export even with zips: they are kept as its files, with a warning. Any other folder is a
    collection: each sub-folder is one export, or a collection again if there are zips in it.
    Hidden files are left out; files that belong to no export too, with a warning.
    Raises PipelineError if two exports would have one name.
    """
    seen = [path for path in paths if not _is_hidden(path)]
    parts = sorted(_divide(seen, PurePosixPath(), name))
    twice = [name for name, count in Counter(part.name for part in parts).items() if count > 1]
    if twice:
        raise PipelineError(
            "exports share a name", ", ".join(twice), "Rename or remove one: a zip, or the folder beside it"
        )
    alone = sorted(set(seen) - {path for part in parts for path in part.paths})
    if alone:
        log.warning("left out %d files that belong to no export: %s", len(alone), ", ".join(map(str, alone[:5])))
    inside = [path for part in parts if not part.is_zip for path in part.paths if _is_zip(path)]
    if inside:
        log.warning(
            "%d zips lie in unpacked exports and stay packed: %s. Move them out if they are exports themselves",
            len(inside),
            ", ".join(map(str, inside[:5])),
        )
    return parts


def _divide(paths: list[PurePosixPath], folder: PurePosixPath, name: str) -> Iterator[ExportPaths]:
    """The exports at and below `folder`, all of whose files `paths` are."""
    direct, below = [], defaultdict(list)
    for path in paths:
        first, *rest = path.relative_to(folder).parts
        if rest:
            below[first].append(path)
        else:
            direct.append(path)
    data = [path for path in direct if path.suffix.lower() in EXPORT_SUFFIXES]
    zips = [path for path in direct if _is_zip(path)]
    names = {path.name.lower() for path in direct}
    is_yolo = below and YOLO_FILES & names
    if is_yolo or (not zips and (data or CLASS_FILES & names or EXPORT_FOLDERS & {first.lower() for first in below})):
        yield ExportPaths(name, folder, paths)
        return
    yield from (ExportPaths(path.with_suffix("").as_posix(), folder, [path]) for path in zips)
    tables = [path for path in direct if path.suffix.lower() in TABLE_SUFFIXES]
    if data or tables:
        # With label files of YOLO, which are texts, beside images.
        texts = [path for path in direct if path.suffix.lower() == ".txt"]
        yield ExportPaths(name, folder, sorted({*data, *tables, *texts}))
    for first, inside in below.items():
        inner = folder / first
        if any(_is_zip(path) for path in inside):
            yield from _divide(inside, inner, inner.as_posix())
        else:
            yield ExportPaths(inner.as_posix(), inner, inside)


def _is_hidden(path: PurePath) -> bool:
    return any(part.startswith(".") or part in LITTER for part in path.parts)


def _is_zip(path: PurePosixPath) -> bool:
    return path.suffix.lower() == ".zip"


def _on_disk(source: Path) -> list[Found]:
    if source.is_dir():
        root, name = source, source.resolve().name
        seen = (path for path in root.rglob("*") if not _is_hidden(path.relative_to(root)))
        paths = sorted(path for path in seen if path.is_symlink() or not path.is_dir())
    elif source.is_file() and _is_zip(PurePosixPath(source)):
        root, name, paths = source.parent, source.stem, [source]
    else:
        raise PipelineError("ingest.source is neither a folder nor a zip", str(source), SOURCES)
    odd = [str(path) for path in paths if path != source and (path.is_symlink() or not path.is_file())]
    if odd:
        raise PipelineError("the source holds links or devices", f"\n{first_of(odd)}", "Put files in their place")
    return [_in_place(part, root) for part in divide([PurePosixPath(path.relative_to(root)) for path in paths], name)]


def _in_place(part: ExportPaths, root: Path) -> Found:
    files = {path.relative_to(part.folder): root / path for path in part.paths}
    return Found(
        name=part.name,
        source=str(root / (part.paths[0] if part.is_zip else part.folder)),
        is_zip=part.is_zip,
        paths=part.paths,
        size_bytes=sum(file.stat().st_size for file in files.values()),
        fetch=lambda: nullcontext(files),
    )


def _in_storage(source: str, endpoint_url: str | None, work: Path) -> list[Found]:
    bucket = Bucket(source, endpoint_url)
    # Paths are relative to the prefix; if the prefix is one object itself, to the folder it is in.
    below = f"{bucket.prefix}/" if bucket.prefix else ""
    listed = bucket.objects()
    if any(found.key == bucket.prefix for found in listed):
        below = bucket.prefix.rpartition("/")[0]
        below = f"{below}/" if below else ""
    objects = {found.key.removeprefix(below): found for found in listed}
    odd = [bucket.url_of(found.key) for key, found in objects.items() if not _is_path(key)]
    if odd:
        raise PipelineError("keys in the bucket are no paths", f"\n{first_of(odd)}", "Rename or remove these objects")
    work /= "ingest"
    found = [
        _stored(part, {path: objects[str(path)] for path in part.paths}, bucket, work)
        for part in divide(map(PurePosixPath, objects), PurePosixPath(bucket.prefix or bucket.name).stem)
    ]
    # A download that broke off goes on only while the object is the same.
    current = {export.revision for export in found}
    for outdated in [folder for folder in work.glob("*") if folder.name not in current]:
        remove(outdated)
    return found


def _is_path(key: str) -> bool:
    """Whether a key names a file below its folder, and is the only one to name it."""
    return str(PurePosixPath(key)) == key and not key.startswith("/") and not {".", ".."} & set(key.split("/"))


def _stored(part: ExportPaths, objects: Mapping[PurePosixPath, StoredObject], bucket: Bucket, work: Path) -> Found:
    wanted = {path.relative_to(part.folder): found for path, found in objects.items()}
    listing = "\n".join(f"{path} {found.size_bytes} {found.etag}" for path, found in sorted(wanted.items()))
    revision = hashlib.sha256(listing.encode()).hexdigest()
    first_path, first = next(iter(wanted.items()))
    return Found(
        name=part.name,
        source=bucket.url_of(first.key if part.is_zip else first.key.removesuffix(f"/{first_path}")),
        is_zip=part.is_zip,
        paths=part.paths,
        size_bytes=sum(found.size_bytes for found in wanted.values()),
        fetch=partial(_downloaded, wanted, bucket, work / revision),
        revision=revision,
    )


@contextmanager
def _downloaded(wanted: Mapping[PurePosixPath, StoredObject], bucket: Bucket, folder: Path) -> Iterator[LocalFiles]:
    size_bytes = sum(found.size_bytes for found in wanted.values())
    files = {path: folder / hashlib.sha256(path.as_posix().encode()).hexdigest() for path in wanted}
    with (
        tqdm(total=size_bytes, desc="download", unit="B", unit_scale=True, disable=None, leave=False) as bar,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
    ):
        for _ in pool.map(lambda path: bucket.download(wanted[path], files[path], bar.update), wanted):
            pass
    try:
        yield files
    finally:
        shutil.rmtree(folder)
