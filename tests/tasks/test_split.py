"""split: splits without leaks and in balance."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import PipelineError
from tasks.contracts.leakage import SPLITS
from tasks.split import split
from tests.fixtures.split import NOTHING, PARAMS, chained, divided, frames, looks, splits_of
from tests.fixtures.tables import Row, toy_images, toy_objects

pytestmark = pytest.mark.slow


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
    empty = sum(count.empty_images for count in leakage.splits.values())
    for name, fraction in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        count = leakage.splits[name]  # type: ignore[index]
        assert count.share == pytest.approx(fraction, abs=0.02)
        assert count.empty_images / empty == pytest.approx(fraction, abs=0.05)
        for label, total in totals.items():
            assert count.objects_per_class[str(label)] / total == pytest.approx(fraction, abs=0.06)


def test_a_class_of_three_scenes_is_in_every_split() -> None:
    rows = [row for number in range(30) for row in frames(f"s{number:02}-", 5)]
    objects = [{"image_id": f"s{number:02}-002", "label": "rare"} for number in (3, 14, 25)]
    splits = divided(rows, objects).leakage.splits
    assert [splits[split].objects_per_class["rare"] for split in SPLITS] == [1, 1, 1]


def test_new_scenes_that_pairs_link_stay_together_and_nothing_is_left_out() -> None:
    rows = [row for number in range(20) for row in frames(f"s{number:02}-", 4)]
    images = toy_images(rows)
    pairs = chained("s03-001", "s11-002", "s19-000")
    result = split(images, toy_objects([]), looks(images), NOTHING, pairs=pairs, seed=7, params=PARAMS)
    splits = splits_of(result)
    assert splits["s03-000"] == splits["s11-000"] == splits["s19-003"]
    assert result.leakage.excluded == {}
    assert result.leakage.after.near_duplicate == 0
    alone = split(images, toy_objects([]), looks(images), NOTHING, pairs=pairs.iloc[:0], seed=7, params=PARAMS)
    assert splits_of(alone) != splits


def test_scenes_with_near_duplicates_of_each_other_stay_together() -> None:
    rows = [row for number in range(20) for row in frames(f"s{number:02}-", 4)]
    alike = [["s03-001", "s11-002"], ["s11-000", "s19-000"]]
    result = divided(rows, alike=alike)
    splits = splits_of(result)
    assert splits["s03-000"] == splits["s11-000"] == splits["s19-003"]
    assert set(result.table.loc[result.table["group"] == "s03-", "image_id"].str[:3]) == {"s03", "s11", "s19"}
    assert result.leakage.joined_by_near_duplicates == 12
    assert result.leakage.excluded == {}


@pytest.mark.parametrize(
    ("count", "length", "also_alike"),
    [
        (30, 20, []),
        (12, 5, []),
        (12, 20, [[f"s03-{n:03}", f"s07-{n:03}"] for n in range(1, 20)]),
    ],
    ids=["long scenes", "short scenes", "two scenes that look alike throughout"],
)
def test_a_chart_that_all_scenes_show_divides_no_scene(count: int, length: int, also_alike: list[list[str]]) -> None:
    scenes = [f"s{number:02}-" for number in range(count)]
    chart = [f"{scene}000" for scene in scenes]
    first = divided([row for scene in scenes for row in frames(scene, length)], alike=[chart, *also_alike])
    assert first.leakage.method == "groups"
    assert first.leakage.after.near_duplicate == first.leakage.after.same_group == 0
    left_out = first.table.loc[first.table["split"] == "excluded", "image_id"]
    assert set(left_out) < set(chart)
    assert first.leakage.splits["test"].share == pytest.approx(0.15, abs=0.08)

    more = [f"t{number:02}-" for number in range(count)]
    rows = [row for scene in scenes + more for row in frames(scene, length)]
    second = divided(rows, alike=[chart + [f"{scene}000" for scene in more], *also_alike], previous=first.table)
    assert second.leakage.after.near_duplicate == second.leakage.after.same_group == 0
    assert second.leakage.splits["test"].share == pytest.approx(0.15, abs=0.08)


def test_scenes_that_look_alike_for_most_of_their_time_are_divided_in_time() -> None:
    stills = [[f"{scene}{n:03}" for scene in "abc" for n in range(start, start + 20)] for start in range(0, 120, 20)]
    assert divided([row for scene in "abc" for row in frames(scene, 200)], alike=stills).leakage.method == "time"


# One scene --------------------------------------------------------------------------------------------------------


def test_one_scene_is_divided_into_blocks_of_time_with_gaps() -> None:
    result = divided(frames("s", 300))
    table = result.table.sort_values("image_id").reset_index(drop=True)
    assert result.leakage.method == "time"
    assert result.leakage.after.neighbouring_frame == 0
    assert result.leakage.excluded == {"gap": 15}
    placed = table[table["split"].isin(SPLITS)]
    changes = placed["split"] != placed["split"].shift()
    distances = np.diff(placed.index.to_numpy())[changes.to_numpy()[1:]]
    assert (distances > 7).all()
    for name, fraction in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        assert (placed["split"] == name).mean() == pytest.approx(fraction, abs=0.03)


def test_blocks_of_time_are_groups_of_their_own() -> None:
    table = divided(frames("s", 300)).table
    placed = table[table["split"].isin(SPLITS)]
    assert placed["group"].nunique() == 3
    assert not placed.drop_duplicates(["group", "split"])["group"].duplicated().any()


def test_a_class_seen_for_a_short_while_is_in_every_split() -> None:
    objects = [{"image_id": f"s{number:03}", "label": "truck"} for number in range(120, 180)]
    objects += [{"image_id": f"s{number:03}", "label": "car"} for number in range(400)]
    splits = divided(frames("s", 400), objects).leakage.splits
    assert all(splits[split].objects_per_class["truck"] > 3 for split in SPLITS)
    assert all(splits[split].objects_per_class["car"] > 20 for split in SPLITS)


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
    kept = {split for image, split in splits_of(result).items() if image in alike[0]}
    assert len(kept - {"excluded"}) == 1
    assert result.leakage.after.near_duplicate == 0


def test_a_scene_is_cut_where_its_look_changes() -> None:
    still = [[f"s{n:03}" for n in range(start, stop)] for start, stop in [(0, 125), (125, 161), (161, 200)]]
    result = divided(frames("s", 200), alike=still)
    assert result.leakage.excluded == {"gap": 10}


def test_gaps_are_as_wide_as_asked_for_where_the_scene_is_long_enough() -> None:
    assert divided(frames("s", 800)).leakage.excluded == {"gap": 20}


@settings(max_examples=8)
@given(
    st.lists(st.integers(3, 120), min_size=1, max_size=2).flatmap(
        lambda first: st.tuples(st.just(first), st.lists(st.integers(0, 150), min_size=len(first), max_size=len(first)))
    ),
    st.integers(0, 40),
    st.integers(0, 60),
)
def test_all_gaps_of_a_scene_together_take_no_more_than_5_percent_of_it_however_it_grows(
    lengths: tuple[list[int], list[int]], gap: int, rare_at: int
) -> None:
    memory = NOTHING
    for grown in (lengths[0], [length + more for length, more in zip(*lengths, strict=True)]):
        rows = [row for number, length in enumerate(grown) for row in frames(f"{number}-", length)]
        objects = [{"image_id": row["image_id"], "label": "rare"} for row in rows[rare_at : rare_at + 9]]
        result = divided(rows, objects, previous=memory, divide_scenes=True, gap=gap)
        left_out = result.table[result.table["reason"] == "gap"]["image_id"].str[:2].value_counts()
        for number, length in enumerate(grown):
            assert 20 * left_out.get(f"{number}-", 0) <= length
        again = divided(rows, objects, previous=result.table, divide_scenes=True, gap=gap)
        pd.testing.assert_frame_equal(again.table, result.table)
        memory = result.table


def test_scenes_too_short_to_be_divided_are_placed_whole() -> None:
    rows = [row for number in range(40) for row in frames(f"s{number:02}-", 2)]
    leakage = divided(rows, divide_scenes=True).leakage
    assert leakage.excluded == {}
    assert leakage.splits["val"].share == pytest.approx(0.15, abs=0.03)


def test_subsets_of_cvat_are_honoured_if_asked_for() -> None:
    rows = [
        {**row, "subset": subset}
        for subset, scene in [("Train", "a"), ("VALIDATION", "b"), ("test", "c"), ("night", "d"), (None, "e")]
        for row in frames(scene, 6)
    ]
    result = divided(rows, use_subsets=True, subsets={"Night": "test"})
    placed = {image_id[0]: split for image_id, split in splits_of(result).items()}
    assert placed == {"a": "train", "b": "val", "c": "test", "d": "test", "e": "train"}
    assert result.leakage.method == "subsets"
    assert divided(rows, previous=result.table, use_subsets=True).leakage.method == "subsets"


@pytest.mark.parametrize(
    ("subsets", "hint"),
    [(("train", "val", "Night"), "Subsets are Night, train, val"), ((None, None, None), "split.use_subsets to false")],
    ids=["other names", "none"],
)
def test_a_subset_that_does_not_exist_is_refused_with_those_that_do(subsets: tuple[str | None, ...], hint: str) -> None:
    rows = [row for number, name in enumerate(subsets) for row in frames(f"s{number}-", 6, subset=name)]
    with pytest.raises(PipelineError, match="no image is in a subset nihgt") as raised:
        divided(rows, use_subsets=True, subsets={"nihgt": "test"})
    assert raised.value.where == "params.yaml: split.subsets"
    assert hint in raised.value.hint


def test_splits_of_subsets_that_are_not_used_are_named(caplog: pytest.LogCaptureFixture) -> None:
    rows = [row for number in range(9) for row in frames(f"s{number}-", 6, subset="night")]
    divided(rows, subsets={"night": "test"})
    assert "split.subsets says nothing while split.use_subsets is false: night" in caplog.text


def test_look_alikes_in_two_subsets_are_left_out_of_train() -> None:
    rows = [{**row, "subset": name} for name in ("train", "val", "test") for row in frames(name, 6)]
    result = divided(rows, alike=[["train001", "test003"]], use_subsets=True)
    assert splits_of(result)["train001"] == "excluded"
    assert splits_of(result)["test003"] == "test"


def test_an_image_that_changed_its_subset_keeps_its_split(caplog: pytest.LogCaptureFixture) -> None:
    rows = [{**row, "subset": name} for name in ("train", "val", "test") for row in frames(name, 6)]
    first = divided(rows, use_subsets=True)
    moved = [{**row, "subset": "train"} if row["image_id"] == "test002" else row for row in rows]
    second = divided(moved, use_subsets=True, previous=first.table)
    assert splits_of(second) == splits_of(first)
    assert "images that changed their subset and keep their split: 1" in caplog.text


@pytest.mark.parametrize(
    ("rows", "alike", "named"),
    [
        (frames("s", 2), [], "2 images of 1 scenes leave"),
        ([*frames("a", 1), *frames("b", 1)], [], "2 images of 2 scenes leave"),
        (frames("s", 40), [[f"s{n:03}" for n in range(40)]], "near-duplicates across splits were left out"),
    ],
    ids=["two images", "two scenes of one image", "all alike"],
)
def test_too_little_for_three_splits_is_refused_with_what_it_takes(
    rows: list[Row], alike: list[list[str]], named: str
) -> None:
    with pytest.raises(PipelineError, match="at least three scenes") as raised:
        divided(rows, alike=alike)
    assert named in raised.value.where


def test_images_without_a_file_are_counted_and_left_out() -> None:
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
