"""split: sides without leaks, balanced, and for good."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.check_report import CheckReport
from tasks.contracts.errors import PipelineError
from tasks.contracts.leakage import SIDES, Leakage
from tasks.contracts.near_duplicates import hashes_to_words, near_duplicate_pairs
from tasks.contracts.params import read_params
from tasks.contracts.record import read_record, write_record
from tasks.contracts.tables import DUPLICATES, SPLIT, SPLIT_MEMORY, read_table, write_table
from tasks.split import Fractions, Split, SplitParams, main, split
from tests.tables_fixture import Row, toy_images, toy_ledger, toy_objects, write_annotations

REPOSITORY = Path(__file__).resolve().parents[1]
PARAMS = read_params(REPOSITORY / "params.yaml", "split", SplitParams).model_copy(
    update={"fractions": Fractions(train=0.7, val=0.15, test=0.15)}
)
NEAR = 4  # bits
NOTHING = pd.DataFrame(columns=SPLIT_MEMORY.names, dtype=object)


def frames(scene: str, count: int, **columns: object) -> list[Row]:
    return [{"image_id": f"{scene}{n:03}", "group": scene, "frame": n, **columns} for n in range(count)]


def looks(images: pd.DataFrame, alike: Sequence[Sequence[str]] = ()) -> pd.DataFrame:
    """Duplicates as check finds them: every image looks different, but for those in the lists of `alike`."""
    first = {image_id: group[0] for group in alike for image_id in group}
    names = [first.get(image_id, image_id) for image_id in images["image_id"]]
    hashes = [np.random.default_rng(list(name.encode())).bytes(32).hex() for name in names]
    table = pd.DataFrame(
        {"image_id": images["image_id"], "hash": hashes, "cluster": pd.factorize(pd.Series(hashes))[0]}
    )
    decoded: pd.DataFrame = table[images["file"].notna().to_numpy() & images["readable"].to_numpy()]
    return decoded


def divided(
    rows: Sequence[Row],
    objects: Sequence[Row] = (),
    alike: Sequence[Sequence[str]] = (),
    previous: pd.DataFrame = NOTHING,
    **changes: object,
) -> Split:
    images = toy_images(rows)
    params = SplitParams.model_validate(PARAMS.model_dump() | changes)
    tables = (images, toy_objects(objects), looks(images, alike), previous)
    return split(*tables, near_duplicate_bits=NEAR, seed=7, params=params)


def sides_of(result: Split) -> dict[str, str]:
    return dict(zip(result.table["image_id"], result.table["split"], strict=True))


# Scenes -----------------------------------------------------------------------------------------------------------


def test_a_scene_is_never_divided_if_there_are_enough() -> None:
    rows = [row for number in range(12) for row in frames(f"s{number}-", 3 + number)]
    result = divided(rows)
    assert not result.table.drop_duplicates(["group", "split"])["group"].duplicated().any()
    assert set(result.table["group"]) == {f"s{number}-" for number in range(12)}
    assert result.leakage.method == "groups"
    assert result.leakage.after.same_group == 0


def test_images_and_classes_come_near_their_fractions() -> None:
    rng = np.random.default_rng(0)
    rows = [row for number in range(60) for row in frames(f"s{number:02}-", int(rng.integers(3, 30)))]
    labels = rng.choice(["often", "seldom", "rare"], (60, 3), p=[0.8, 0.15, 0.05])
    objects = [
        {"image_id": row["image_id"], "label": label}
        for row in rows
        for label in labels[int(str(row["group"])[1:3])]
        if rng.random() < 0.7
    ]
    leakage = divided(rows, objects).leakage
    totals = pd.Series([str(row["label"]) for row in objects]).value_counts()
    empty = sum(count.empty_images for count in leakage.sides.values())
    for side, fraction in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        count = leakage.sides[side]  # type: ignore[index]
        assert count.share == pytest.approx(fraction, abs=0.02)
        assert count.empty_images / empty == pytest.approx(fraction, abs=0.05)
        for label, total in totals.items():
            assert count.objects_per_class[str(label)] / total == pytest.approx(fraction, abs=0.06)


def test_a_class_of_three_scenes_is_on_every_side() -> None:
    rows = [row for number in range(30) for row in frames(f"s{number:02}-", 5)]
    objects = [{"image_id": f"s{number:02}-002", "label": "rare"} for number in (3, 14, 25)]
    sides = divided(rows, objects).leakage.sides
    assert [sides[side].objects_per_class["rare"] for side in SIDES] == [1, 1, 1]


def test_scenes_with_near_duplicates_of_each_other_stay_together() -> None:
    rows = [row for number in range(20) for row in frames(f"s{number:02}-", 4)]
    alike = [["s03-001", "s11-002"], ["s11-000", "s19-000"]]
    result = divided(rows, alike=alike)
    sides = sides_of(result)
    assert sides["s03-000"] == sides["s11-000"] == sides["s19-003"]
    assert set(result.table.loc[result.table["group"] == "s03-", "image_id"].str[:3]) == {"s03", "s11", "s19"}
    assert result.leakage.moved_by_twins == 12
    assert result.leakage.excluded == {}


# One scene --------------------------------------------------------------------------------------------------------


def test_one_scene_is_divided_into_blocks_of_time_with_gaps() -> None:
    result = divided(frames("s", 300))
    table = result.table.sort_values("image_id").reset_index(drop=True)
    assert result.leakage.method == "time"
    assert result.leakage.after.neighbouring_frame == 0
    assert result.leakage.excluded == {"gap": 20}
    placed = table[table["split"].isin(SIDES)]
    changes = placed["split"] != placed["split"].shift()
    distances = np.diff(placed.index.to_numpy())[changes.to_numpy()[1:]]
    assert (distances > 10).all()
    for side, fraction in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        assert (placed["split"] == side).mean() == pytest.approx(fraction, abs=0.03)


def test_blocks_of_time_are_groups_of_their_own() -> None:
    table = divided(frames("s", 300)).table
    placed = table[table["split"].isin(SIDES)]
    assert placed["group"].nunique() == 3
    assert not placed.drop_duplicates(["group", "split"])["group"].duplicated().any()


def test_a_class_seen_for_a_short_while_is_on_every_side() -> None:
    objects = [{"image_id": f"s{number:03}", "label": "truck"} for number in range(120, 180)]
    objects += [{"image_id": f"s{number:03}", "label": "car"} for number in range(400)]
    sides = divided(frames("s", 400), objects).leakage.sides
    assert all(sides[side].objects_per_class["truck"] > 3 for side in SIDES)
    assert all(sides[side].objects_per_class["car"] > 20 for side in SIDES)


def test_tracks_across_a_gap_are_counted() -> None:
    objects = [{"image_id": f"s{number:03}", "track_id": "1"} for number in range(300)]
    objects += [{"image_id": f"s{number:03}", "track_id": "2"} for number in range(5)]
    leakage = divided(frames("s", 300), objects).leakage
    assert leakage.divided_tracks == 1
    assert leakage.after.same_track == 1


def test_time_follows_names_where_frames_are_unknown() -> None:
    rows: list[Row] = [{"image_id": f"{(n * 37) % 200}", "name": f"img_{n}.png"} for n in range(200)]
    result = divided(rows)
    order = result.table["image_id"].map({row["image_id"]: int(str(row["name"])[4:-4]) for row in rows})
    assert order.is_monotonic_increasing
    assert result.leakage.after.neighbouring_frame == 0


def test_look_alikes_across_blocks_are_left_out_of_train() -> None:
    alike = [["s010", "s150", "s290"]]
    result = divided(frames("s", 300), alike=alike)
    kept = {side for image, side in sides_of(result).items() if image in alike[0]}
    assert len(kept - {"excluded"}) == 1
    assert result.leakage.after.near_duplicate == 0


def test_a_scene_is_cut_where_its_look_changes() -> None:
    still = [[f"s{n:03}" for n in range(start, stop)] for start, stop in [(0, 110), (110, 160), (160, 200)]]
    result = divided(frames("s", 200), alike=still)
    assert result.leakage.excluded == {"gap": 20}


def test_scenes_too_short_to_be_divided_are_placed_whole() -> None:
    rows = [row for number in range(40) for row in frames(f"s{number:02}-", 2)]
    leakage = divided(rows, divide_scenes=True).leakage
    assert leakage.excluded == {}
    assert leakage.sides["val"].share == pytest.approx(0.15, abs=0.03)


# Memory -----------------------------------------------------------------------------------------------------------


def test_new_images_join_the_side_of_their_scene() -> None:
    rows = [row for number in range(9) for row in frames(f"s{number}-", 4)]
    first = divided(rows)
    grown = [row for number in range(9) for row in frames(f"s{number}-", 9)]
    second = divided(grown, previous=first.table)
    before = {image_id[:3]: side for image_id, side in sides_of(first).items()}
    assert all(side == before[image_id[:3]] for image_id, side in sides_of(second).items())
    assert second.leakage.placed_before == 36
    assert second.leakage.placed_now == 45


def test_a_new_image_like_images_on_two_sides_is_left_out() -> None:
    rows = [row for number in range(9) for row in frames(f"s{number}-", 4)]
    first = divided(rows)
    train, test = (first.table.loc[first.table["split"] == side, "image_id"].iloc[0] for side in ("train", "test"))
    link = {"image_id": "new", "group": "new", "frame": 0}
    images = toy_images([*rows, link])
    duplicates = looks(images).set_index("image_id")
    near_both = list(duplicates.loc[train, "hash"])
    near_both[0] = f"{int(near_both[0], 16) ^ 0b11:x}"
    duplicates.loc["new", "hash"] = "".join(near_both)
    near_both[1] = f"{int(near_both[1], 16) ^ 0b111:x}"
    duplicates.loc[test, "hash"] = "".join(near_both)
    duplicates.loc[["new", test], "cluster"] = duplicates.loc[train, "cluster"]
    second = split(
        images, toy_objects([]), duplicates.reset_index(), first.table, near_duplicate_bits=NEAR, seed=7, params=PARAMS
    )
    assert sides_of(second)["new"] == "excluded"
    assert sides_of(second) | {"new": ""} == sides_of(first) | {"new": ""}
    (excluded,) = second.leakage.excluded_images
    assert (excluded.image_id, excluded.reason, excluded.twin) == ("new", "twin", test)


def test_a_new_image_of_a_test_scene_gives_way_to_the_old_one_in_train_that_it_looks_like() -> None:
    rows = [row for number in range(9) for row in frames(f"s{number}-", 4)]
    first = divided(rows)
    train, test = (first.table.loc[first.table["split"] == side, "image_id"].iloc[0] for side in ("train", "test"))
    new: Row = {"image_id": "new", "group": test[:3], "frame": 9}
    second = divided([*rows, new], alike=[[train, "new"]], previous=first.table)
    assert sides_of(second) == sides_of(first) | {"new": "excluded"}
    assert sides_of(divided([*rows, new], alike=[[train, "new"]], previous=second.table)) == sides_of(second)


def test_of_old_images_that_turn_out_alike_train_gives_way_and_returns_when_its_twin_is_gone() -> None:
    rows = [row for number in range(9) for row in frames(f"s{number}-", 4)]
    first = divided(rows)
    train, test = (first.table.loc[first.table["split"] == side, "image_id"].iloc[0] for side in ("train", "test"))
    second = divided(rows, alike=[[train, test]], previous=first.table)
    assert {k: v for k, v in sides_of(second).items() if v != sides_of(first)[k]} == {train: "excluded"}
    without = [row for row in rows if row["image_id"] != test]
    third = divided(without, previous=second.table)
    assert sides_of(third)[train] == "train"
    assert test not in sides_of(third)


def test_a_divided_scene_that_grows_keeps_its_blocks_and_balances_what_is_new() -> None:
    first = divided(frames("s", 200))
    second = divided(frames("s", 800), previous=first.table)
    old, new = sides_of(first), sides_of(second)
    assert all(new[image_id] == side for image_id, side in old.items())
    assert second.leakage.sides["val"].share == pytest.approx(0.15, abs=0.05)
    assert second.leakage.after.neighbouring_frame == 0


def test_an_image_that_was_unreadable_keeps_its_side() -> None:
    rows = [row for number in range(9) for row in frames(f"s{number}-", 4)]
    first = divided(rows)
    broken = [{**row, "readable": row["image_id"] != "s4-001"} for row in rows]
    second = divided(broken, previous=first.table)
    assert sides_of(second)["s4-001"] == "excluded"
    assert second.leakage.excluded == {"unreadable": 1}
    assert sides_of(divided(rows, previous=second.table)) == sides_of(first)


# Any growth -------------------------------------------------------------------------------------------------------

SCENES = st.fixed_dictionaries(
    dict.fromkeys("abc", st.integers(2, 25)), optional=dict.fromkeys("defgh", st.integers(1, 25))
)
LINKS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 2), st.sampled_from("abcdefgh")), max_size=6)
VERSIONS = st.lists(st.tuples(SCENES, LINKS), min_size=2, max_size=3)


@settings(deadline=None, max_examples=15)
@given(VERSIONS, st.booleans())
def test_whatever_is_added_or_removed_nothing_moves_and_nothing_leaks(
    versions: list[tuple[dict[str, int], list[tuple[str, int, str]]]], divide: bool
) -> None:
    _grow(versions, divide=divide)


@pytest.mark.slow
@settings(deadline=None, max_examples=400)
@given(VERSIONS, st.booleans())
def test_nothing_moves_and_nothing_leaks_at_length(
    versions: list[tuple[dict[str, int], list[tuple[str, int, str]]]], divide: bool
) -> None:
    _grow(versions, divide=divide)


def _grow(versions: list[tuple[dict[str, int], list[tuple[str, int, str]]]], *, divide: bool) -> None:
    """Split one version of the data after the other: scenes with their lengths, and images that look alike."""
    memory = NOTHING
    history: dict[str, str] = {}
    for scenes, links in versions:
        rows = [row for scene, count in scenes.items() for row in frames(scene, count)]
        objects = [{"image_id": row["image_id"], "label": str(row["group"])} for row in rows[::2]]
        alike = [[f"{one}{n:03}", f"{other}{n:03}"] for one, n, other in links]
        try:
            result = divided(rows, objects, alike, memory, divide_scenes=divide)
        except PipelineError:
            # Look-alikes may tie all scenes together, and what is removed may have been all of a side.
            assert links or memory is not NOTHING
            return
        _nothing_leaks(result, looks(toy_images(rows), alike))
        for image_id, side in sides_of(result).items():
            assert side == "excluded" or history.setdefault(image_id, side) == side
        history = {image_id: side for image_id, side in history.items() if image_id in sides_of(result)}
        again = divided(rows[::-1], objects[::-1], alike, result.table, divide_scenes=divide)
        pd.testing.assert_frame_equal(again.table, result.table)
        memory = result.table


def _nothing_leaks(result: Split, duplicates: pd.DataFrame) -> None:
    placed = result.table[result.table["split"].isin(SIDES)].merge(duplicates, on="image_id")
    words = hashes_to_words(placed["hash"].tolist())
    ones, others = near_duplicate_pairs(words, words, NEAR)
    sides = placed["split"].to_numpy()
    assert (sides[ones] == sides[others]).all()
    assert result.leakage.after.near_duplicate in {0, None}
    assert not placed.drop_duplicates(["group", "split"])["group"].duplicated().any()
    assert set(placed["split"]) == set(SIDES)


# Subsets, faults, the command -------------------------------------------------------------------------------------


def test_subsets_of_cvat_are_honoured_if_asked_for() -> None:
    rows = [
        {**row, "subset": subset}
        for subset, scene in [("Train", "a"), ("VALIDATION", "b"), ("test", "c"), ("night", "d"), (None, "e")]
        for row in frames(scene, 6)
    ]
    result = divided(rows, use_subsets=True, subsets={"Night": "test"})
    placed = {image_id[0]: side for image_id, side in sides_of(result).items()}
    assert placed == {"a": "train", "b": "val", "c": "test", "d": "test", "e": "train"}
    assert result.leakage.method == "subsets"
    assert divided(rows, previous=result.table, use_subsets=True).leakage.method == "subsets"


def test_look_alikes_in_two_subsets_are_left_out_of_train() -> None:
    rows = [{**row, "subset": name} for name in ("train", "val", "test") for row in frames(name, 6)]
    result = divided(rows, alike=[["train001", "test003"]], use_subsets=True)
    assert sides_of(result)["train001"] == "excluded"
    assert sides_of(result)["test003"] == "test"


def test_an_image_that_changed_its_subset_keeps_its_side(caplog: pytest.LogCaptureFixture) -> None:
    rows = [{**row, "subset": name} for name in ("train", "val", "test") for row in frames(name, 6)]
    first = divided(rows, use_subsets=True)
    moved = [{**row, "subset": "train"} if row["image_id"] == "test002" else row for row in rows]
    second = divided(moved, use_subsets=True, previous=first.table)
    assert sides_of(second) == sides_of(first)
    assert "1 images changed their subset; they keep their side" in caplog.text


@pytest.mark.parametrize(
    ("rows", "alike", "named"),
    [
        (frames("s", 2), [], "2 images of 1 scenes leave"),
        ([*frames("a", 1), *frames("b", 1)], [], "2 images of 2 scenes leave"),
        (frames("s", 40), [[f"s{n:03}" for n in range(40)]], "near-duplicates across sides were left out"),
    ],
    ids=["two images", "two scenes of one image", "all alike"],
)
def test_too_little_for_three_sides_is_refused_with_what_it_takes(
    rows: list[Row], alike: list[list[str]], named: str
) -> None:
    with pytest.raises(PipelineError, match="at least three scenes") as raised:
        divided(rows, alike=alike)
    assert named in raised.value.where


def test_images_that_are_not_held_are_counted_and_left_out() -> None:
    rows = [row for number in range(9) for row in frames(f"s{number}-", 4)]
    absent = [{**row, "file": None} if row["frame"] == 3 else row for row in rows]
    result = divided(absent)
    assert result.leakage.excluded == {"absent": 9}
    with pytest.raises(PipelineError, match="Put the image files beside the labels"):
        divided([{**row, "file": None} for row in rows])


def test_leakage_before_is_that_of_a_random_split_of_single_images() -> None:
    before = divided([row for number in range(30) for row in frames(f"s{number:02}-", 20)]).leakage.before
    assert before.same_group == pytest.approx(1, abs=0.01)
    # Two neighbours, each in train with a probability of 0.7.
    assert before.neighbouring_frame == pytest.approx(1 - 0.3**2, abs=0.06)


def test_fractions_that_are_not_one_together_are_refused(tmp_path: Path) -> None:
    sections = {"split": PARAMS.model_dump() | {"fractions": {"train": 0.8, "val": 0.2, "test": 0.2}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections))
    with pytest.raises(PipelineError, match=r"train, val and test are 1\.2 together; they must be 1"):
        read_params(tmp_path / "params.yaml", "split", SplitParams)


def test_command_writes_the_split_reads_it_again_and_changes_nothing(tmp_path: Path) -> None:
    written_inputs(tmp_path, passed=True)
    run_command(tmp_path)
    table = read_table(tmp_path / "split.parquet", SPLIT)
    leakage = read_record(tmp_path / "leakage.json", Leakage)
    assert {side: (table["split"] == side).sum() for side in SIDES} == {
        side: count.images for side, count in leakage.sides.items()
    }
    first = (tmp_path / "split.parquet").read_bytes()
    run_command(tmp_path)
    assert (tmp_path / "split.parquet").read_bytes() == first


def test_leakage_file_holds_numbers_as_dvc_metrics_wants_them(tmp_path: Path) -> None:
    written_inputs(tmp_path, passed=True)
    run_command(tmp_path)
    figures = json.loads((tmp_path / "leakage.json").read_text())
    assert isinstance(figures["after"]["near_duplicate"], float)
    assert isinstance(figures["sides"]["train"]["share"], float)


def test_command_refuses_behind_a_failed_check(tmp_path: Path) -> None:
    written_inputs(tmp_path, passed=False)
    with pytest.raises(PipelineError, match="unknown_label") as raised:
        run_command(tmp_path)
    assert "findings.parquet" in raised.value.mend
    assert "params.yaml: check" in raised.value.mend
    assert not (tmp_path / "split.parquet").exists()


def written_inputs(folder: Path, *, passed: bool) -> None:
    images = toy_images([row for number in range(9) for row in frames(f"s{number}-", 4)])
    write_annotations(folder / "annotations", images, toy_objects([{"image_id": "s0-000"}]), toy_ledger(["part"]))
    report = CheckReport(
        passed=passed,
        stop_on=["error"],
        stops=[] if passed else ["unknown_label (3): A label is not among the known classes."],
        images=36,
        held=36,
        decoded=36,
        objects=1,
        objects_per_class={"part": 1},
        findings=0,
        severities={},
        rules=[],
        expectations={},
        near_duplicate_bits=NEAR,
    )
    write_record(report, folder / "checks" / "report.json")
    write_table(looks(images), folder / "checks" / "duplicates.parquet", DUPLICATES)


def run_command(folder: Path) -> None:
    main(
        annotations=folder / "annotations",
        checks=folder / "checks",
        split_file=folder / "split.parquet",
        leakage=folder / "leakage.json",
        params=REPOSITORY / "params.yaml",
    )
