"""What a split means: how splits are filled, what is left out, what leaks, and what a person should know."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from tasks.contracts.leakage import EXCLUDED, SPLITS, ExcludedImage, Leakage, SplitCount, SplitName
from tasks.splitting.balance import Features, SplitNumbers
from tasks.splitting.groups import SEVERAL, joined_scenes, one_split
from tasks.splitting.leakage import Relations, divided_tracks, leak, random_split
from tasks.splitting.notes import Filled, class_notes, divided_note, fraction_notes, subset_notes
from tasks.splitting.subsets import Subsets


@dataclass(frozen=True)
class Account:
    """A split of the usable images, in order of scene and time."""

    usable: pd.DataFrame
    classes: list[str]
    features: Features
    relations: Relations
    planned: SplitNumbers
    splits: SplitNumbers  # planned, without what near-duplicates exclude
    groups: list[str]
    left_out: dict[int, int]  # row -> row of its near-duplicate in another split
    fractions: Features
    subsets: Subsets
    seed: int


def account_for(split: Account, table: pd.DataFrame) -> Leakage:
    """All figures; `table` is the whole split table, with images that cannot be used."""
    splits = {name: _count(split, number) for number, name in enumerate(SPLITS)}
    ours = split.subsets.placed
    divided = bool((one_split(split.relations.scenes[ours], split.planned[ours]) == SEVERAL).any())
    by_subset = bool((split.subsets.named >= 0).any())
    method: Literal["subsets", "groups", "time"] = "subsets" if by_subset else "time" if divided else "groups"
    excluded = table[table["split"] == EXCLUDED]
    ids = split.usable["image_id"]
    near_duplicates = {ids[row]: ids[other] for row, other in split.left_out.items()}
    placed_before = split.usable["was"].isin(SPLITS)
    joined = joined_scenes(split.relations.scenes, split.relations.looks.clusters)
    scenes_joined = pd.Series(split.relations.scenes).groupby(joined).transform("nunique").to_numpy()
    together = one_split(joined, split.planned) != SEVERAL
    return Leakage(
        method=method,
        before=leak(random_split(len(split.splits), split.fractions, split.seed), split.relations),
        after=leak(split.splits, split.relations),
        splits=splits,
        excluded=dict(sorted(Counter(excluded["reason"]).items())),
        divided_tracks=divided_tracks(split.splits, split.relations),
        joined_by_near_duplicates=int(((scenes_joined > 1) & together).sum()),
        placed_before=int(placed_before.sum()),
        placed_now=int((~placed_before & (split.splits >= 0)).sum()),
        notes=_notes(split, splits, joined, divided=divided),
        excluded_images=[
            ExcludedImage(image_id=image_id, reason=reason, near_duplicate=near_duplicates.get(image_id))
            for image_id, reason in zip(excluded["image_id"], excluded["reason"], strict=True)
        ],
    )


def _count(split: Account, number: int) -> SplitCount:
    rows = np.flatnonzero(split.splits == number)
    counts = split.features[rows].sum(axis=0).astype(int)
    return SplitCount(
        images=len(rows),
        share=round(len(rows) / int((split.splits >= 0).sum()), 6),
        groups=len({split.groups[row] for row in rows}),
        empty_images=int(counts[1]),
        objects=int(counts[2:].sum()),
        objects_per_class={label: int(count) for label, count in zip(split.classes, counts[2:], strict=True)},
    )


def _notes(split: Account, splits: dict[SplitName, SplitCount], joined: SplitNumbers, *, divided: bool) -> list[str]:
    filled = Filled(
        splits,
        split.fractions,
        split.features,
        split.classes,
        scenes=joined,
        planned=split.planned,
        placed_before=split.usable["was"].isin(SPLITS).to_numpy(),
        subsets=split.subsets,
        divided=divided,
    )
    notes = subset_notes(filled)
    if divided:
        notes.append(divided_note(split.relations.scenes, split.splits))
    notes += [*fraction_notes(filled), *class_notes(filled)]
    if split.left_out:
        notes.append(f"{len(split.left_out):,} images are left out: they look like images in another split")
    return notes
