"""What version 0.1 wrote is read, though fields have other names now."""

import json
from pathlib import Path

from tasks.contracts.check_report import CheckReport, RuleCount
from tasks.contracts.ledger import Ledger
from tasks.contracts.record import Record, read_record, write_record
from tests.fixtures.tables import toy_ledger


def as_named_before(record: Record, file: Path, names: dict[str, str]) -> None:
    """Write a record with fields under the names that they had, at any depth."""
    write_record(record, file)

    def renamed(fields: dict[str, object]) -> dict[str, object]:
        return {names.get(name, name): value for name, value in fields.items()}

    text = json.dumps(json.loads(file.read_text(), object_hook=renamed))
    assert all(f'"{name}"' in text for name in names.values())
    file.write_text(text)


def test_ledger_whose_images_are_held(tmp_path: Path) -> None:
    ledger = toy_ledger(["part"], missing=["a.jpg"])
    now = ledger.model_copy(update={"images": ledger.images.model_copy(update={"found": 7})})
    as_named_before(now, tmp_path / "ledger.json", {"found": "held"})
    assert read_record(tmp_path / "ledger.json", Ledger) == now


def test_report_whose_images_are_held_and_whose_rules_say_how_to_mend(tmp_path: Path) -> None:
    rule = RuleCount(
        rule="tiny_box", severity="note", findings=1, images=1, meaning="A box is tiny.", hint="Look at it."
    )
    now = CheckReport(
        passed=True,
        stop_on=["error"],
        stops=[],
        images=3,
        found=2,
        decoded=2,
        objects=1,
        objects_per_class={"part": 1},
        findings=1,
        severities={"note": 1},
        rules=[rule],
        expectations={},
    )
    as_named_before(now, tmp_path / "report.json", {"found": "held", "hint": "mend"})
    assert read_record(tmp_path / "report.json", CheckReport) == now
