"""Say what is wrong with labels and images, for a labeller to correct and for the stages behind to trust.

A failed check is a result: this command still exits with 0, and split refuses behind it.

In:
  --raw                         data/raw, the exports with their image files
  --annotations                 data/annotations: images.parquet, objects.parquet, ledger.json

Out:
  --checks                      data/checks
    report.json                 passed or not, findings by rule and severity, what stops the run
    findings.parquet            each finding with its image, object and place in CVAT
    duplicates.parquet          cluster of near-duplicates of each image, which split reads
    near_duplicates.parquet     each pair of them, and how one shows the other
    docs/index.html             Data Docs of Great Expectations

Params: check, train.image_size

Example:
  python -m tasks.check --raw data/raw --annotations data/annotations --checks data/checks
"""

import logging
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import typer
from pydantic import Field

from tasks.checks.box_rules import small_for_network
from tasks.checks.duplicate_tables import DuplicateTables, duplicate_tables
from tasks.checks.findings import Finding, Validation, findings_table
from tasks.checks.image_measures import ImageMeasures, measure_images
from tasks.checks.image_rules import damaged_images, missing_images, odd_sizes, undecodable_images
from tasks.checks.judged_tables import JudgedTables, judged_tables
from tasks.checks.label_rules import class_counts, empty_images, similar_labels
from tasks.checks.ledger_rules import empty_exports, ledger_findings
from tasks.checks.near_duplicate_rules import exact_duplicates, near_duplicates
from tasks.checks.rules import RuleText
from tasks.checks.team_suites import SuitesPath, team_suites
from tasks.contracts.check_report import (
    DUPLICATES,
    FINDINGS,
    NEAR_DUPLICATES,
    SEVERITIES,
    CheckReport,
    RuleCount,
    Severity,
)
from tasks.contracts.ledger import Ledger
from tasks.contracts.params import Params, read_image_size, read_params
from tasks.contracts.record import read_record, write_record
from tasks.contracts.tables import IMAGES, OBJECTS, counted, read_table, write_table
from tasks.contracts.whole_output import whole_output
from tasks.dataset.decoding import image_path
from tasks.execution.garbage import no_garbage_collection
from tasks.execution.stage_command import run

log = logging.getLogger(__name__)


class CheckParams(Params):
    """Limits of the checks. Those in params.yaml were tuned on real data sets so that a finding is worth a look."""

    stop_on: list[Severity] = Field(description="severities that stop the run")
    suites: SuitesPath = Field(
        examples=["tasks/checks/suites"], description="a team's own suites of expectations: a file or a folder"
    )
    labels: list[str] = Field(description="the class names that may occur; empty: any")
    max_unreadable_share: float = Field(ge=0, le=1, description="more undecodable files are an error")
    max_missing_share: float = Field(
        default=0.1, ge=0, le=1, description="per export; more images without a file are an error"
    )
    max_dropped_share: float = Field(ge=0, le=1, description="more objects dropped by parse are an error")
    near_duplicate_difference: float = Field(
        ge=0, lt=1, description="of a labelled object, over its contrast; up to it two images are the same picture"
    )
    min_sharpness: float = Field(
        ge=0, le=0.5, description="rise of edges per pixel over their contrast; a sharp step has 0.5"
    )
    min_brightness: float = Field(ge=0, le=255, description="mean grey value of an image that is not dark")
    min_contrast: float = Field(ge=0, le=128, description="standard deviation of grey values")
    min_objects_per_class: int = Field(ge=0, description="fewer objects of a class are reported")
    max_imbalance: float = Field(ge=1, description="objects of the most frequent class per rarest one")
    max_empty_share: float = Field(ge=0, le=1, description="per export; more images without objects")
    allow_empty_exports: list[str] = Field(
        default=[], description="exports without any object that are meant so: patterns of their names"
    )
    min_network_px: float = Field(
        default=4, ge=0, description="side at train.image_size under which a network hardly sees an object"
    )
    tiny_box_px: float = Field(ge=0, description="boxes narrower or lower, in pixels")
    huge_box_share: float = Field(gt=0, le=1, description="boxes over more of their image")
    same_box_iou: float = Field(gt=0, le=1, description="boxes that overlap more are labelled twice")
    max_aspect_deviations: float = Field(gt=0, description="robust deviations from the class's aspect ratio")


