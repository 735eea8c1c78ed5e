"""`data/checks/`: what is wrong with labels and images.

report.json           this module's CheckReport; the stage behind refuses unless it says passed
findings.parquet      every finding (contracts.tables.FINDINGS): the list a labeller works from
duplicates.parquet    every decoded image with its cluster of near-duplicates (contracts.tables.DUPLICATES)
near_duplicates.parquet  every pair of them (contracts.tables.NEAR_DUPLICATES)
docs/index.html       Great Expectations Data Docs
"""

from typing import Literal, get_args

from tasks.contracts.record import Record

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


class RuleCount(Record):
    """How often one rule found something with one severity."""

    rule: str
    severity: Severity
    findings: int
    images: int  # distinct images among them; 0 where the rule is about a class or an export
    meaning: str  # one sentence for people
    mend: str  # what a labeller does about it


class ExpectationCount(Record):
    """How the Great Expectations suites over one table went."""

    evaluated: int
    failed: int


class CheckReport(Record):
    """Passed if no finding has a severity of `stop_on`."""

    passed: bool
    stop_on: list[Severity]
    stops: list[str]  # one sentence per rule that stops the run; empty if passed
    images: int
    held: int  # images whose file is there
    decoded: int  # images whose file was decoded to its end
    objects: int
    objects_per_class: dict[str, int]  # most first; declared classes without objects included
    findings: int
    severities: dict[Severity, int]
    rules: list[RuleCount]  # worst severity first, then most findings
    expectations: dict[str, ExpectationCount]  # images, objects
