"""Toy scenes, and the split of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.contracts.params import read_params
from tasks.contracts.tables import SPLIT_MEMORY
from tasks.split import Fractions, Split, SplitParams, split
from tests.tables_fixture import Row, toy_images, toy_objects

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


def chained(images: pd.DataFrame, *chain: str) -> pd.DataFrame:
    """Duplicates as check finds them where each image of `chain` looks like the next one only."""
    duplicates = looks(images)
    rows = [duplicates.index[duplicates["image_id"] == image_id][0] for image_id in chain]
    digits = list(str(duplicates["hash"].loc[rows[0]]))
    for place, row in enumerate(rows):
        duplicates.loc[row, "hash"] = "".join(digits)
        digits[place] = f"{int(digits[place], 16) ^ 0b111:x}"
    duplicates.loc[rows, "cluster"] = duplicates["cluster"].loc[rows[0]]
    return duplicates


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
