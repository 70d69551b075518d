"""Philox4x32-10, a counter-based random generator, over whole arrays of counters at once.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). A draw is a pure function of a key and a
counter. There is no state, so batches, workers, restarts and the draws of other code change nothing.

Letters: B samples of a batch, n samples.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROUNDS = 10
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
KEY_STEPS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
LOW = np.uint64(0xFFFFFFFF)
WORD = np.uint64(32)

# The last word of a counter tells what the draw is for, so that no two uses share a draw.
VIEW_STREAM = 0  # to 99: parameters of a view, which takes several draws
ORDER_STREAM = 100  # order of the samples in an epoch
STRIP_STREAM = 101  # order of the strips in an epoch of the block shuffle
RANK_STREAM = 102  # scores of a condensation that drops samples at random
SUBSET_STREAM = 103  # scores of a random subset
PRUNE_STREAM = 104  # which of the samples of low value are left out
DRAW_STREAM = 105  # draws with replacement; they are counted, instead of samples
SHARE_STREAM = 106  # which class gets the draws that cannot be shared evenly
TIE_STREAM = 107  # order of samples with the same count
VALIDATION_STREAM = 108  # which of the training images are for validation
BALANCE_STREAM = 109  # which samples of a class are drawn once more than others of it
CLASS_STREAM = 110  # which classes are drawn once more than others; classes are counted, instead of samples
MODEL_STREAM = 111  # seeds of the generators that a model draws from in an epoch; ranks are counted, not samples
KEYED_STRIP_STREAM = 112  # order of the strips of a set that is too large for an array of them
MIX_STREAM = 120  # to 129: partner, weight and box of a view that is mixed with another
SAMPLE_STREAM = 200  # and above: classes that the encoding `sample` draws, which takes several draws


def philox(key: int, counter: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]) -> NDArray[np.uint32]:
    """Return four random words for each counter, `[4, ...]` uint32.

    Parameters
    ----------
    key
        The seed, 64 bits.
    counter
        Four words of 32 bits each, numbers or arrays. The result has the shape that they broadcast to, behind the 4.
    """
    words = np.broadcast_arrays(*(np.asarray(word, dtype=np.uint64) & LOW for word in counter))
    a, b, c, d = words
    k0, k1 = np.uint64(key) & LOW, np.uint64(key) >> WORD
    for _ in range(ROUNDS):
        left, right = MULTIPLIERS[0] * a, MULTIPLIERS[1] * c
        a, b, c, d = (right >> WORD) ^ b ^ k0, right & LOW, (left >> WORD) ^ d ^ k1, left & LOW
        k0, k1 = (k0 + KEY_STEPS[0]) & LOW, (k1 + KEY_STEPS[1]) & LOW
    return np.stack([a, b, c, d]).astype(np.uint32)


def draws(
    seed: int, index: NDArray[np.int64], view: ArrayLike, count: int, *, stream: int = VIEW_STREAM
) -> NDArray[np.uint32]:
    """Return `count` random words for each sample and view, `[count, B]` uint32; see `operation_draws`."""
    return operation_draws(seed, index, view, [count], stream=stream)[0]


def operation_draws(
    seed: int, index: NDArray[np.int64], view: ArrayLike, counts: Sequence[int], *, stream: int = VIEW_STREAM
) -> list[NDArray[np.uint32]]:
    """Return `counts[k]` random words for each operation k, sample and view: a list of `[counts[k], B]` uint32.

    The words of an operation do not depend on how many operations there are, nor on how many words the others take.

    Parameters
    ----------
    index
        Samples `[B]` int64.
    view
        The view of all samples, or their views `[B]`.
    stream
        The first number of the purpose of the draws, one of the constants above.

    Raises
    ------
    ValueError
        If a sample is 2**32 or above.
    """
    low, high = index & 0xFFFFFFFF, index >> 32
    if np.any(high):
        raise ValueError("sample indices must be below 2**32")
    blocks = [-(-count // 4) for count in counts]
    operation = np.repeat(np.arange(len(counts)), blocks)[:, None]
    block = np.concatenate([np.arange(number) for number in blocks])[:, None]
    words = philox(seed, (low, view, operation, stream + block))  # all at once: a call costs more than few words
    ends = np.cumsum(blocks)
    parts = [words[:, end - number : end] for number, end in zip(blocks, ends.tolist(), strict=True)]
    return [
        part.transpose(1, 0, 2).reshape(4 * part.shape[1], len(index))[:count]
        for part, count in zip(parts, counts, strict=True)
    ]


def uniform(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return `words` as float64 in [0, 1): word / 2**32."""
    return words.astype(np.float64) * 2.0**-32


