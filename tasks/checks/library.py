"""Great Expectations, quiet from its import on: it would log several hundred lines, and tell its maker who uses it."""
# ruff: noqa: E402

import logging
import os

# Both take effect only before the library is imported. It logs what it raises, with a traceback.
os.environ["GX_ANALYTICS_ENABLED"] = "false"
logging.getLogger("great_expectations").setLevel(logging.CRITICAL)

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)
from great_expectations.exceptions import ExpectationNotFoundError
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import MulticolumnMapExpectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metrics.map_metric_provider import (
    MulticolumnMapMetricProvider,
    multicolumn_condition_partial,
)
from great_expectations.expectations.row_conditions import Column

# This one sets a level of its own, and tells of a folder for every context.
logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.CRITICAL)

__all__ = [
    "Column",
    "ExpectationConfiguration",
    "ExpectationNotFoundError",
    "ExpectationSuiteIdentifier",
    "MulticolumnMapExpectation",
    "MulticolumnMapMetricProvider",
    "PandasExecutionEngine",
    "ProgressBarsConfig",
    "RunIdentifier",
    "ValidationResultIdentifier",
    "gx",
    "gxe",
    "multicolumn_condition_partial",
]
