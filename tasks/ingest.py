"""Take label exports in, exactly as they came.

An export that is there already is not taken again, and none is ever removed. Other content under a known name is a new
version and lies beside the old one; the later stands above the earlier. All faults of a source are told at once,
and its sound exports are taken all the same.

In:
  ingest.source           in params, one of
    labels.zip            one export
    folder/               of exports: zips, unpacked exports (each sub-folder one), loose images or videos
    s3://bucket/prefix    the same in object storage; a download that broke off goes on where it stopped

Out:
  --raw                   data/raw
    manifest.json         each export: name, folder, source, sha256, bytes, files
    <folder>/             its files, unpacked

Params: ingest

Example:
  python -m tasks.ingest --raw data/raw
"""

import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field
from tqdm import tqdm

from tasks.clients.object_storage import ObjectError
from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.machine_faults import is_below, is_full
from tasks.contracts.manifest import MANIFEST, Export, Manifest
from tasks.contracts.params import read_params
from tasks.contracts.record import read_record, write_record
from tasks.contracts.whole_output import remove, whole_output
from tasks.execution.stage_command import run
from tasks.sources.archives import ArchiveError, Limits, name_faults, unpack
from tasks.sources.label_sources import Found, LocalFiles, exports_in

log = logging.getLogger(__name__)


class IngestParams(Limits):
    """Where exports come from, and how much one may hold."""

    source: str = Field(
        min_length=1, description="where the labels are: a CVAT zip, a folder of exports, or s3://bucket/prefix"
    )
    endpoint_url: str | None = Field(default=None, description="S3 endpoint; null: AWS_ENDPOINT_URL, or else AWS")


def ingest(found: Iterable[Found], manifest: Manifest, raw: Path, limits: Limits) -> Manifest:
    """Take what is new into `raw`, export by export; each is noted in the manifest as soon as it is whole.

    Raises PipelineError with the faults of all exports, after the sound ones are taken; at once if storage is gone.
    """
    faults = []
    for export in found:
        try:
            manifest = _take(export, manifest, raw, limits)
        except ArchiveError as error:
            faults += [f"{export.source}: {fault}" for fault in error.faults]
        except ObjectError as error:
            faults.append(f"{error.what}: {error.where}")
        except OSError as error:
            if is_full(error) or is_below(error, raw):
                # No fault of this export, nor would there be room for the next, or the right to write it.
                raise
            faults.append(f"{export.source}: {error}")
    if faults:
        raise PipelineError(
            "faults in the source", f"\n{first_of(faults)}", "Correct or remove these exports and run again"
        )
    return manifest


def _take(export: Found, manifest: Manifest, raw: Path, limits: Limits) -> Manifest:
    known = _first(manifest, lambda entry: export.revision in entry.revisions)
    if known:
        return _taken_before(known, export, manifest, raw)
    faults = name_faults([path.as_posix() for path in export.paths])
    faults += limits.faults(len(export.paths), export.size_bytes)
    if faults:
        raise ArchiveError(faults)
    with export.fetch() as files:
        sha256 = _sha256(files, export.is_zip)
        known = _first(manifest, lambda entry: entry.sha256 == sha256)
        if known:
            return _taken_before(known, export, manifest, raw)
        folder = _folder(export.name, sha256, manifest)
        with whole_output(raw / folder) as partial_folder:
            if export.is_zip:
                count, size_bytes = unpack(next(iter(files.values())), partial_folder, limits)
            else:
                count, size_bytes = _copy(files, partial_folder)
    entry = Export(
        name=export.name,
        folder=folder,
        source=export.source,
        sha256=sha256,
        bytes=size_bytes,
        files=count,
        revision=export.revision,
    )
    return _noted(Manifest(exports=[*manifest.exports, entry]), raw)


def _first(manifest: Manifest, matches: Callable[[Export], bool]) -> Export | None:
    return next((entry for entry in manifest.exports if matches(entry)), None)


