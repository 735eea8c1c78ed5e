"""Scenes are drawn whole; of those that the split divided, parts in order of time."""

import pandas as pd
import pytest

from tasks.metrics.resampling_units import units


def images(names: list[str], groups: list[str], *, divided: bool, frames: list[int] | None = None) -> pd.DataFrame:
    columns = {"image_id": [f"id-{name}" for name in names], "name": names, "frame": frames, "group": groups}
    return pd.DataFrame({**columns, "divided": divided})


def test_whole_scenes_stay_whole_however_many_images_they_have() -> None:
    found = units(images([f"{n}" for n in range(50)], ["a"] * 40 + ["b"] * 10, divided=False), 10)
    assert found.of_image == ["a"] * 40 + ["b"] * 10
    assert (found.count, found.reason) == (2, "")


@pytest.mark.parametrize(("count", "sizes"), [(9, [9]), (10, [10]), (19, [19]), (20, [10, 10]), (34, [10, 10, 14])])
def test_divided_scene_is_drawn_in_parts_of_at_least_that_length(count: int, sizes: list[int]) -> None:
    found = units(images([f"f{n}" for n in range(count)], ["a · block 2"] * count, divided=True), 10)
    assert pd.Series(found.of_image).value_counts(sort=False).to_list() == sizes
    assert f"{len(sizes)} parts are resampled" in found.reason
    assert "not for other scenes" in found.reason


def test_parts_follow_time_and_not_the_order_of_rows() -> None:
    by_name = units(images(["f_10", "f_9", "f_1", "f_2"], ["a"] * 4, divided=True), 2)
    assert by_name.of_image == ["a · part 2", "a · part 2", "a · part 1", "a · part 1"]
    by_frame = units(images(["a", "b", "c", "d"], ["a"] * 4, divided=True, frames=[7, 1, 8, 2]), 2)
    assert by_frame.of_image == ["a · part 2", "a · part 1", "a · part 2", "a · part 1"]
