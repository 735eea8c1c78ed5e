"""What can work and is hardly meant is warned of, and stops nothing."""

import pytest

from tasks.command.params_classes import params_classes
from tasks.contracts.sections import AllParams
from tasks.doctor import doubts
from tests.fixtures.doctor import Sections, change, told

pytest_plugins = ["tests.fixtures.doctor"]


def test_recall_without_precision_beside_it_is_a_doubt_and_no_fault(sections: Sections) -> None:
    change("gate.rules", ["recall >= 0.9", "map50 >= 0.5"])(sections)
    assert told(sections) == []
    (doubt,) = doubts(AllParams(sections, params_classes()))
    assert "a threshold of zero would pass" in doubt


@pytest.mark.parametrize(
    ("metric", "rule", "is_covered"),
    [
        ("map50", "map50_95 >= 0.5", True),
        ("map50", "ap50 of each class >= 0.5", True),
        ("map50", "map50 not worse than champion by 0.05", True),
        ("map50", "latency p95 <= 50 ms", False),
        ("map50", 'ap50 of "crack" >= 0.5', False),
        ("f1", "precision >= 0.5", False),
        ("precision", "f1 >= 0.5", True),
        ('precision of "crack"', 'precision of "crack" >= 0.5', True),
        ('precision of "crack"', "precision of each class >= 0.5", True),
        ('precision of "crack"', 'precision of "bolt" >= 0.5', False),
        ('precision of "crack"', "precision >= 0.5", False),
        ('ap50 of "crack"', 'ap50 of "crack" where size = small >= 0.5', False),
    ],
)
def test_a_gate_that_leaves_out_the_use_cases_metric_is_a_doubt(
    metric: str, rule: str, is_covered: bool, sections: Sections
) -> None:
    change("use_case.metric", metric)(sections)
    change("gate.rules", [rule])(sections)
    assert told(sections) == []
    found = doubts(AllParams(sections, params_classes()))
    assert found == [] if is_covered else f"none is about use_case.metric, {metric}: " in found[0]
