"""Philox4x32-10, a counter-based generator, over whole arrays of counters at once.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). A draw is a pure function of its key and
counter: no state, so nothing that batches, workers, restarts or other code's draws could disturb.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROUNDS = 10
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
KEY_STEPS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
LOW = np.uint64(0xFFFFFFFF)
WORD = np.uint64(32)

# what a draw is for: the last counter word, so that no two uses ever share a draw
VIEW_STREAM = 0  # to 99: parameters of a view, several draws each
ORDER_STREAM = 100  # order of samples in an epoch
STRIP_STREAM = 101  # order of strips in an epoch that is read in windows
RANK_STREAM = 102  # scores of a condensation that drops at random
SAMPLE_STREAM = 200  # and up: classes that the encoding `sample` draws, several draws each


def philox(key: int, counter: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]) -> NDArray[np.uint32]:
    """Four random words for each counter: `[4, ...]` uint32, over the broadcast shape of the counter's words.

    Parameters
    ----------
    key
        64 bits; a seed.
    counter
        Four words of 32 bits each, arrays or numbers.
    """
    words = np.broadcast_arrays(*(np.asarray(word, dtype=np.uint64) & LOW for word in counter))
    a, b, c, d = words
    k0, k1 = np.uint64(key) & LOW, np.uint64(key) >> WORD
    for _ in range(ROUNDS):
        left, right = MULTIPLIERS[0] * a, MULTIPLIERS[1] * c
        a, b, c, d = (right >> WORD) ^ b ^ k0, right & LOW, (left >> WORD) ^ d ^ k1, left & LOW
        k0, k1 = (k0 + KEY_STEPS[0]) & LOW, (k1 + KEY_STEPS[1]) & LOW
    return np.stack([a, b, c, d]).astype(np.uint32)


def draws(seed: int, index: NDArray[np.int64], view: ArrayLike, count: int) -> NDArray[np.uint32]:
    """`count` random words for each (seed, sample, view): `[count, B]` uint32.

    Parameters
    ----------
    index, view
        Samples `[B]` int64, and their views: one for all, or `[B]`.
    """
    low, high = index & 0xFFFFFFFF, index >> 32
    if np.any(high):
        raise ValueError("sample indices go up to 2**32 - 1")
    blocks = [philox(seed, (low, view, 0, VIEW_STREAM + block)) for block in range(-(-count // 4))]
    return np.concatenate(blocks)[:count]


def uniform(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Words as float64 in [0, 1), multiples of 2**-32."""
    return words.astype(np.float64) * 2.0**-32


def random_scores(seed: int, stage: int, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """A score in [0, 1) for each of the samples `index[n]`, pure in (seed, stage, sample); multiples of 2**-53."""
    high, low = philox(seed, (index & 0xFFFFFFFF, stage, index >> 32, RANK_STREAM))[:2].astype(np.uint64)
    return ((high << WORD | low) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(words: NDArray[np.uint32], bound: ArrayLike) -> NDArray[np.int64]:
    """Words as integers in [0, bound), bound < 2**31: multiply and shift (Lemire 2019); bias below bound / 2**32."""
    scaled = words.astype(np.uint64) * np.asarray(bound, dtype=np.uint64)
    return (scaled >> WORD).astype(np.int64)


def permutation(seed: int, epoch: int, items: NDArray[np.int64], *, stream: int = ORDER_STREAM) -> NDArray[np.int64]:
    """`items` in the order of `epoch`: sorted by 64 random bits of each item, ties by item.

    Pure in (seed, epoch, items): the order of a subset is the order of the whole with the rest left out.
    """
    words = philox(seed, (items & 0xFFFFFFFF, epoch, 0, stream)).astype(np.uint64)
    return items[np.lexsort((items, (words[0] << WORD) | words[1]))]
