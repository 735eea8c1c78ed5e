"""What a split means: how sides are filled, what is left out, what leaks, and what a person should know."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from tasks.contracts.leakage import EXCLUDED, SIDES, ExcludedImage, Leakage, Side, SideCount
from tasks.splitting.balance import Counts, SideNumbers
from tasks.splitting.groups import SEVERAL, joined_scenes, one_side
from tasks.splitting.leakage import Relations, divided_tracks, leak, random_sides
from tasks.splitting.notes import Filled, class_notes, divided_note, fraction_notes, subset_notes
from tasks.splitting.subsets import Subsets


@dataclass(frozen=True)
class Account:
    """A split of the usable images, in order of scene and time."""

    usable: pd.DataFrame
    classes: list[str]
    features: Counts
    relations: Relations
    planned: SideNumbers
    sides: SideNumbers  # planned, without twins
    groups: list[str]
    twins: dict[int, int]  # row left out -> row of its twin
    fractions: Counts
    subsets: Subsets
    seed: int


def account_for(split: Account, table: pd.DataFrame) -> Leakage:
    """All figures; `table` is the whole split table, with images that cannot be used."""
    sides = {side: _side_count(split, number) for number, side in enumerate(SIDES)}
    ours = split.subsets.placed
    divided = bool((one_side(split.relations.scenes[ours], split.planned[ours]) == SEVERAL).any())
    by_subset = bool((split.subsets.named >= 0).any())
    method: Literal["subsets", "groups", "time"] = "subsets" if by_subset else "time" if divided else "groups"
    excluded = table[table["split"] == EXCLUDED]
    ids = split.usable["image_id"]
    twins = {ids[row]: ids[twin] for row, twin in split.twins.items()}
    placed_before = split.usable["was"].isin(SIDES)
    joined = joined_scenes(split.relations.scenes, split.relations.looks.clusters)
    scenes_joined = pd.Series(split.relations.scenes).groupby(joined).transform("nunique").to_numpy()
    together = one_side(joined, split.planned) != SEVERAL
    return Leakage(
        method=method,
        before=leak(random_sides(len(split.sides), split.fractions, split.seed), split.relations),
        after=leak(split.sides, split.relations),
        sides=sides,
        excluded=dict(sorted(Counter(excluded["reason"]).items())),
        divided_tracks=divided_tracks(split.sides, split.relations),
        moved_by_twins=int(((scenes_joined > 1) & together).sum()),
        placed_before=int(placed_before.sum()),
        placed_now=int((~placed_before & (split.sides >= 0)).sum()),
        notes=_notes(split, sides, joined, divided=divided),
        excluded_images=[
            ExcludedImage(image_id=image_id, reason=reason, twin=twins.get(image_id))
            for image_id, reason in zip(excluded["image_id"], excluded["reason"], strict=True)
        ],
    )


def _side_count(split: Account, number: int) -> SideCount:
    rows = np.flatnonzero(split.sides == number)
    counts = split.features[rows].sum(axis=0).astype(int)
    return SideCount(
        images=len(rows),
        share=round(len(rows) / int((split.sides >= 0).sum()), 6),
        groups=len({split.groups[row] for row in rows}),
        empty_images=int(counts[1]),
        objects=int(counts[2:].sum()),
        objects_per_class={label: int(count) for label, count in zip(split.classes, counts[2:], strict=True)},
    )


def _notes(split: Account, sides: dict[Side, SideCount], joined: SideNumbers, *, divided: bool) -> list[str]:
    filled = Filled(
        sides,
        split.fractions,
        split.features,
        split.classes,
        scenes=joined,
        planned=split.planned,
        placed_before=split.usable["was"].isin(SIDES).to_numpy(),
        subsets=split.subsets,
        divided=divided,
    )
    notes = subset_notes(filled)
    if divided:
        notes.append(divided_note(split.relations.scenes, split.sides))
    notes += [*fraction_notes(filled), *class_notes(filled)]
    if split.twins:
        notes.append(f"{len(split.twins):,} images are left out: they look like images on another side")
    return notes