class Checked(NamedTuple):
    """What the checks found."""

    report: CheckReport
    findings: pd.DataFrame  # contracts.check_report.FINDINGS
    duplicates: DuplicateTables


def check(
    images: pd.DataFrame,
    objects: pd.DataFrame,
    ledger: Ledger,
    measures: pd.DataFrame,
    validate: Callable[[JudgedTables, list[Finding]], Validation],
    *,
    image_size: int,
    params: CheckParams,
) -> Checked:
    """Find faults in the tables, in what parse counted and in what was measured.

    `measures` has the columns of ImageMeasures, on the index of images with a file. validate: runs expectations over
    the tables, given what was found before. image_size: of train.
    """
    duplicates = duplicate_tables(images, objects, measures, params.near_duplicate_difference)
    tables = judged_tables(images, objects, measures)
    per_class = _objects_per_class(counted(objects), ledger)
    found = [
        *_image_findings(tables.images, objects, params, ledger.max_megapixels),
        *near_duplicates(images, duplicates.pairs),
        *_label_findings(tables, per_class, ledger, image_size=image_size, params=params),
        *ledger_findings(ledger, params.max_dropped_share),
        *empty_exports(ledger, params.allow_empty_exports),
    ]
    validation = validate(tables, found)
    findings = [*validation.findings, *found]
    return Checked(
        _report(tables.images, per_class, findings, validation, params), findings_table(findings, images), duplicates
    )


def _objects_per_class(objects: pd.DataFrame, ledger: Ledger) -> dict[str, int]:
    # An object without a label is dropped by parse and reported as such.
    counts = dict.fromkeys(filter(str.strip, ledger.labels), 0) | Counter(objects["label"])
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _image_findings(
    measured: pd.DataFrame, objects: pd.DataFrame, params: CheckParams, max_megapixels: float | None
) -> Iterator[Finding]:
    yield from missing_images(measured, params.max_missing_share)
    yield from undecodable_images(measured, params.max_unreadable_share, max_megapixels)
    yield from damaged_images(measured)
    yield from odd_sizes(measured)
    yield from exact_duplicates(measured, objects)


def _lost_classes(objects: pd.DataFrame, ledger: Ledger) -> dict[str, dict[str, int]]:
    """By class and reason how many objects label files have that were dropped or are ignored."""
    lost = {label: dict(reasons) for label, reasons in ledger.lost_labels.items()}
    ignored = objects.loc[objects["ignored"].notna(), ["label", "ignored"]].value_counts(sort=False)
    for label, reason, count in ignored.reset_index().itertuples(index=False, name=None):
        lost.setdefault(label, {})[f"marked {reason}"] = int(count)
    return lost


def _label_findings(
    tables: JudgedTables, per_class: dict[str, int], ledger: Ledger, *, image_size: int, params: CheckParams
) -> Iterator[Finding]:
    taught = counted(tables.objects)
    yield from similar_labels(per_class, set(params.labels), taught)
    lost = _lost_classes(tables.objects, ledger)
    yield from class_counts(per_class, lost, ledger.intended, params.min_objects_per_class, params.max_imbalance)
    yield from empty_images(tables.images, tables.objects, params.max_empty_share)
    yield from small_for_network(taught.dropna(subset=["width"]), image_size, params.min_network_px)


def _report(
    measured: pd.DataFrame,
    per_class: dict[str, int],
    findings: list[Finding],
    validation: Validation,
    params: CheckParams,
) -> CheckReport:
    rules = _rule_counts(findings, validation.rules)
    stopping = [count for count in rules if count.severity in params.stop_on]
    severities = Counter(finding.severity for finding in findings)
    found = measured["file"].notna()
    return CheckReport(
        passed=not stopping,
        stop_on=params.stop_on,
        stops=[_stop(count, findings) for count in stopping],
        images=len(measured),
        found=int(found.sum()),
        decoded=int((found & measured["fault"].isna()).sum()),
        objects=sum(per_class.values()),
        objects_per_class=per_class,
        findings=len(findings),
        severities={severity: severities[severity] for severity in SEVERITIES},
        rules=rules,
        expectations=validation.counts,
    )


