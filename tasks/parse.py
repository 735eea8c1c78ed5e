"""Read every export into one pair of tables and a ledger.

In:
  --raw                   data/raw, as ingest leaves it
    manifest.json         all exports; without it every folder that holds labels is an export
    <export>/             label files and images, as they came

Out:
  --annotations           data/annotations
    images.parquet        one row per image or video frame
    objects.parquet       one row per object that has a box
    ledger.json           what became of every object
    frames/               frames decoded from videos, and pictures that were within label files

Params: parse

Example:
  python -m tasks.parse --raw data/raw --annotations data/annotations
"""

import logging
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import Field

from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.ledger import Ledger
from tasks.contracts.params import Params, read_params
from tasks.contracts.record import write_record
from tasks.contracts.whole_output import whole_output
from tasks.dataset.decoding import MAX_MEGAPIXELS
from tasks.execution.garbage import no_garbage_collection
from tasks.execution.stage_command import run
from tasks.formats.labelled_image import CrowdAndDifficult
from tasks.parsing.find_label_files import find_label_files
from tasks.parsing.identify_images import ImageIdentifier
from tasks.parsing.label_rules import LabelRules
from tasks.parsing.ledger_builder import LedgerBuilder
from tasks.parsing.recognised import Reading
from tasks.parsing.resolve_images import ImageFiles
from tasks.parsing.table_writer import TableWriter
from tasks.parsing.video_frames import VideoFrames

log = logging.getLogger(__name__)


class ParseParams(Params):
    """How exports are read, and which of their labels and images are taken."""

    classes: list[str] = Field(description="labels to expect, after renaming; empty: every label found")
    rename: dict[str, str] = Field(description="label as labelled -> label in the tables")
    drop: list[str] = Field(description="labels to leave out, after renaming")
    ignore: list[str] = Field(
        default=[], description="label files to pass over: patterns of paths below raw, as old/* or *.csv"
    )
    points: Literal["ledger", "hull"] = Field(description="points: counted only, or boxed where a set has an extent")
    crowd_and_difficult: CrowdAndDifficult = Field(
        default="auto",
        description="objects marked as a crowd (COCO) or difficult (VOC); ignore: neither learnt nor counted in "
        "figures; count: like any other; auto: ignored, except where a COCO file marks every mask so, as CVAT does",
    )
    frame_step: int = Field(ge=1, description="of CVAT videos, every n-th frame of the task")
    frame_format: Literal["jpg", "png"] = Field(description="of frames decoded from video files")
    max_megapixels: float = Field(
        default=MAX_MEGAPIXELS, gt=0, description="images and videos of more are left out, before they are decoded"
    )
    max_text_chars: int = Field(
        default=1000, ge=50, description="longer texts of attributes are cut; objects of longer labels are dropped"
    )
    group_by: Literal["auto", "folder", "task", "source", "image"] = Field(
        description="what a split never divides; auto: the video, else the scene folder, else the CVAT task"
    )


def parse(raw: Path, annotations: Path, params: ParseParams) -> Ledger:
    """Read everything below `raw` into the two tables in the new folder `annotations`, and count it.

    Raises PipelineError with the faults of all exports.
    """
    reading = Reading(raw, params.points, params.frame_step, annotations, params.crowd_and_difficult)
    label_files = find_label_files(raw, reading, params.ignore)
    image_files = ImageFiles(raw, [file.own_folders[0] for file in label_files if file.is_video])
    builder = LedgerBuilder(params.max_megapixels)
    rules = LabelRules(params.classes, params.rename, params.drop, params.max_text_chars)
    identifier = ImageIdentifier(image_files, params.group_by, params.rename, builder)
    frames = VideoFrames(raw, annotations, params.frame_format, params.max_megapixels)
    faults: list[str] = []
    with no_garbage_collection(), TableWriter(raw, annotations, rules, builder) as tables:
        for label_file in label_files:
            try:
                for image in frames.with_files(label_file.read(), label_file, image_files):
                    placed = identifier.place(image, label_file)
                    if placed is not None:
                        tables.add(placed)
            except PipelineError as fault:
                faults.append(str(fault))
    if faults:
        raise PipelineError("exports cannot be read", f"\n{first_of(faults)}\n", "Correct or remove them and run again")
    rules.refuse_unknown()
    builder.label_files(label_files, params.rename, rules.shown)
    labelled = tables.used.keys() | identifier.left_out
    builder.files_without_labels = len(image_files.paths) - sum(file.startswith("raw/") for file in labelled)
    ledger = builder.ledger(label_file.export for label_file in label_files)
    for unmet in rules.unmet(ledger.labels):
        log.warning(unmet)
    return ledger


def main(
    raw: Annotated[Path, typer.Option(help="folder that ingest wrote")],
    annotations: Annotated[Path, typer.Option(help="folder for tables, ledger and frames; replaced whole")],
    params: Annotated[Path, typer.Option(help="params file")] = Path("params.yaml"),
) -> None:
    """Read the exports named on the command line and write the tables."""
    settings = read_params(params, "parse", ParseParams)
    started = time.monotonic()
    log.info("parse labels below %s", raw)
    with whole_output(annotations) as partial:
        partial.mkdir()
        ledger = parse(raw, partial, settings)
        write_record(ledger, partial / "ledger.json")
    objects, classes = ledger.objects, sum(counts.total > counts.dropped for counts in ledger.labels.values())
    log.info(
        "parsed %s images, %s boxes of %d classes from %d exports in %.1f s (dropped: %s, see ledger.json)",
        f"{ledger.images.found + ledger.images.missing + ledger.images.ambiguous:,}",
        f"{objects.kept + objects.converted:,}",
        classes,
        len(ledger.exports),
        time.monotonic() - started,
        f"{objects.dropped:,}",
    )


if __name__ == "__main__":
    run(main)
