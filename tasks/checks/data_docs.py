"""Data Docs of Great Expectations: a page for each suite, with rows that fail; the same bytes for the same data."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.checks.expectations import SEVERITY_BY_NAME
from tasks.checks.library import (
    ExpectationSuiteIdentifier,
    ProgressBarsConfig,
    RunIdentifier,
    ValidationResultIdentifier,
    gx,
)

_ROWS_SHOWN = 20  # of each expectation; the library takes a second for 5,000, and findings.parquet has all
_INDEX = '<div class="container-fluid pt-4'  # where the index page begins below its title
# Rows by their index: with columns in its stead each row takes the library ten times as long.
_ALL_ROWS = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
# Data Docs name a run by its time: a fixed one keeps pages apart from the clock.
_RUN_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_RUN = RunIdentifier(run_name="check", run_time=_RUN_TIME)
_REMOTE_LOGO = re.compile(r"https://great-expectations-web-assets[^\s\"']+")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{8}T\d{6}\.\d{6}Z")
# Of the run, as this machine's clock has it.
_LOCAL_TIME = re.compile(r"(1999-12-31|2000-01-01)T\d\d:\d\d:\d\dZ")
_LOCAL_TIME_AND_ZONE = re.compile(r"(1999-12-31|2000-01-01) \d\d:\d\d:\d\d [A-Z\d+:-]+")


def new_project(folder: Path, docs: Path) -> Any:
    """A context of the library in a folder for its own files, which builds Data Docs in `docs`."""
    project = gx.get_context(mode="file", project_root_dir=str(folder))
    project.variables.progress_bars = ProgressBarsConfig(globally=False)
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    project.add_data_docs_site("docs", site)
    return project


def run_suite(project: Any, suite: gx.ExpectationSuite, frame: pd.DataFrame) -> Any:
    """The result of a suite over a table, each row that fails by its index."""
    suite = project.suites.add(suite)
    batch = project.data_sources.pandas_default.read_dataframe(frame, asset_name=suite.name)
    return batch.validate(suite, result_format=_ALL_ROWS, expectation_parameters=suite.suite_parameters)


def add_page(project: Any, suite: str, result: Any, frame: pd.DataFrame, places: pd.Series) -> None:
    """Keep a suite's result for its page; `frame` is what it ran over, `places` says where each row stands."""
    for outcome in result.results:
        _show(outcome, frame, places)
        outcome.success, outcome.result = bool(outcome.success), _escaped(outcome.result)
        named = outcome.expectation_config.kwargs  # a condition, which is the suite's own, is read again
        outcome.expectation_config.kwargs = named | _escaped(
            {key: named[key] for key in named if key != "row_condition"}
        )
    result.meta |= {"run_id": _RUN, "validation_time": _RUN_TIME}
    named = ExpectationSuiteIdentifier(name=suite)
    key = ValidationResultIdentifier(expectation_suite_identifier=named, run_id=_RUN, batch_identifier="all")
    project.validation_results_store.store_validation_results(result, key, named)


def build_pages(project: Any, docs: Path, results: Mapping[str, Any]) -> None:
    """Write Data Docs of all that was added: results by suite, as `run_suite` gives them."""
    project.build_data_docs(site_names=["docs"])
    for page in docs.rglob("*.html"):
        _clean(page, docs)
    index = docs / "index.html"
    text = index.read_text(encoding="utf-8")
    index.write_text(text.replace(_INDEX, f"{_list_of_suites(docs, results)}{_INDEX}", 1), encoding="utf-8")


def _list_of_suites(docs: Path, results: Mapping[str, Any]) -> str:
    """Links to the suites' pages: the library's own list is drawn by scripts from the network, and else stays empty."""
    items = []
    for suite, result in sorted(results.items()):
        (page,) = (docs / "validations" / suite).rglob("*.html")
        hold, evaluated = (result.statistics[f"{name}_expectations"] for name in ("successful", "evaluated"))
        items.append(f'<li><a href="{page.relative_to(docs).as_posix()}">{suite}</a>: {hold} of {evaluated} hold</li>')
    return f"<p>How many expectations hold, suite by suite:</p><ul>{''.join(items)}</ul>\n"


def _show(outcome: Any, frame: pd.DataFrame, places: pd.Series) -> None:
    """Put into the result what its page shows: how it went, and of the first rows that fail where they stand."""
    result, config = outcome.result, outcome.expectation_config
    status = "holds" if outcome.success else SEVERITY_BY_NAME[config.severity.value]
    config.description = config.description.replace("\n", f": {status}\n", 1)
    if not result.get("unexpected_index_list"):
        return
    failing = frame.loc[result["unexpected_index_list"][:_ROWS_SHOWN]]
    values = failing[columns_of(config.kwargs)].astype(object)
    values = values.where(values.notna(), None)
    if len(values.columns) > 1:  # the library would show several in the order of a set
        texts = [", ".join(f"{name} {value}" for name, value in row.items()) for row in values.to_dict("records")]
        values = pd.DataFrame({"values": texts}, index=values.index)
    shown = values.assign(where=places[failing.index].fillna("-"))
    keys = ["where"]
    if "object_id" in failing and failing["object_id"].notna().any():
        shown["object"] = failing["object_id"]
        keys = ["object", "where"]
    result["unexpected_index_list"] = shown.to_dict("records")
    result["unexpected_index_column_names"] = keys
    result["unexpected_list"] = result["unexpected_list"][:_ROWS_SHOWN]
    result["partial_unexpected_index_list"] = None


def _escaped(value: Any) -> Any:
    """The same with all texts escaped: the library takes them for HTML, and names come from strangers."""
    if isinstance(value, dict):
        return {name: _escaped(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_escaped, value))
    if isinstance(value, np.generic):  # the library cannot write some of its own results
        return value.item()
    return escape(value) if isinstance(value, str) else value


def columns_of(arguments: dict[str, Any]) -> list[str]:
    """The columns whose values an expectation judges, by its arguments."""
    named = [arguments.get(key) for key in ("column", "column_A", "column_B")]
    return [*filter(None, named), *arguments.get("column_list", [])]


def _clean(page: Path, docs: Path) -> None:
    """Make a page the same bytes for the same data, and take out the logo that tells its maker who opens the page."""
    logo = "../" * (len(page.relative_to(docs).parts) - 1) + "static/images/logo-long.png"
    text = _REMOTE_LOGO.sub(logo, page.read_text(encoding="utf-8"))
    text = text.replace('style="height: 70px"', 'style="min-height: 70px"')  # without a network lines lie on lines
    numbers: dict[str, str] = {}
    text = _UUID.sub(lambda found: numbers.setdefault(found.group(), f"id-{len(numbers)}"), text)
    text = _LOCAL_TIME.sub(_RUN_TIME.strftime("%Y-%m-%dT%H:%M:%SZ"), text)
    text = _LOCAL_TIME_AND_ZONE.sub(_RUN_TIME.strftime("%Y-%m-%d %H:%M:%S UTC"), text)
    page.write_text(_TIME.sub(_RUN_TIME.strftime("%Y%m%dT%H%M%S.%fZ"), text), encoding="utf-8")
