# ruff: noqa: E402
"""Great Expectations suites over the tables, their failures as findings, and Data Docs."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Both take effect only before the library is imported: it says several hundred lines while it is.
os.environ["GX_ANALYTICS_ENABLED"] = "false"
logging.getLogger("great_expectations").setLevel(logging.CRITICAL)  # it logs what it raises, with a traceback

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import MulticolumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider import (
    MulticolumnMapMetricProvider,
    multicolumn_condition_partial,
)

from tasks.checks.findings import Finding, Validation
from tasks.contracts.check_report import ExpectationCount, Severity
from tasks.contracts.tables import BOX

# Data Docs name a run by its time: a fixed one keeps pages apart from the clock.
_RUN_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_RUN = RunIdentifier(run_name="check", run_time=_RUN_TIME)
_REMOTE_LOGO = re.compile(r"https://great-expectations-web-assets[^\s\"']+")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{8}T\d{6}\.\d{6}Z")
_LOCAL_TIME = re.compile(r"(1999-12-31|2000-01-01)T\d\d:\d\d:\d\dZ")  # of the run, as this machine's clock has it
_SEVERITIES: dict[str, Severity] = {"critical": "error", "warning": "warning", "info": "note"}


class BoxInsideImage(MulticolumnMapMetricProvider):  # type: ignore[misc]
    """Row by row, whether a box lies inside its image."""

    condition_metric_name = "multicolumn_values.box_inside_image"
    condition_domain_keys = ("batch_id", "table", "column_list", "row_condition", "condition_parser", "ignore_row_if")

    @multicolumn_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column_list: pd.DataFrame, **_: object) -> pd.Series:  # noqa: N805
        boxes = column_list
        starts_inside = (boxes["x_min"] >= 0) & (boxes["y_min"] >= 0)
        return starts_inside & (boxes["x_max"] <= boxes["width"]) & (boxes["y_max"] <= boxes["height"])


class ExpectBoxInsideImage(MulticolumnMapExpectation):  # type: ignore[misc]
    """Expect every box to lie inside its image."""

    map_metric = "multicolumn_values.box_inside_image"
    args_keys = ("column_list",)


def validate_tables(
    images: pd.DataFrame, objects: pd.DataFrame, known_labels: Sequence[str], context: Path, docs: Path
) -> Validation:
    """Run the suites over both tables and build Data Docs in `docs`; `context` is a folder for the library's files.

    `objects` has the `width` and `height` of each object's image, null where there is none.
    """
    project = gx.get_context(mode="file", project_root_dir=str(context))
    project.variables.progress_bars = ProgressBarsConfig(globally=False)
    project.add_data_docs_site("docs", _docs_site(docs))
    source = project.data_sources.add_pandas("tables")
    counts, findings = {}, []
    for table, frame, key, expectations in (
        ("images", images, "image_id", _images_suite()),
        ("objects", objects, "object_id", _objects_suite(known_labels)),
    ):
        batch = source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
        suite = project.suites.add(gx.ExpectationSuite(name=table, expectations=expectations))
        definition = project.validation_definitions.add(gx.ValidationDefinition(name=table, data=batch, suite=suite))
        rows = {"result_format": "COMPLETE", "unexpected_index_column_names": [key]}
        checkpoint = gx.Checkpoint(name=table, validation_definitions=[definition], result_format=rows)
        result = project.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": frame}, run_id=_RUN)
        (validation,) = result.run_results.values()
        failed = [outcome for outcome in validation.results if not outcome.success]
        counts[table] = ExpectationCount(evaluated=len(validation.results), failed=len(failed))
        findings += [finding for outcome in failed for finding in _failures(outcome, key, frame)]
    project.build_data_docs(site_names=["docs"])
    for page in docs.rglob("*.html"):
        _settle(page, docs)
    return Validation(counts, findings)


def _docs_site(docs: Path) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }


def _settle(page: Path, docs: Path) -> None:
    """Make a page the same bytes for the same data, and take out the logo that tells its maker who opens the page."""
    logo = "../" * (len(page.relative_to(docs).parts) - 1) + "static/images/logo-long.png"
    text = _REMOTE_LOGO.sub(logo, page.read_text(encoding="utf-8"))
    numbers: dict[str, str] = {}
    text = _UUID.sub(lambda found: numbers.setdefault(found.group(), f"id-{len(numbers)}"), text)
    text = _LOCAL_TIME.sub(_RUN_TIME.strftime("%Y-%m-%dT%H:%M:%SZ"), text)
    page.write_text(_TIME.sub(_RUN_TIME.strftime("%Y%m%dT%H%M%S.%fZ"), text), encoding="utf-8")


def _images_suite() -> list[gxe.Expectation]:
    return [
        _rule("image_id_not_unique", gxe.ExpectColumnValuesToBeUnique, column="image_id"),
        _rule(
            "image_listed_twice",
            gxe.ExpectCompoundColumnsToBeUnique,
            "warning",
            column_list=["source", "subset", "task_id", "frame", "name"],
            ignore_row_if="never",
        ),
        _rule("image_size_not_positive", gxe.ExpectColumnValuesToBeBetween, column="width", min_value=1),
        _rule("image_size_not_positive", gxe.ExpectColumnValuesToBeBetween, column="height", min_value=1),
    ]


def _objects_suite(known_labels: Sequence[str]) -> list[gxe.Expectation]:
    suite = [
        _rule("object_id_not_unique", gxe.ExpectColumnValuesToBeUnique, column="object_id"),
        _rule("object_without_image", gxe.ExpectColumnValuesToNotBeNull, column="width"),
        _rule("label_blank", gxe.ExpectColumnValuesToMatchRegex, column="label", regex=r"\S"),
        _rule("box_outside_image", ExpectBoxInsideImage, column_list=[*BOX, "width", "height"]),
        _rule("box_without_area", gxe.ExpectColumnPairValuesAToBeGreaterThanB, column_A="x_max", column_B="x_min"),
        _rule("box_without_area", gxe.ExpectColumnPairValuesAToBeGreaterThanB, column_A="y_max", column_B="y_min"),
    ]
    if known_labels:
        known = list(known_labels)
        suite.append(_rule("unknown_label", gxe.ExpectColumnValuesToBeInSet, column="label", value_set=known))
    return suite


def _rule(
    rule: str, expectation: type[gxe.Expectation], severity: str = "critical", **limits: object
) -> gxe.Expectation:
    return expectation(severity=severity, meta={"rule": rule}, **limits)


def _failures(outcome: Any, key: str, frame: pd.DataFrame) -> Iterator[Finding]:
    """One finding per failing row, or one for the table where the expectation could not be evaluated."""
    config = outcome.expectation_config
    rule, severity = config.meta["rule"], _SEVERITIES[str(config.severity.value)]
    rows = outcome.result.get("unexpected_index_list")
    if rows is None:
        yield Finding(rule, severity, f"{config.type} could not be evaluated: {outcome.exception_info}")
        return
    by_key = frame.drop_duplicates(key).set_index(key, drop=False)
    for row in {str(row[key]): row for row in rows}.values():
        about = by_key.loc[row[key]]
        values = ", ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in row.items()
            if name != key
        )
        yield Finding(
            rule,
            severity,
            values or str(row[key]),
            image_id=str(about["image_id"]),
            object_id=str(about["object_id"]) if "object_id" in frame else None,
            label=str(about["label"]) if "label" in frame else None,
        )
