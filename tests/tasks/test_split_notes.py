"""split: where splits fall short of their fractions, it is said with the reason and what to do."""

import pytest

from tasks.split import Split
from tests.fixtures.split import divided, frames
from tests.fixtures.tables import Row


def labelled(rows: list[Row], label: str, *scenes: str, each: int = 1) -> list[Row]:
    return [
        {"image_id": row["image_id"], "label": label} for row in rows if row["group"] in scenes for _ in range(each)
    ]


def the_note(result: Split, begin: str) -> str:
    (found,) = [note for note in result.leakage.notes if note.startswith(begin)]
    return found


def test_a_class_of_which_val_gets_far_too_few_is_said_with_the_scenes_that_show_it() -> None:
    scenes = [f"s{number:02}-" for number in range(40)]
    rows = [row for scene in scenes for row in frames(scene, 10)]
    objects = labelled(rows, "disc", *scenes)
    # Nearly all kiwis are on two scenes, which can be in two splits only.
    objects += labelled(rows, "kiwi", "s03-", each=12) + labelled(rows, "kiwi", "s17-", each=7)
    objects += labelled(rows, "kiwi", "s29-")[:3]
    leakage = divided(rows, objects).leakage
    short = min(("val", "test"), key=lambda split: leakage.splits[split].objects_per_class["kiwi"])  # type: ignore[index]
    held = leakage.splits[short].objects_per_class["kiwi"]  # type: ignore[index]
    assert held <= 3
    note = the_note(divided(rows, objects), f"{short} has too few objects of kiwi")
    assert f"({held} of 193, where 29 would be its share; in 3 scenes)" in note
    assert "Label more scenes that show it, or set split.divide_scenes to true" in note
    assert "disc" not in "".join(leakage.notes)


def test_a_class_that_a_split_lacks_altogether_is_said() -> None:
    rows = [row for number in range(12) for row in frames(f"s{number:02}-", 5)]
    notes = divided(rows, labelled(rows, '5" pipe', "s04-")).leakage.notes
    assert len(notes) == 2
    for note in notes:
        assert r'has no "5\" pipe" (5 in all, in 1 scene). Label more scenes that show it, or set split.divide' in note
    one = divided(rows, labelled(rows, "nut", "s04-")[:1]).leakage.notes
    assert {note.partition("has no ")[2] for note in one} == {
        "nut (1 in all, in 1 scene). Label more scenes that show it"
    }


def test_classes_in_their_share_are_not_mentioned() -> None:
    scenes = [f"s{number:02}-" for number in range(40)]
    rows = [row for scene in scenes for row in frames(scene, 10)]
    assert divided(rows, labelled(rows, "disc", *scenes)).leakage.notes == []


@pytest.mark.parametrize("lengths", [[84, 4, 4, 4, 4], [40, 40, 7, 7, 6]], ids=["one long scene", "two long scenes"])
def test_a_split_off_its_fraction_by_a_third_is_said_with_the_largest_scene(lengths: list[int]) -> None:
    result = divided([row for number, length in enumerate(lengths) for row in frames(f"s{number}-", length)])
    off = [
        (split, count.share)
        for (split, count), fraction in zip(result.leakage.splits.items(), (0.7, 0.15, 0.15), strict=True)
        if abs(count.share / fraction - 1) >= 1 / 3
    ]
    assert off
    for split, share in off:
        note = the_note(result, f"{split} has {share:.1%} of the images instead of")
        assert f"scenes stay whole, and the largest of 5 has {max(lengths):.1f}% of all" in note
        assert "Label more scenes, or set split.divide_scenes to true" in note
    assert len([note for note in result.leakage.notes if "instead of" in note]) == len(off)


def test_a_split_that_the_previous_split_holds_is_said_with_the_way_out() -> None:
    rows = [row for number in range(40) for row in frames(f"s{number:02}-", 5)]
    first = divided(rows)
    grown = [row for number in range(40) for row in frames(f"s{number:02}-", 5 if number % 3 else 6)]
    test = set(first.table.loc[first.table["split"] == "test", "group"])
    kept = [row for row in grown if row["group"] not in sorted(test)[1:]]
    note = the_note(divided(kept, previous=first.table), "test has")
    assert "most images keep the split of the previous split" in note
    assert "delete the split file" in note


def test_a_split_that_subsets_make_small_is_put_down_to_them() -> None:
    sizes = {"Train": 20, "Validation": 10, "Test": 1}
    rows = [row for name, count in sizes.items() for n in range(count) for row in frames(f"{name}{n}-", 5, subset=name)]
    note = the_note(divided(rows, use_subsets=True), "test has 3.2% of the images instead of 15%")
    assert "subsets of CVAT say what is in val or test" in note


@pytest.mark.parametrize(
    ("subsets", "said"),
    [
        pytest.param((None, None, None), "so that val and test show the same ones as train", id="no subset"),
        pytest.param(("Train", "Train", "Test"), "so that val shows the same ones as train", id="own test"),
        pytest.param(("Train", "Validation", "Test"), "Label more scenes that show it", id="all named"),
    ],
)
def test_the_way_out_names_the_splits_that_can_be_cut_from_train(subsets: tuple[str | None, ...], said: str) -> None:
    scenes = [(f"s{number:02}-", subsets[number % 3]) for number in range(12)]
    rows = [row for scene, subset in scenes for row in frames(scene, 5, subset=subset)]
    note = the_note(divided(rows, labelled(rows, "kiwi", "s03-"), use_subsets=True), "val has no kiwi")
    assert note.endswith(said)