def random_scores(seed: int, stage: int, index: NDArray[np.int64], *, stream: int = RANK_STREAM) -> NDArray[np.float64]:
    """Return a random score for each of the samples `index[n]`, `[n]` float64 in [0, 1): a 53-bit integer / 2**53.

    Parameters
    ----------
    stream
        The purpose of the scores, one of the constants above.
    """
    high, low = philox(seed, (index & 0xFFFFFFFF, stage, index >> 32, stream))[:2].astype(np.uint64)
    return ((high << WORD | low) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(words: NDArray[np.uint32], bound: ArrayLike) -> NDArray[np.int64]:
    """Return `words` as int64 in [0, bound), where bound < 2**31: floor(word * bound / 2**32).

    The bias is below bound / 2**32 (Lemire, "Fast random integer generation in an interval", 2019).
    """
    scaled = words.astype(np.uint64) * np.asarray(bound, dtype=np.uint64)
    return (scaled >> WORD).astype(np.int64)


def permutation(
    seed: int,
    epoch: int,
    items: NDArray[np.int64],
    *,
    stream: int = ORDER_STREAM,
    times: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Return `items[n]` (int64) in a random order: sorted by 64 random bits of each item, and equal bits by item.

    The bits depend on (seed, epoch, item) alone. So the order of some of the items is the order of all of them with the
    others left out. Where an item occurs several times, the bits depend on its number among them as well.

    Parameters
    ----------
    stream
        The purpose of the order, one of the constants above.
    times
        `[n]` int64: how often each item occurs in the order; once if None.
    """
    number: NDArray[np.int64] | int = 0
    if times is not None:
        number = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        items = np.repeat(items, times)
    words = philox(seed, (items & 0xFFFFFFFF, epoch, number, stream)).astype(np.uint64)
    return items[np.lexsort((items, (words[0] << WORD) | words[1]))]


class KeyedPermutation:
    """A random permutation of `0 .. n-1` that is computed for any places, so that no array of it is ever in memory.

    It is a Feistel network: the bits of a place are cut into two parts, and by turns one of them is changed by a random
    word that depends on the other (Luby and Rackoff, "How to construct pseudorandom permutations from pseudorandom
    functions", SIAM Journal on Computing 1988). This permutes the numbers of b bits, fewer than 2 n or 257. What leaves
    `0 .. n-1` is permuted again until it is back (cycle walking: Black and Rogaway, "Ciphers with arbitrary finite
    domains", CT-RSA 2002).

    Parameters
    ----------
    size
        n, at most 2**62.
    stream
        The purpose of the order, one of the constants above.

    Raises
    ------
    ValueError
        If `size` is negative or too large.
    """

    ROUNDS = 8  # with 4, a network of halves of many bits cannot be told from a random permutation; these have few

    def __init__(self, seed: int, epoch: int, size: int, *, stream: int) -> None:
        if not 0 <= size <= 2**62:
            raise ValueError(f"a permutation by key has 0 to 2**62 members, not {size}")
        self._seed, self._epoch, self._size, self._stream = seed, epoch, size, stream
        bits = max((size - 1).bit_length(), 8)  # halves of fewer than 4 bits mix badly
        self._low_bits = bits - bits // 2
        self._masks = (np.uint64((1 << self._low_bits) - 1), np.uint64((1 << (bits - self._low_bits)) - 1))

    def members(self, first: int, stop: int) -> NDArray[np.int64]:
        """Return the members at the places `first` to `stop - 1`, `[stop - first]` int64.

        Raises
        ------
        IndexError
            If there are no such places.
        """
        if not 0 <= first <= stop <= self._size:
            raise IndexError(f"places {first} to {stop} of a permutation of {self._size}")
        found = self._permuted(np.arange(first, stop, dtype=np.uint64))
        while len(outside := np.flatnonzero(found >= self._size)):
            found[outside] = self._permuted(found[outside])
        return found.astype(np.int64)

    def _permuted(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return the numbers `[m]` of b bits that the network makes of `numbers[m]`."""
        shift = np.uint64(self._low_bits)
        halves = [numbers & self._masks[0], numbers >> shift]
        for number in range(self.ROUNDS):
            changed, other = number % 2, 1 - number % 2
            word = philox(self._seed, (halves[other], self._epoch, number, self._stream))[0]
            halves[changed] = halves[changed] ^ (word & self._masks[changed])
        return halves[1] << shift | halves[0]
