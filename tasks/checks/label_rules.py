"""Faults of class names and of how many objects each class has."""

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import combinations

import pandas as pd
from rapidfuzz.distance import OSA

from tasks.checks.findings import Finding
from tasks.contracts.check_report import Severity


def similar_labels(objects_per_class: Mapping[str, int], known: set[str], objects: pd.DataFrame) -> Iterator[Finding]:
    """Pairs of names that differ by little more than spelling; the place is the first object of the rarer one.

    Two names that are both in `known` are both meant.
    """
    first_objects = objects.drop_duplicates("label").set_index("label")
    for one, other in combinations(sorted(objects_per_class), 2):
        if {one, other} <= known or not _nearly_the_same(one, other):
            continue
        often, seldom = sorted((one, other), key=lambda label: (-objects_per_class[label], label))
        counts = f"{objects_per_class[seldom]:,} and {objects_per_class[often]:,} objects"
        message = f'"{seldom}" may be meant as "{often}": {counts}'
        place = first_objects.loc[seldom] if seldom in first_objects.index else None
        yield Finding(
            "similar_labels",
            "warning",
            message,
            image_id=None if place is None else str(place["image_id"]),
            object_id=None if place is None else str(place["object_id"]),
            label=seldom,
            value=float(objects_per_class[seldom]),
        )


def _nearly_the_same(one: str, other: str) -> bool:
    """Whether two names have the same words but for case, separators, a plural or a slip of the keyboard."""
    words, other_words = _words(one), _words(other)
    if "".join(words) == "".join(other_words):
        return True
    if len(words) != len(other_words):
        return False
    return all(_nearly_the_same_word(*pair) for pair in zip(words, other_words, strict=True))


def _words(label: str) -> list[str]:
    return re.findall(r"\d+|[^\W\d_]+|[^\w\s-]", label.casefold())


def _nearly_the_same_word(one: str, other: str) -> bool:
    if one == other or _singular(one) == _singular(other):
        return True
    # One slip in four letters or more, two in nine or more; "cat" and "car" or "type1" and "type2" are two classes.
    shortest = min(len(one), len(other))
    slips = 0 if shortest < 4 else 1 if shortest < 9 else 2
    return one.isalpha() and other.isalpha() and OSA.distance(one, other) <= slips


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def class_counts(
    objects_per_class: Mapping[str, int],
    lost: Mapping[str, Mapping[str, int]],
    intended: Collection[str],
    few: int,
    max_imbalance: float,
) -> Iterator[Finding]:
    """Classes without objects or with fewer than `few`, and a most frequent class that dwarfs the rarest.

    lost: of classes without objects that label files have objects of, how many are left out for which reason; intended:
    the reasons that were asked for.
    """
    for label, count in objects_per_class.items():
        if count == 0 and lost.get(label):
            left_out = sum(lost[label].values())
            reasons = "; ".join(f"{times:,}: {reason}" for reason, times in lost[label].items())
            message = f'"{label}" has no object left, all {left_out:,} are left out ({reasons})'
            severity: Severity = "note" if {*lost[label]} <= {*intended} else "warning"
            yield Finding("class_lost", severity, message, label=label, value=float(left_out))
        elif count == 0:
            yield Finding(
                "class_without_objects", "warning", f'"{label}" is declared and has no object', label=label, value=0
            )
        elif count < few:
            message = f'"{label}" has {count:,} objects; below {few:,} its figures mean little'
            yield Finding("class_with_few_objects", "warning", message, label=label, value=float(count))
    # A class with few objects is reported as such; most are slips of the keyboard.
    present = {label: count for label, count in objects_per_class.items() if count >= max(1, few)}
    if not present:
        return
    often, seldom = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    ratio = present[often] / present[seldom]
    if ratio > max_imbalance:
        message = f'{ratio:.0f} "{often}" for each "{seldom}" ({present[often]:,} to {present[seldom]:,})'
        yield Finding("class_imbalance", "note", message, label=seldom, value=ratio)


def empty_images(images: pd.DataFrame, objects: pd.DataFrame, limit: float) -> Iterator[Finding]:
    """Per export, a share of images without objects over `limit`: perhaps they were never labelled."""
    empty = ~images["image_id"].isin(objects["image_id"])
    for source, members in images.groupby("source"):
        without = members[empty[members.index]]
        share = len(without) / len(members)
        if share > limit:
            message = f"{len(without):,} of {len(members):,} images of {source} have no object ({share:.0%})"
            first = str(without["image_id"].iloc[0])
            yield Finding("images_without_objects", "warning", message, first, value=share, where=str(source))
