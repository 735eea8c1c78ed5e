"""`data/checks/`: what is wrong with labels and images.

report.json           this module's CheckReport; the stage behind refuses unless it says passed
findings.parquet      every finding (FINDINGS): the list a labeller works from
duplicates.parquet    every decoded image with its cluster of near-duplicates (DUPLICATES)
near_duplicates.parquet  every pair of them (NEAR_DUPLICATES)
docs/index.html       Great Expectations Data Docs
"""

from typing import Literal, get_args

import pyarrow as pa
from pydantic import AliasChoices, Field

from tasks.contracts.record import Record
from tasks.contracts.tables import required

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


DUPLICATES = pa.schema(
    [
        required("image_id", pa.string()),
        required("cluster", pa.int64()),  # equal for images that are the same picture as one of them
    ]
)

# Every near-duplicate found; of many images that are the same picture, each has a row with the first at least.
NEAR_DUPLICATES = pa.schema(
    [
        required("image_id", pa.string()),
        required("other_image_id", pa.string()),
        required("how", pa.string()),  # for people: how the image shows the other, as in "mirrored, shifted"
        required("difference", pa.float64()),  # of the labelled object that differs most, see check
    ]
)

FINDINGS = pa.schema(
    [
        required("rule", pa.string()),  # e.g. duplicate_image, label_nearly_same
        required("severity", pa.string()),  # error, warning, note
        required("message", pa.string()),
        pa.field("image_id", pa.string()),
        pa.field("object_id", pa.string()),
        pa.field("label", pa.string()),
        pa.field("other_image_id", pa.string()),  # the other of two near-duplicates
        pa.field("value", pa.float64()),  # what was measured
        pa.field("where", pa.string()),  # for people: export, CVAT task, frame, image name
    ]
)


class RuleCount(Record):
    """How often one rule found something with one severity."""

    rule: str
    severity: Severity
    findings: int
    images: int  # distinct images among them; 0 where the rule is about a class or an export
    meaning: str  # one sentence for people
    hint: str = Field(validation_alias=AliasChoices("hint", "mend"))  # what a labeller does about it; mend: 0.1's name


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
    found: int = Field(validation_alias=AliasChoices("found", "held"))  # images whose file is there; held: 0.1's name
    decoded: int  # images whose file was decoded to its end
    objects: int
    objects_per_class: dict[str, int]  # most first; declared classes without objects included
    findings: int
    severities: dict[Severity, int]
    rules: list[RuleCount]  # worst severity first, then most findings
    expectations: dict[str, ExpectationCount]  # images, objects
