"""Names of classes that are nearly the same, and those that only look so."""

import pytest

from tasks.checks.label_rules import class_counts, similar_labels
from tests.fixtures.tables import toy_objects


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat", "Cats"),
        ("cat", "CAT"),
        ("box", "boxes"),
        ("battery", "batteries"),
        ("pin-hole", "pin_hole"),
        ("pinhole", "pin hole"),
        ("scratch ", "scratch"),
        ("crack", "carck"),
        ("Pedestrian", "Pedestrain"),
        ("traffic light", "trafic lights"),
        ("straße", "STRASSE"),
    ],
)
def test_names_that_differ_by_spelling_are_reported(one: str, other: str) -> None:
    (finding,) = similar_labels({one: 10, other: 2}, set(), toy_objects([{"image_id": "a", "label": other}]))
    assert finding.label == other
    assert finding.image_id == "a"
    assert "2 and 10 objects" in finding.message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat", "car"),
        ("bus", "bug"),
        ("type1", "type2"),
        ("grade A", "grade B"),
        ("door_open", "door_shut"),
        ("light on", "light off"),
        ("car", "car door"),
        ("male", "female"),
        ("+", "-"),
        ("glass", "glas plate"),
        ("左", "右"),
    ],
)
def test_names_of_different_things_are_not(one: str, other: str) -> None:
    assert not list(similar_labels({one: 10, other: 2}, set(), toy_objects([])))


def test_names_that_are_both_known_are_both_meant() -> None:
    labels = {"mast": 10, "mask": 2}
    assert list(similar_labels(labels, {"mast"}, toy_objects([])))
    assert not list(similar_labels(labels, {"mast", "mask"}, toy_objects([])))


@pytest.mark.parametrize(
    ("lost", "rule", "severity", "words"),
    [
        ({}, "class_without_objects", "warning", "is declared and has no object"),
        ({"no area": 3, "no label": 1}, "class_lost", "warning", "all 4 are left out (3: no area; 1: no label)"),
        ({"label in parse.drop": 2}, "class_lost", "note", "(2: label in parse.drop)"),
        ({"label in parse.drop": 2, "no area": 1}, "class_lost", "warning", "; 1: no area)"),
    ],
    ids=["never labelled", "dropped", "dropped on purpose", "both"],
)
def test_class_without_objects_is_told_with_the_reason(
    lost: dict[str, int], rule: str, severity: str, words: str
) -> None:
    counts = {"bolt": 100, "spare": 0}
    (finding,) = class_counts(counts, {"spare": lost}, ["label in parse.drop"], few=10, max_imbalance=10)
    assert (finding.rule, finding.severity, finding.label) == (rule, severity, "spare")
    assert words in finding.message