def _taken_before(entry: Export, export: Found, manifest: Manifest, raw: Path) -> Manifest:
    """Note by which revision storage has it, and set an earlier version that came back above the later ones."""
    exports = list(manifest.exports)
    place = exports.index(entry)
    if export.revision and export.revision not in entry.revisions:
        revisions = [*entry.other_revisions, export.revision]
        exports[place] = entry.model_copy(update={"other_revisions": revisions})
    if entry.name != export.name:
        log.info("%s has the content of %s, which is there already", export.source, entry.name)
    elif any(later.name == entry.name for later in exports[place + 1 :]):
        log.info("%s is back at an earlier version, which lies in %s", entry.name, entry.folder)
        exports.append(exports.pop(place))
    return manifest if exports == manifest.exports else _noted(Manifest(exports=exports), raw)


def _noted(manifest: Manifest, raw: Path) -> Manifest:
    # Stable: of one name the order in which they came stays.
    manifest = Manifest(exports=sorted(manifest.exports, key=lambda export: export.name))
    write_record(manifest, raw / MANIFEST)
    return manifest


def _sha256(files: LocalFiles, is_zip: bool) -> str:
    if is_zip:
        return content_sha256(next(iter(files.values())))
    digest = hashlib.sha256()
    for path, file in sorted(files.items()):
        digest.update(path.as_posix().encode() + b"\0" + content_sha256(file).encode())
    return digest.hexdigest()


def _folder(name: str, sha256: str, manifest: Manifest) -> str:
    folder = name.replace("/", "-")
    used = {entry.folder.casefold() for entry in manifest.exports} | {MANIFEST}
    return f"{folder}-{sha256[:8]}" if folder.casefold() in used else folder


def _copy(files: LocalFiles, folder: Path) -> tuple[int, int]:
    for path, file in tqdm(files.items(), desc=folder.name, unit="file", disable=None, leave=False):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / path)
    return len(files), sum(file.stat().st_size for file in files.values())


def main(
    raw: Annotated[Path, typer.Option(help="folder of the exports")],
    params: Annotated[Path, typer.Option(help="YAML file of all params")] = Path("params.yaml"),
    work: Annotated[Path, typer.Option(help="folder where broken-off downloads wait")] = Path(".work"),
) -> None:
    """Read the source's listing, take what is new."""
    started = time.perf_counter()
    settings = read_params(params, "ingest", IngestParams)
    _refuse_own_output(settings.source, raw)
    found = exports_in(settings.source, settings.endpoint_url, work)
    files, size_bytes = sum(len(export.paths) for export in found), sum(export.size_bytes for export in found)
    log.info("ingesting %s: %d exports, %s files, %.1f MB", settings.source, len(found), f"{files:,}", size_bytes / 1e6)
    before = _manifest_of(raw)
    after = ingest(found, before, raw, settings)
    folders = {export.folder for export in before.exports}
    taken = [export for export in after.exports if export.folder not in folders]
    log.info(
        "ingested %d new exports (%s files, %.1f MB), %d in all, in %.1f s",
        len(taken),
        f"{sum(export.files for export in taken):,}",
        sum(export.bytes for export in taken) / 1e6,
        len(after.exports),
        time.perf_counter() - started,
    )


def _refuse_own_output(source: str, raw: Path) -> None:
    if not source.startswith("s3://") and raw.resolve().is_relative_to(Path(source).resolve()):
        raise PipelineError(
            "ingest.source holds what ingest writes", f"{raw} is in {source}", "Set it to a folder of labels alone"
        )


def _manifest_of(raw: Path) -> Manifest:
    """The manifest, without exports whose folders were removed by hand: written so, as parse reads it too."""
    for leftover in raw.glob(".*.partial-*"):
        remove(leftover)
    if not (raw / MANIFEST).is_file():
        return Manifest(exports=[])
    manifest = read_record(raw / MANIFEST, Manifest)
    gone = [export.folder for export in manifest.exports if not (raw / export.folder).is_dir()]
    if not gone:
        return manifest
    log.warning("no longer in the manifest, as the folders are gone: %s", ", ".join(gone))
    return _noted(Manifest(exports=[export for export in manifest.exports if export.folder not in gone]), raw)


if __name__ == "__main__":
    run(main)
