"""What our own rules expect of images, of objects, and of the data set as a whole."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from tasks.checks.findings import Finding
from tasks.checks.library import (
    Column,
    MulticolumnMapExpectation,
    MulticolumnMapMetricProvider,
    PandasExecutionEngine,
    gx,
    gxe,
    multicolumn_condition_partial,
)
from tasks.checks.rules import RULES
from tasks.contracts.check_report import SEVERITIES, Severity
from tasks.contracts.tables import BOX

DATASET = "dataset"  # the suite about what rules find that look at more than a row
SEVERITY_BY_NAME: dict[str, Severity] = {"critical": "error", "warning": "warning", "info": "note"}
_NAMES = {ours: name for name, ours in SEVERITY_BY_NAME.items()}


class RowLimits(NamedTuple):
    """The params that single rows are held to."""

    labels: list[str]
    min_sharpness: float
    min_brightness: float
    min_contrast: float
    tiny_box_px: float
    huge_box_share: float
    same_box_iou: float
    max_aspect_deviations: float


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


def images_suite(limits: RowLimits) -> gx.ExpectationSuite:
    """About `JudgedTables.images`."""
    scaled = Column("peak") == 0
    bright = scaled & (Column("brightness") >= limits.min_brightness)
    clear = bright & (Column("contrast") >= limits.min_contrast)
    between = gxe.ExpectColumnValuesToBeBetween
    return _suite(
        "images",
        [
            _rule("image_id_not_unique", "error", gxe.ExpectColumnValuesToBeUnique, column="image_id"),
            _rule(
                "image_listed_twice",
                "warning",
                gxe.ExpectCompoundColumnsToBeUnique,
                column_list=["source", "subset", "task_id", "frame", "name"],
                ignore_row_if="never",
            ),
            _rule("image_size_not_positive", "error", between, column="width", min_value=1),
            _rule("image_size_not_positive", "error", between, column="height", min_value=1),
            _rule(
                "image_size_differs",
                "warning",
                gxe.ExpectColumnPairValuesToBeEqual,
                column_A="decoded_size",
                column_B="labelled_size",
                ignore_row_if="either_value_is_missing",
            ),
            # One finding for each image: a dark one has no contrast, and one without contrast no clear edges.
            _rule("unused_bits", "warning", between, column="peak", max_value=0),
            _rule(
                "dark_image",
                "warning",
                between,
                column="brightness",
                min_value=limits.min_brightness,
                row_condition=scaled,
            ),
            _rule(
                "low_contrast_image",
                "warning",
                between,
                column="contrast",
                min_value=limits.min_contrast,
                row_condition=bright,
            ),
            _rule(
                "blurred_image",
                "warning",
                between,
                column="softness",
                min_value=limits.min_sharpness,
                row_condition=clear,
            ),
        ],
    )


def objects_suite(limits: RowLimits) -> gx.ExpectationSuite:
    """About `JudgedTables.objects`."""
    between, greater = gxe.ExpectColumnValuesToBeBetween, gxe.ExpectColumnPairValuesAToBeGreaterThanB
    expectations = [
        _rule("object_id_not_unique", "error", gxe.ExpectColumnValuesToBeUnique, column="object_id"),
        _rule("object_without_image", "error", gxe.ExpectColumnValuesToNotBeNull, column="width"),
        _rule("label_blank", "error", gxe.ExpectColumnValuesToMatchRegex, column="label", regex=r"\S"),
        _rule(
            "box_outside_image",
            "error",
            ExpectBoxInsideImage,
            column_list=[*BOX, "width", "height"],
            description="The box lies inside its image.",
        ),
        _rule("box_without_area", "error", greater, column_A="x_max", column_B="x_min"),
        _rule("box_without_area", "error", greater, column_A="y_max", column_B="y_min"),
        _rule("tiny_box", "note", between, column="shorter_side_px", min_value=limits.tiny_box_px),
        _rule("huge_box", "note", between, column="image_share", max_value=limits.huge_box_share),
        _rule("odd_aspect_ratio", "note", between, column="aspect_deviations", max_value=limits.max_aspect_deviations),
        _rule("duplicate_box", "warning", between, column="same_label_overlap", max_value=limits.same_box_iou),
        _rule("box_under_two_labels", "warning", between, column="other_label_overlap", max_value=limits.same_box_iou),
    ]
    if limits.labels:
        known = list(limits.labels)
        expectations.append(
            _rule("unknown_label", "error", gxe.ExpectColumnValuesToBeInSet, column="label", value_set=known)
        )
    return _suite("objects", expectations)


def dataset_suite(found: Sequence[Finding], judged: Sequence[gx.ExpectationSuite]) -> gx.ExpectationSuite:
    """That nothing was found by rules that look at more than a row: all that `judged` leaves. About `dataset_table`.

    Of a rule with several severities, the worst that was found is told.
    """
    by_row = {expectation.meta["rule"] for suite in judged for expectation in suite.expectations}
    worst = {item.rule: item.severity for item in sorted(found, key=lambda item: -SEVERITIES.index(item.severity))}
    searched = [rule for rule in RULES if rule not in by_row and rule != "unknown_label"]
    return _suite(DATASET, [_nothing_found(rule, worst.get(rule)) for rule in searched])


def _nothing_found(rule: str, worst: Severity | None) -> gxe.Expectation:
    """Of what was found the rows are listed; a count of nothing takes a third of the time."""
    description = "Nothing is found."
    if worst is None:
        count = gxe.ExpectColumnUniqueValueCountToBeBetween
        return _rule(rule, "warning", count, column=rule, max_value=0, description=description)
    return _rule(rule, worst, gxe.ExpectColumnValuesToBeNull, column=rule, description=description)


def dataset_table(findings: pd.DataFrame) -> pd.DataFrame:
    """What was found, as contracts.tables.FINDINGS, with a column for each rule that holds what it says."""
    rules = {rule: findings["message"].where(findings["rule"] == rule) for rule in RULES}
    return findings.assign(**rules)


def _suite(name: str, expectations: list[gxe.Expectation]) -> gx.ExpectationSuite:
    return gx.ExpectationSuite(name=name, expectations=expectations)


def _rule(rule: str, severity: Severity, expectation: type[gxe.Expectation], **limits: object) -> gxe.Expectation:
    return expectation(severity=_NAMES[severity], meta={"rule": rule}, **limits)
