"""Toy scenes, and the split of them."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pandas as pd

from tasks.contracts.params import read_params
from tasks.contracts.tables import NEAR_DUPLICATES, SPLIT_MEMORY
from tasks.split import Fractions, Split, SplitParams, split
from tests.tables_fixture import Row, toy_images, toy_objects

REPOSITORY = Path(__file__).resolve().parents[1]
PARAMS = read_params(REPOSITORY / "params.yaml", "split", SplitParams).model_copy(
    update={"fractions": Fractions(train=0.7, val=0.15, test=0.15)}
)
NO_PAIRS = pd.DataFrame(columns=NEAR_DUPLICATES.names, dtype=object)
NOTHING = pd.DataFrame(columns=SPLIT_MEMORY.names, dtype=object)


def frames(scene: str, count: int, **columns: object) -> list[Row]:
    return [{"image_id": f"{scene}{n:03}", "group": scene, "frame": n, **columns} for n in range(count)]


def looks(images: pd.DataFrame, alike: Sequence[Sequence[str]] = ()) -> pd.DataFrame:
    """Duplicates as check finds them: every image looks different, but for those in the lists of `alike`."""
    first = {image_id: group[0] for group in alike for image_id in group}
    names = images["image_id"].map(lambda image_id: first.get(image_id, image_id))
    table = pd.DataFrame({"image_id": images["image_id"], "cluster": pd.factorize(names)[0]})
    decoded: pd.DataFrame = table[images["file"].notna().to_numpy() & images["readable"].to_numpy()]
    return decoded


def chained(*chain: str) -> pd.DataFrame:
    """Near-duplicates as check finds them where each image of `chain` looks like the next one only."""
    rows = [(image_id, other, "shifted", 0.1) for other, image_id in pairwise(chain)]
    return pd.DataFrame(rows, columns=NEAR_DUPLICATES.names)


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
    return split(*tables, pairs=NO_PAIRS, seed=7, params=params)


def sides_of(result: Split) -> dict[str, str]:
    return dict(zip(result.table["image_id"], result.table["split"], strict=True))
