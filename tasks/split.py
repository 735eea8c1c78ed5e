"""Divide images into train, val and test without leaks, and never move one again.

A scene (video, folder or CVAT task) stays whole, and so do scenes with near-duplicates of each other. New scenes go
where they balance images and classes best. Where there are too few scenes for three splits, each is divided into blocks
of time with a gap between them; all gaps together take no more than 5 % of a scene.

With `use_subsets` the subsets of CVAT say which images are train, val and test. Val and test are then as labelled. One
that no subset names (val, where there are Train and Test only) is filled from Train and from images without a subset,
as whole scenes or blocks of time as above, never from the other. Images without a subset go to train else, or join the
split of their scene. Subsets decide once: an image that has its split keeps it when its subset changes.

An image never changes splits, even when it moves to another subset or is gone for a while: its row stays, excluded.
Images added to a scene join its split. When a new image turns out to look like images in
two splits, or a scene in test gets a near-duplicate in train, one of each such pair is excluded: the newer one, among
equals the one in train (or, between val and test, in val). It returns to its split when its near-duplicate is gone.

In:
  --annotations    data/annotations: images.parquet, objects.parquet
  --checks         data/checks: report.json, which must have passed, duplicates.parquet, near_duplicates.parquet
  --split          the previous data/split.parquet, if there is one: its images keep their split

Out:
  --split          data/split.parquet: split and group of each image; excluded: in no split
  --leakage        how the splits are filled, what is excluded and why, what leaks: before (at random) and after

Params: seed, split, use_case, gate.rules, evaluate.slice_attributes

Example:
  python -m tasks.split --annotations data/annotations --checks data/checks \\
    --split data/split.parquet --leakage reports/leakage.json
"""

import logging
import time
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tasks.contracts.check_report import DUPLICATES, NEAR_DUPLICATES, CheckReport
from tasks.contracts.errors import PipelineError
from tasks.contracts.leakage import SPLITS, Leakage, SplitName
from tasks.contracts.params import Params, read_params, read_seed
from tasks.contracts.record import read_record, write_record
from tasks.contracts.tables import IMAGES, OBJECTS, SPLIT_MEMORY, counted, read_table, write_table
from tasks.execution.stage_command import run
from tasks.gating.named_classes import look_at_names
from tasks.splitting.assignment import Board
from tasks.splitting.balance import NO_SPLIT, Features, SplitNumbers, balance_of, image_features
from tasks.splitting.groups import group_names, in_order
from tasks.splitting.leakage import Relations
from tasks.splitting.near_duplicates import Looks, near_duplicates_to_exclude
from tasks.splitting.previous_split import (
    GONE,
    SAME_IMAGE,
    gone_images,
    named_when_placed,
    split_table,
    under_new_ids,
    with_task,
)
from tasks.splitting.subsets import Subsets, place_by_subsets, require_subsets, split_numbers, subsets_of
from tasks.splitting.summary import Account, account_for

log = logging.getLogger(__name__)


