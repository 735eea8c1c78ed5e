"""A few images that stand for a split."""

from pathlib import Path

import pandas as pd
import pytest

from tasks.dataset.read_split import Dataset
from tasks.exporting.image_sample import draw_sample

LABELS = ["bolt", "nut", "crack"]


def labelled(cracked: int, images: int = 60) -> Dataset:
    """Images with a bolt, every third with a nut too, every fifth with nothing; the last `cracked` with two cracks."""
    names = [f"{number:03}" for number in range(images)]
    objects = [
        {"image_id": name, "label": label}
        for number, name in enumerate(names)
        for label in (
            ["crack", "crack"] if number >= images - cracked else ["bolt", "nut"] if number % 3 == 0 else ["bolt"]
        )
        if number % 5
    ]
    table = pd.DataFrame({"image_id": names, "name": names, "path": [Path(f"{name}.png") for name in names]})
    return Dataset(table.assign(sha256=names), pd.DataFrame(objects))


@pytest.mark.parametrize("count", [3, 10, 40])
def test_a_rare_class_is_in_the_sample(count: int) -> None:
    drawn = draw_sample(labelled(cracked=2), LABELS, count, seed=1)
    assert len(drawn.paths) == count
    assert all(drawn.objects_per_class.values())


def test_the_rarest_class_comes_first() -> None:
    assert draw_sample(labelled(cracked=2), LABELS, 1, seed=1).objects_per_class == {"bolt": 0, "nut": 0, "crack": 2}


def test_classes_take_turns() -> None:
    drawn = draw_sample(labelled(cracked=20), LABELS, 12, seed=1)
    # Four turns each. Cracks come in twos, a nut comes with a bolt, and a bolt's turn may bring a nut.
    assert drawn.objects_per_class == {"bolt": 8, "nut": 5, "crack": 8}


def test_images_without_objects_fill_up_what_is_left() -> None:
    assert len(draw_sample(labelled(cracked=2), LABELS, 500, seed=1).paths) == 60


def test_the_sample_does_not_depend_on_the_order_of_rows() -> None:
    given = labelled(cracked=2)
    turned = Dataset(given.images[::-1], given.objects.sample(frac=1, random_state=3))
    assert draw_sample(given, LABELS, 9, seed=1) == draw_sample(turned, LABELS, 9, seed=1)
    assert draw_sample(given, LABELS, 9, seed=1) != draw_sample(given, LABELS, 9, seed=2)


def test_a_class_that_is_nowhere_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    draw_sample(labelled(cracked=0), LABELS, 9, seed=1)
    assert "none of the 9 images drawn shows crack" in caplog.text
