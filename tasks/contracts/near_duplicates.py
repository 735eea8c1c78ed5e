"""What check and split mean by near-duplicates: perceptual hashes as bits, and the search for those that are close.

Measured on three real data sets (photos of blood cells, binary scans of circuit boards, frames of a static camera),
the hash of 16 x 16 DCT coefficients tells most: copies that were re-encoded, resized, darkened, stamped or blurred
differ in 0 to 22 of its 256 bits, different images in 90 and more; 8 x 8 hashes and gradient hashes overlap.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]  # (images, 4)
Indices = NDArray[np.intp]

HASH_SIDE = 16  # a hash has 16 x 16 bits
_PAIRS_AT_ONCE = 250_000  # few enough to stay in the processor's cache


def hashes_to_words(hashes: Sequence[str]) -> Words:
    """Hashes of 64 hexadecimal digits as rows of four 64-bit words."""
    data = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8)
    return data.view(np.uint64).reshape(-1, HASH_SIDE * HASH_SIDE // 64)


def near_duplicate_pairs(left: Words, right: Words, max_bits: int) -> tuple[Indices, Indices]:
    """Rows of `left` and `right` of all pairs at most `max_bits` apart."""
    if not len(left) or not len(right):
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    columns = _by_word(right)
    step = max(1, _PAIRS_AT_ONCE // len(columns))
    blocks = [(start, *_near(left[start : start + step], columns, max_bits)) for start in range(0, len(left), step)]
    ones = np.concatenate([start + ones for start, ones, _ in blocks])
    return ones, np.concatenate([others for _, _, others in blocks])


def near_duplicates_within(words: Words, max_bits: int) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of rows i < j of `words` at most `max_bits` apart, block by block: there may be very many."""
    columns = _by_word(words)
    start = 0
    while start < len(words):
        step = max(1, _PAIRS_AT_ONCE // (len(words) - start))
        ones, others = _near(words[start : start + step], columns[start:], max_bits)
        later = others > ones
        yield start + ones[later], start + others[later]
        start += step


def _by_word(words: Words) -> Words:
    """The same array with each of the four columns in one stretch of memory, as the search reads it."""
    return np.asfortranarray(words)


def _near(left: Words, right: Words, max_bits: int) -> tuple[Indices, Indices]:
    # A pair that differs in more bits of the first two words needs no look at the others: nearly all end here.
    bits = _differing_bits(left, right, 0) + _differing_bits(left, right, 1)
    rows, columns = np.divmod(np.flatnonzero(bits <= max_bits), len(right))
    rest = np.bitwise_count(left[rows, 2:] ^ right[columns, 2:]).sum(axis=1, dtype=np.int64)
    near = bits[rows, columns] + rest <= max_bits
    return rows[near], columns[near]


def _differing_bits(left: Words, right: Words, word: int) -> NDArray[np.uint8]:
    differing: NDArray[np.uint8] = np.bitwise_count(left[:, word, None] ^ right[:, word])
    return differing
