"""Suites of expectations run over tables: what fails as findings, and Data Docs of all that was looked at."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import pandas as pd

from tasks.checks.box_rules import BOX_WORDS
from tasks.checks.data_docs import add_page, build_pages, columns_of, new_project, run_suite
from tasks.checks.expectations import (
    DATASET,
    SEVERITY_BY_NAME,
    RowLimits,
    dataset_suite,
    dataset_table,
    images_suite,
    objects_suite,
)
from tasks.checks.findings import Finding, Validation, cvat_places, findings_table, rows
from tasks.checks.image_rules import IMAGE_WORDS
from tasks.checks.judged_tables import JudgedTables
from tasks.checks.library import gx, gxe
from tasks.checks.rules import RULES, RuleText
from tasks.checks.team_suites import HINT, TeamSuite
from tasks.contracts.check_report import ExpectationCount
from tasks.contracts.errors import PipelineError, first_of

_WORDS = BOX_WORDS | IMAGE_WORDS


class _Suite(NamedTuple):
    table: str
    frame: pd.DataFrame
    suite: gx.ExpectationSuite
    rules: dict[str, RuleText]


def validate_tables(
    tables: JudgedTables,
    found: Sequence[Finding],
    *,
    limits: RowLimits,
    team: Sequence[TeamSuite],
    context: Path,
    docs: Path,
) -> Validation:
    """Run our suites and the team's, and build Data Docs in `docs`; `context` is a folder for the library's files.

    found: what rules found that look at more than a row; Data Docs show it beside what fails here.
    Raises PipelineError with the expectations that could not be evaluated.
    """
    project = new_project(context, docs)
    places = cvat_places(tables.images)
    counts: dict[str, Counter[str]] = {}
    findings: list[Finding] = []
    faults: list[str] = []
    rules, results = dict(RULES), {}
    for run in [*_our_suites(tables, found, limits), *map(partial(_team_suite, tables), team)]:
        results[run.suite.name] = result = run_suite(project, _described(run.suite, run.rules), run.frame)
        failed = [outcome for outcome in result.results if not outcome.success]
        faults += [
            f"suite {run.suite.name}, {outcome.expectation_config.type}: {why}"
            for outcome in failed
            for why in _raised(outcome)
        ]
        counts.setdefault(run.table, Counter()).update(evaluated=len(result.results), failed=len(failed))
        if run.table != DATASET:
            findings += [finding for outcome in failed for finding in failures(outcome, run.frame)]
        rules |= run.rules
        where = run.frame["where"] if "where" in run.frame else run.frame["image_id"].map(places)
        add_page(project, run.suite.name, result, run.frame, where)
    if faults:
        raise PipelineError("expectations could not be evaluated", f"\n{first_of(faults)}\n", HINT)
    build_pages(project, docs, results)
    return Validation({table: ExpectationCount(**count) for table, count in counts.items()}, findings, rules)


def _our_suites(tables: JudgedTables, found: Sequence[Finding], limits: RowLimits) -> list[_Suite]:
    images, objects = images_suite(limits), objects_suite(limits)
    dataset = dataset_suite(found, [images, objects])
    searched = dataset_table(findings_table(found, tables.images))
    frames = {"images": tables.images, "objects": tables.objects, DATASET: searched}
    return [_Suite(suite.name, frames[suite.name], suite, RULES) for suite in (images, objects, dataset)]


def _team_suite(tables: JudgedTables, team: TeamSuite) -> _Suite:
    """A team's suite, whose expectations are rules: `rule` in their meta names them, or else what they expect."""
    rules: dict[str, RuleText] = {}
    severities: dict[str, str] = {}
    for expectation in team.suite.expectations:
        meta, notes = expectation.meta or {}, expectation.notes or f"See the suite {team.suite.name} in {team.file}."
        columns = columns_of(expectation.configuration.kwargs)
        expected = ".".join([expectation.expectation_type.removeprefix("expect_"), *columns])
        text = RuleText(_sentence(expectation), notes if isinstance(notes, str) else " ".join(notes))
        rule = name = f"{team.suite.name}.{meta.get('rule', expected)}"
        # One that expects something else of the same column, or has another severity, is a rule of its own.
        number = 1
        while (
            rules.setdefault(rule, text) != text
            or severities.setdefault(rule, expectation.severity) != expectation.severity
        ):
            number += 1
            rule = f"{name}-{number}"
        expectation.meta = meta | {"rule": rule}
    return _Suite(team.table, getattr(tables, team.table), team.suite, rules)


def _sentence(expectation: gxe.Expectation) -> str:
    """What it expects, as its author describes it or as the library does."""
    if expectation.description:
        return str(expectation.description)
    expectation.render()
    value = expectation.rendered_content[0].value
    expectation.rendered_content = None
    if value.template is None or value.params is None:  # the library draws a table or a graph of it
        arguments = expectation.configuration.to_json_dict()["kwargs"]
        told = ", ".join(f"{name} {argument}" for name, argument in arguments.items())
        return f"{expectation.expectation_type.replace('_', ' ')}: {told}"
    return Template(value.template).safe_substitute({name: item["value"] for name, item in value.params.items()})


def _described(suite: gx.ExpectationSuite, rules: Mapping[str, RuleText]) -> gx.ExpectationSuite:
    """The suite with the words of its rules, which Data Docs then show in place of the library's."""
    for expectation in suite.expectations:
        rule, sentence = expectation.meta["rule"], _sentence(expectation)
        meaning, hint = rules[rule]
        otherwise = hint if meaning == sentence else f"{meaning} {hint}"
        # Data Docs take it for HTML, and names of labels and files come from strangers.
        expectation.description = escape(f"{rule}\nExpected: {sentence}\nOtherwise: {otherwise}")
    return suite


def _raised(outcome: Any) -> set[str]:
    """What was raised instead of a result."""
    raised = outcome.exception_info
    each = [raised] if "raised_exception" in raised else raised.values()
    return {str(item["exception_message"]) for item in each if item["raised_exception"]}


def failures(outcome: Any, frame: pd.DataFrame) -> Iterator[Finding]:
    """One finding per row that fails, or one for the table where no row is to blame."""
    config = outcome.expectation_config
    rule, severity, arguments = config.meta["rule"], SEVERITY_BY_NAME[config.severity.value], config.kwargs
    failing = outcome.result.get("unexpected_index_list")
    if failing is None:
        observed = outcome.result.get("observed_value")
        if observed is None:  # of sets of values
            observed = outcome.result.get("partial_unexpected_list")
        value = float(observed) if isinstance(observed, int | float) else None
        yield Finding(rule, severity, f"observed is {observed}", value=value)
        return
    key = "object_id" if "object_id" in frame else "image_id"
    measured, message = _WORDS.get(rule, (None, partial(_values, key=key)))
    for row in rows(frame.loc[failing].drop_duplicates(key)):
        yield Finding(
            rule,
            severity,
            message(row, arguments),
            image_id=row.image_id,
            object_id=getattr(row, "object_id", None),
            label=getattr(row, "label", None),
            value=None if measured is None else float(getattr(row, measured)),
        )


def _values(row: Any, arguments: Mapping[str, Any], key: str) -> str:
    """The values that an expectation with these arguments judges."""
    named = {column: getattr(row, column) for column in columns_of(dict(arguments)) if column != key}
    texts = (f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in named.items())
    return ", ".join(texts) or str(getattr(row, key))
