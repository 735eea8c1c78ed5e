"""What a person should know of a split: what subsets decided, and where splits fall short, why, and what to do."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.leakage import SPLITS, SplitCount, SplitName
from tasks.contracts.quoting import written
from tasks.splitting.balance import NO_SPLIT, Features, SplitNumbers
from tasks.splitting.subsets import TRAIN, Subsets

_OFF = 1 / 3  # a split this far from its fraction, relative to it, is said
_FEW = 0.5  # a class of which a split has less than this part of its share is said,
_FEW_OBJECTS = 2  # if that is as many objects at least, as one more or less is chance
_MOST = 0.5  # of the images


@dataclass(frozen=True)
class Filled:
    """How splits came to be filled; images in order."""

    counts: dict[SplitName, SplitCount]
    fractions: Features
    features: Features  # (images, 2 + classes)
    classes: list[str]
    scenes: NDArray[np.intp]  # scenes that near-duplicates join count as one
    planned: SplitNumbers
    placed_before: NDArray[np.bool_]
    subsets: Subsets
    divided: bool  # scenes stand in several splits


def subset_notes(filled: Filled) -> list[str]:
    """What was taken from Train, and what images without a subset became of."""
    subsets, planned = filled.subsets, filled.planned
    if not (subsets.named != NO_SPLIT).any():
        return []
    notes = []
    for split in set(subsets.open_splits) - {TRAIN}:
        taken = (planned == split) & (subsets.named == TRAIN)
        if taken.any():
            notes.append(
                f"No subset is {SPLITS[split]}: {taken.sum():,} images of {_scenes(filled, taken)} in "
                f"{_names(subsets, taken)} were taken for it. To choose them yourself, set their subset in CVAT"
            )
    without = (subsets.named == NO_SPLIT) & (planned != NO_SPLIT)
    if without.any():
        counts = np.bincount(planned[without], minlength=len(SPLITS))
        splits = [f"{count:,} to {split}" for split, count in zip(SPLITS, counts, strict=True) if count]
        notes.append(
            f"{without.sum():,} images are in no subset that says train, val or test ({_names(subsets, without)}) and "
            f"went {', '.join(splits)}. params.yaml: split.subsets can say what such subsets are"
        )
    return notes


def divided_note(scenes: NDArray[np.intp], splits: SplitNumbers) -> str:
    """Which splits show scenes of train, where scenes were divided in time; else val and test share theirs."""
    shared = [
        split
        for number, split in enumerate(SPLITS)
        if number != TRAIN and np.isin(scenes[splits == number], scenes[splits == TRAIN]).any()
    ]
    if not shared:
        shows = "val and test show the same scenes, so figures on test will be lower on a new scene"
    elif len(shared) == 1:
        shows = f"{shared[0]} shows scenes of train, so its figures will be lower on a new scene"
    else:
        shows = f"{' and '.join(shared)} show scenes of train, so their figures will be lower on a new scene"
    return f"Scenes were divided into blocks of time: {shows}. For independent photos set parse.group_by to image"


def fraction_notes(filled: Filled) -> list[str]:
    """Splits that are off their fraction by a third or more."""
    notes = []
    for number, (split, count) in enumerate(filled.counts.items()):
        fraction = float(filled.fractions[number])
        if abs(count.share - fraction) >= _OFF * fraction - 1e-9:
            reason, hint = _reason(filled, number)
            notes.append(f"{split} has {count.share:.1%} of the images instead of {fraction:.0%}: {reason}. {hint}")
    return notes


def class_notes(filled: Filled) -> list[str]:
    """Classes of which a split has none, or far fewer objects than its share of the images."""
    notes = []
    for number, (split, count) in enumerate(filled.counts.items()):
        # A split that is small as a whole is one thing to say, not one for each class.
        share = min(count.share, float(filled.fractions[number]))
        none, few, divisible = [], [], False
        for label, objects in zip(filled.classes, filled.features.T[2:], strict=True):
            has, total, where = count.objects_per_class[label], float(objects.sum()), _scenes(filled, objects > 0)
            due = share * total
            if not has:
                none.append(f"{written(label)} ({total:,.0f} in all, in {where})")
            elif has < _FEW * due and due - has >= _FEW_OBJECTS:
                few.append(
                    f"{written(label)} ({has:,} of {total:,.0f}, where {due:.0f} would be its share; in {where})"
                )
            else:
                continue
            divisible = divisible or int(np.count_nonzero(objects)) >= len(SPLITS)
        which = "that show it" if len(none) + len(few) == 1 else "that show them"
        hint = _more_scenes(filled, which, divisible=divisible)
        notes += [f"{split} has no {', '.join(none)}. {hint}"] * bool(none)
        notes += [f"{split} has too few objects of {', '.join(few)}. {hint}"] * bool(few)
    return notes


def _reason(filled: Filled, split: int) -> tuple[str, str]:
    """Why a split is off its fraction, and what to do."""
    if not filled.subsets.is_open(split) or (filled.subsets.named > TRAIN).any():
        return (
            "subsets of CVAT say what is in val or test",
            "Set the subset of more or fewer tasks in CVAT, or split.fractions to what you mean",
        )
    if filled.placed_before.mean() > _MOST:
        return (
            "most images keep the split of the previous split",
            "Label more scenes: new ones go where images are missing. Or delete the split file to place all images "
            "again: figures before and after do not compare then",
        )
    if filled.divided:
        return "scenes are cut where classes and looks change", _more_scenes(filled, "")
    sizes = np.bincount(filled.scenes)
    return (
        f"scenes stay whole, and the largest of {np.count_nonzero(sizes):,} has {sizes.max() / sizes.sum():.1%} of all",
        _more_scenes(filled, ""),
    )


def _more_scenes(filled: Filled, which: str, *, divisible: bool = True) -> str:
    more = f"Label more scenes {which}".rstrip()
    cut = [SPLITS[split] for split in filled.subsets.open_splits if split != TRAIN]
    if filled.divided or not divisible or not cut:
        return more
    afresh = ", and delete the split file to place all images again" if filled.placed_before.any() else ""
    return (
        f"{more}, or set split.divide_scenes to true{afresh}: scenes stay whole now, and are then cut in time, so "
        f"that {' and '.join(cut)} {'shows' if len(cut) == 1 else 'show'} the same ones as train"
    )


def _scenes(filled: Filled, images: NDArray[np.bool_]) -> str:
    count = len(np.unique(filled.scenes[images]))
    return f"{count:,} scene{'' if count == 1 else 's'}"


def _names(subsets: Subsets, images: NDArray[np.bool_]) -> str:
    """The subsets of these images, for people."""
    names = subsets.names[images]
    known = [written(str(name)) for name in sorted(names.dropna().unique())]
    return ", ".join([*known, *["none"] * bool(names.isna().any())])