def _stop(count: RuleCount, findings: list[Finding]) -> str:
    """What stops the run: a rule, its first finding, and what to do."""
    first = next(item for item in findings if (item.rule, item.severity) == (count.rule, count.severity))
    more = f" (and {count.findings - 1:,} more)" if count.findings > 1 else ""
    return f"{count.rule}: {first.message}{more}. {count.hint}"


def _rule_counts(findings: list[Finding], rules: Mapping[str, RuleText]) -> list[RuleCount]:
    groups: dict[tuple[str, Severity], list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.rule, finding.severity].append(finding)
    counts = [
        RuleCount(
            rule=rule,
            severity=severity,
            findings=len(members),
            images=len({finding.image_id for finding in members} - {None}),
            meaning=rules[rule].meaning,
            hint=rules[rule].hint,
        )
        for (rule, severity), members in groups.items()
    ]
    return sorted(counts, key=lambda count: (SEVERITIES.index(count.severity), -count.findings, count.rule))


def main(
    raw: Annotated[Path, typer.Option(help="folder with the exports that ingest holds")],
    annotations: Annotated[Path, typer.Option(help="folder that parse wrote")],
    checks: Annotated[Path, typer.Option(help="folder to write: report, findings, duplicates, docs")],
    params: Annotated[Path, typer.Option(help="file with the section `check`")] = Path("params.yaml"),
) -> None:
    """Check the tables and files named on the command line."""
    start = time.perf_counter()
    limits, image_size = read_params(params, "check", CheckParams), read_image_size(params)
    images = read_table(annotations / "images.parquet", IMAGES)
    objects = read_table(annotations / "objects.parquet", OBJECTS)
    ledger = read_record(annotations / "ledger.json", Ledger)
    files = images["file"].dropna()
    log.info(
        "checking %s images (%s with a file) with %s objects",
        f"{len(images):,}",
        f"{len(files):,}",
        f"{len(objects):,}",
    )
    suites = team_suites(limits.suites)
    measures = _measures(images, ledger.max_megapixels, raw, annotations)
    # Importing Great Expectations costs seconds, which --help need not pay.
    with no_garbage_collection():
        from tasks.checks.expectations import RowLimits  # noqa: PLC0415
        from tasks.checks.validation import validate_tables  # noqa: PLC0415

    with whole_output(checks) as partial_checks, tempfile.TemporaryDirectory() as context:
        partial_checks.mkdir()
        row_limits = RowLimits(**limits.model_dump(include={*RowLimits._fields}))
        validate = partial(
            validate_tables, limits=row_limits, team=suites, context=Path(context), docs=partial_checks / "docs"
        )
        report, findings, duplicates = check(
            images, objects, ledger, measures, validate, image_size=image_size, params=limits
        )
        write_record(report, partial_checks / "report.json")
        write_table(findings, partial_checks / "findings.parquet", FINDINGS)
        write_table(duplicates.clusters, partial_checks / "duplicates.parquet", DUPLICATES)
        write_table(duplicates.pairs, partial_checks / "near_duplicates.parquet", NEAR_DUPLICATES)
    log.info("%s in %.1f s", _summary(report), time.perf_counter() - start)


def _measures(images: pd.DataFrame, max_megapixels: float | None, raw: Path, annotations: Path) -> pd.DataFrame:
    """ImageMeasures of images with a file, on their index; those that parse found too large are not decoded."""
    found = images[images["file"].notna()]
    limit = np.inf if max_megapixels is None else max_megapixels * 1e6
    is_too_large = ~found["readable"] & (found["width"] * found["height"] > limit)
    fit = found.loc[~is_too_large, "file"]
    columns = list(ImageMeasures._fields)
    measured = measure_images([image_path(file, raw, annotations) for file in fit])
    left_out = [ImageMeasures(fault="too_large")] * int(is_too_large.sum())
    return pd.DataFrame(
        [*measured, *left_out], index=[*fit.index, *found.index[is_too_large]], columns=columns
    ).reindex(found.index)


def _summary(report: CheckReport) -> str:
    counts = ", ".join(f"{count:,} {severity}{'s' * (count != 1)}" for severity, count in report.severities.items())
    outcome = "passed" if report.passed else f"NOT passed, {'; '.join(report.stops)}"
    return f"checked {report.images:,} images, {report.objects:,} objects: {counts}; {outcome}"


if __name__ == "__main__":
    run(main)