class Fractions(Params):
    """Goal for the images and for the objects of each class."""

    train: float = Field(gt=0, lt=1, description="fraction of train")
    val: float = Field(gt=0, lt=1, description="fraction of val: chooses checkpoints and thresholds")
    test: float = Field(gt=0, lt=1, description="fraction of test: decides the release")

    @model_validator(mode="after")
    def _sum_is_one(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, val and test are {total:g} together; they must be 1")
        return self


class SplitParams(Params):
    """Shares of the splits, and what may divide a scene."""

    fractions: Fractions = Field(description="of train, val and test")
    use_subsets: bool = Field(description="take train, val and test from the subsets of CVAT")
    subsets: dict[str, SplitName] = Field(description="splits of subsets with other names, e.g. night: test")
    divide_scenes: bool = Field(description="divide all new scenes in time, not only too few")
    gap: int = Field(ge=0, description="images left out between blocks of time, 5 % of a scene at most in all")


class Split(NamedTuple):
    """The split of every image, and what that means."""

    table: pd.DataFrame  # contracts.tables.SPLIT_MEMORY
    leakage: Leakage


def split(
    images: pd.DataFrame,
    objects: pd.DataFrame,
    duplicates: pd.DataFrame,
    previous: pd.DataFrame,
    *,
    pairs: pd.DataFrame,
    seed: int,
    params: SplitParams,
) -> Split:
    """Place every image, given the rows of the previous split (none at first).

    `duplicates` and `pairs` are as contracts.check_report.DUPLICATES and NEAR_DUPLICATES.

    Raises PipelineError if a split would remain empty.
    """
    images = with_task(images)
    memory = under_new_ids(previous, images)
    everything = _with_memory(images, duplicates, memory)
    usable = everything[everything["reason"].isna()].reset_index(drop=True)
    classes, features, relations = _relate(usable, objects, pairs)
    fractions = np.array([params.fractions.train, params.fractions.val, params.fractions.test])
    rows, balance = np.arange(len(usable)), balance_of(features, fractions)
    board = Board(relations.scenes, features, relations.looks, rows, balance, params.gap, seed)
    subsets = _subsets(images, usable, params)
    planned = place_by_subsets(board, split_numbers(usable["assigned"]), subsets, divide=params.divide_scenes)
    placed_before = usable["was"].isin(SPLITS).to_numpy()
    left_out = near_duplicates_to_exclude(planned, placed_before, relations.looks)
    splits = planned.copy()
    splits[list(left_out)] = NO_SPLIT
    _require_all_splits(splits, planned, relations.scenes, subsets)
    groups = group_names(usable["group"].tolist(), relations.scenes, relations.looks.clusters, planned)
    table = split_table(everything, named_when_placed(usable, subsets.named), planned, splits, groups)
    account = Account(usable, classes, features, relations, planned, splits, groups, left_out, fractions, subsets, seed)
    # Of one type, whether the rows of images that are gone were read or there are none: the file is to be the same.
    whole = pd.concat([table, gone_images(memory, images)], ignore_index=True).astype(object)
    return Split(whole, account_for(account, table))


def _with_memory(images: pd.DataFrame, duplicates: pd.DataFrame, memory: pd.DataFrame) -> pd.DataFrame:
    """All images in order, with their cluster, the split they had, and why some cannot be used (`reason`)."""
    before = memory[["image_id", "assigned", "split", "sha256", "named"]].rename(
        columns={"split": "was", "sha256": "known_sha256"}
    )
    everything = in_order(images).merge(duplicates, on="image_id", how="left").merge(before, on="image_id", how="left")
    everything["sha256"] = everything["sha256"].fillna(everything["known_sha256"])  # of a file that is away
    everything["reason"] = pd.Series(None, index=everything.index, dtype=object)
    everything.loc[everything["cluster"].isna(), "reason"] = "unreadable"
    everything.loc[everything["file"].isna(), "reason"] = "absent"
    if everything["reason"].notna().all():
        where = f"{len(images):,} images in the tables, none of them with a file that can be decoded"
        raise PipelineError("there is nothing to split", where, "Put the image files beside the labels")
    return everything


def _relate(usable: pd.DataFrame, objects: pd.DataFrame, pairs: pd.DataFrame) -> tuple[list[str], Features, Relations]:
    """The class names, each image's features, and what relates the images."""
    rows = pd.Series(usable.index, index=usable["image_id"])
    inside = objects[objects["image_id"].isin(rows.index)]
    image_rows = rows[inside["image_id"]].to_numpy()
    labels, classes = pd.factorize(inside["label"], sort=True)
    features = image_features(labels, image_rows, len(usable), len(classes))
    tracked = inside["track_id"].notna().to_numpy()
    task = usable.loc[image_rows[tracked], ["source", "task_id"]].reset_index(drop=True)
    tracks = task.assign(track=inside.loc[tracked, "track_id"].to_numpy())
    both = pairs[pairs["image_id"].isin(rows.index) & pairs["other_image_id"].isin(rows.index)]
    ends = np.stack([rows[both[column]].to_numpy(dtype=np.intp) for column in ("image_id", "other_image_id")], axis=1)
    looks = Looks(usable["cluster"].to_numpy(dtype=np.int64), ends)
    relations = Relations(
        looks,
        scenes=pd.factorize(usable["group"])[0],
        tracks=np.asarray(tracks.groupby(["source", "task_id", "track"], dropna=False).ngroup(), dtype=np.intp),
        track_rows=image_rows[tracked],
    )
    return list(classes), features, relations


def _subsets(images: pd.DataFrame, usable: pd.DataFrame, params: SplitParams) -> Subsets:
    """What the subsets of the usable images say; nothing if they are not asked."""
    if not params.use_subsets:
        if params.subsets:
            log.warning("split.subsets says nothing while split.use_subsets is false: %s", ", ".join(params.subsets))
        return Subsets(usable["subset"], np.full(len(usable), NO_SPLIT))
    require_subsets(images, params.subsets)
    subsets = subsets_of(usable["subset"], params.subsets)
    if not (subsets.named != NO_SPLIT).any():
        known = ", ".join(sorted(images["subset"].dropna().unique())) or "none"
        log.warning("split.use_subsets is true and no subset says train, val or test; there are: %s", known)
    if moved := subsets.contradicted(split_numbers(usable["assigned"]), split_numbers(usable["named"])):
        log.warning(
            "images that changed their subset and keep their split: %s (delete the split file to start afresh)",
            f"{moved:,}",
        )
    return subsets


def _require_all_splits(
    splits: SplitNumbers, planned: SplitNumbers, scenes: NDArray[np.intp], subsets: Subsets
) -> None:
    empty = [split for number, split in enumerate(SPLITS) if not (splits == number).any()]
    if not empty:
        return
    where = f"{len(splits):,} images of {len(np.unique(scenes)):,} scenes leave {' and '.join(empty)} empty"
    if (subsets.named != NO_SPLIT).any():
        by_split = np.bincount(subsets.named[subsets.named != NO_SPLIT], minlength=len(SPLITS))
        where += (
            f", where subsets name {', '.join(f'{split} for {n:,}' for split, n in zip(SPLITS, by_split, strict=True))}"
        )
    left_out = int((splits != planned).sum())
    if left_out:
        where += f", after {left_out:,} near-duplicates across splits were left out"
    raise PipelineError(
        "there is not enough to fill train, val and test",
        where,
        "It takes at least three scenes (videos, folders, tasks) that do not look alike, or one with three images that "
        "do not. Label more, lower check.near_duplicate_difference, set split.use_subsets to false if subsets are "
        "used (val or test without one is filled from Train and images without a subset), or delete the split file to "
        "place everything afresh",
    )


def main(
    *,
    annotations: Annotated[Path, typer.Option(help="folder that parse wrote")],
    checks: Annotated[Path, typer.Option(help="folder that check wrote")],
    split_file: Annotated[Path, typer.Option("--split", help="table to write; read first, if it is there")],
    leakage: Annotated[Path, typer.Option(help="JSON file to write")],
    params: Annotated[Path, typer.Option(help="YAML file of all params")] = Path("params.yaml"),
    verdict: Annotated[Path, typer.Option(help="of the last run, if any: only read")] = Path("reports/verdict.json"),
) -> None:
    """Split the tables named on the command line, unless their check failed."""
    started = time.perf_counter()
    settings, seed = read_params(params, "split", SplitParams), read_seed(params)
    report = read_record(checks / "report.json", CheckReport)
    if not report.passed:
        raise PipelineError(
            "the check did not pass",
            "; ".join(stop.rstrip(".") for stop in report.stops),
            f"See {checks / 'findings.parquet'} and {checks / 'docs' / 'index.html'}; correct the labels or images, or "
            "relax the limit in params.yaml: check (stop_on says which severities stop)",
        )
    images = read_table(annotations / "images.parquet", IMAGES)
    objects = counted(read_table(annotations / "objects.parquet", OBJECTS))
    look_at_names(params, verdict, objects)
    duplicates = read_table(checks / "duplicates.parquet", DUPLICATES)
    previous = _read_previous(split_file)
    log.info(
        "splitting %s images, %s of them placed before", f"{len(images):,}", f"{previous['assigned'].notna().sum():,}"
    )
    result = split(
        images,
        objects,
        duplicates,
        previous,
        pairs=read_table(checks / "near_duplicates.parquet", NEAR_DUPLICATES),
        seed=seed,
        params=settings,
    )
    # The split is memory: it is written last, so that a stop between the two changes nothing for the next try.
    write_record(result.leakage, leakage)
    write_table(result.table, split_file, SPLIT_MEMORY)
    for note in result.leakage.notes:
        log.warning("%s", note)
    gone = int((result.table["reason"] == GONE).sum())
    log.info("%s in %.1f s", _summary(result.leakage, gone), time.perf_counter() - started)


def _read_previous(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=SPLIT_MEMORY.names, dtype=object)
    # Splits were once written without what images are known by; their splits count all the same.
    names = pq.read_schema(path).names
    later = {*SAME_IMAGE, "named"} - set(names)
    columns = [field for field in SPLIT_MEMORY if field.name not in later]
    if "assigned" not in names:  # called side before 0.2
        columns = [field.with_name("side") if field.name == "assigned" else field for field in columns]
    previous = read_table(path, pa.schema(columns)).rename(columns={"side": "assigned"})
    return previous.reindex(columns=SPLIT_MEMORY.names).astype(object)


def _summary(leakage: Leakage, gone: int) -> str:
    splits = ", ".join(f"{count.images:,} {split}" for split, count in leakage.splits.items())
    kept = f"; {gone:,} images are gone and keep their split" if gone else ""
    return f"split into {splits}, {sum(leakage.excluded.values()):,} excluded{kept}"


if __name__ == "__main__":
    run(main)
