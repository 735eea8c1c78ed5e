"""Clusters and pairs of near-duplicates are those of a plain comparison of all bits."""

from itertools import combinations
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.checks.clusters import near_duplicate_clusters
from tasks.contracts.near_duplicates import hashes_to_words, near_duplicate_pairs
from tests.check_fixture import checked, clean, encoded, scene

# Few bits spread over all four words, so that many hashes are close to each other.
HASHES = st.lists(
    st.sets(st.sampled_from([0, 1, 5, 63, 64, 65, 100, 127, 128, 191, 192, 200, 255]), max_size=6).map(
        lambda bits: f"{sum(1 << bit for bit in bits):064x}"
    ),
    max_size=14,
)


def distance(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


@given(HASHES, HASHES, st.integers(0, 4))
def test_pairs_are_all_those_close_enough(left: list[str], right: list[str], max_bits: int) -> None:
    ones, others = near_duplicate_pairs(hashes_to_words(left), hashes_to_words(right), max_bits)
    expected = [
        (row, column) for row in range(len(left)) for column in range(len(right))
        if distance(left[row], right[column]) <= max_bits
    ]  # fmt: skip
    assert sorted(zip(ones.tolist(), others.tolist(), strict=True)) == expected


@given(HASHES, st.integers(0, 4))
def test_clusters_are_what_chains_of_pairs_link(hashes: list[str], max_bits: int) -> None:
    expected = list(range(len(hashes)))
    for one, other in combinations(range(len(hashes)), 2):
        if distance(hashes[one], hashes[other]) <= max_bits:
            merged, gone = sorted((expected[one], expected[other]))
            expected = [merged if number == gone else number for number in expected]
    numbers = {first: number for number, first in enumerate(dict.fromkeys(expected))}
    assert near_duplicate_clusters(hashes, max_bits).tolist() == [numbers[first] for first in expected]


def test_blank_frames_are_no_near_duplicates(tmp_path: Path) -> None:
    drawn = clean(tmp_path, 3)
    blank = {f"blank{level}": np.full((120, 160), level, dtype=np.uint8) for level in (0, 1, 128, 255)}
    blank["rounded"] = np.random.default_rng(0).integers(0, 2, (120, 160)).astype(np.uint8)
    for name, pixels in blank.items():
        drawn.add(name, pixels, group=f"scene of {name}")
    drawn.add("again", blank["blank0"], group="scene of again")
    drawn.add("twin", encoded(scene(1), ".jpg"), group="scene of twin")
    result = checked(tmp_path, drawn)
    clusters = result.duplicates.set_index("image_id")["cluster"]
    assert clusters[[*blank, "again"]].is_unique
    assert clusters["clean1"] == clusters["twin"]
    found = result.findings.set_index("rule")["image_id"]
    assert found["duplicate_image"] == "again"
    assert found["near_duplicate_images"] == "clean1"
