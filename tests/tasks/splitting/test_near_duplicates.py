"""Near-duplicates as split sees them: clusters and pairs, and both together."""

import numpy as np

from tasks.splitting.near_duplicates import Looks

# Images 0, 2 and 5 are of one cluster; 1 and 3, 3 and 4 are pairs; 6 is like no other.
LOOKS = Looks(np.array([7, 1, 7, 3, 4, 7, 6]), np.array([[3, 1], [4, 3]]))


def chosen(*rows: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.isin(np.arange(7), rows)


def test_chains_of_clusters_and_pairs_are_linked() -> None:
    linked = LOOKS.clusters
    assert linked[0] == linked[2] == linked[5]
    assert linked[1] == linked[3] == linked[4]
    assert len(set(linked.tolist())) == 3


def test_pairs_between_two_sets_name_every_image_that_has_one() -> None:
    ones, others = LOOKS.pairs(chosen(0, 3, 6), chosen(1, 2, 4, 5))
    assert set(zip(ones.tolist(), others.tolist(), strict=True)) == {(3, 1), (3, 4), (0, 2), (0, 5)}
    assert LOOKS.pairs(chosen(1, 6), chosen(4, 0))[0].tolist() == []


def test_the_last_image_that_looks_like_another_is_found_within_a_scene() -> None:
    assert LOOKS.last_alike(np.arange(7)).tolist() == [5, 3, 5, 4, 4, 5, 6]
    assert LOOKS.last_alike(np.array([2, 3, 4])).tolist() == [0, 2, 2]
