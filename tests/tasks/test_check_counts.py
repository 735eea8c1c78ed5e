"""check: what was left out before, or is ignored, is counted apart and told."""

from pathlib import Path

from tasks.checks.ledger_rules import ledger_findings
from tasks.contracts.ledger import ObjectCounts
from tests.fixtures.check import checked, clean
from tests.fixtures.tables import toy_ledger


def test_objects_of_superseded_exports_are_no_loss() -> None:
    ledger = toy_ledger(
        ["part"],
        objects=ObjectCounts(total=100, kept=50, converted=0, dropped=50),
        dropped={"superseded by new": 49, "no area": 1},
        intended=["superseded by new"],
    )
    findings = list(ledger_findings(ledger, max_dropped_share=0.02))
    assert [(finding.severity, finding.value) for finding in findings] == [("warning", 1.0)]
    assert findings[0].message == "1 of 51 objects dropped: no area"


def test_ignored_objects_are_told_and_are_in_no_count_of_a_class(tmp_path: Path) -> None:
    drawn = clean(tmp_path)
    for number in range(5):
        drawn.label(
            f"clean{number}",
            f"crowd{number}",
            ignored="crowd",
            label="parts",
            x_min=0.0,
            y_min=0.0,
            x_max=159.0,
            y_max=119.0,
        )
    found = checked(tmp_path, drawn, toy_ledger(["part"], ignored={"crowd": 5}), max_empty_share=1.0)
    assert found.report.objects_per_class == {"part": 30}
    assert found.findings["rule"].tolist() == ["ignored_objects"]
    assert "5 objects are marked crowd" in found.findings["message"][0]


def test_classes_that_were_lost_and_objects_too_small_for_the_network_are_told(tmp_path: Path) -> None:
    drawn = clean(tmp_path)
    drawn.label("clean1", "crowd", ignored="crowd", label="people", x_min=0.0)
    ledger = toy_ledger(["part", "people", "lost", "spare"], lost_labels={"lost": {"no area": 3}})
    found = checked(tmp_path, drawn, ledger, image_size=32, min_network_px=5).findings
    assert found[["rule", "message"]].to_numpy().tolist() == [
        ["class_lost", '"lost" has no object left, all 3 are left out (3: no area)'],
        ["class_lost", '"people" has no object left, all 1 are left out (1: marked crowd)'],
        ["class_without_objects", '"spare" is declared and has no object'],
        [
            "small_for_network",
            "100% of 30 objects are under 5 px a side at train.image_size 32, the median is 4.0 px; "
            "for half of them to reach that it takes an image_size of 64",
        ],
    ]
