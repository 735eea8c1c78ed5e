"""formats: how much of a large JSON is looked at for places, and what is found in it."""

import json
from typing import Any

import pytest

from tasks.parsing.image_names import ImageNames
from tasks.parsing.location_signs import _values, could_be_labels, has_place_members, has_places, is_place_text

MANY: list[dict[str, Any]] = [{"name": f"c{number}", "n": {"m": number}} for number in range(30_000)]
NAMES = ImageNames({"b": ()})


def test_bounded_number_of_values_is_looked_at() -> None:
    assert len(list(_values({"entries": MANY}))) <= 1 + 1 + 3 * 20_000
    assert len(list(_values({f"k{number}": number for number in range(30_000)}))) == 1 + 20_000


@pytest.mark.parametrize("place", [{"cx": 2, "cy": 3, "w": 4, "h": 5}, [2, 3, 4, 5]], ids=["object", "row"])
def test_few_labels_beside_many_other_values_are_found(place: object) -> None:
    content = {"cameras": MANY, "marks": [{"file": "b.jpg", "at": place}]}
    assert could_be_labels(content, NAMES, is_named_like_image=False)


def test_one_image_that_is_there_is_found_among_the_labels_of_many() -> None:
    content = [{"file": f"c{number}.jpg", "at": [2, 3, 4, 5]} for number in range(30_000)]
    assert not could_be_labels(content, NAMES, is_named_like_image=False)
    assert could_be_labels([*content, {"file": "b.jpg"}], NAMES, is_named_like_image=False)


@pytest.mark.parametrize(("boxes", "is_found"), [([1, 2, 3, 4], True), ([], False), (None, False)])
def test_one_box_among_many_values_is_found_in_the_text(boxes: object, *, is_found: bool) -> None:
    text = json.dumps([*MANY, {"Boxes": boxes}])
    assert has_place_members(text) == is_found
    assert has_places(json.loads(text)[-3:]) == is_found


def test_a_long_word_is_told_from_numbers_without_trying_each_part_of_it_anew() -> None:
    # Hours of work otherwise, which the time limit of tests ends.
    assert not is_place_text("e" * 1_000_000 + "!")
    assert not is_place_text("a" + " " * 1_000_000 + "!")
