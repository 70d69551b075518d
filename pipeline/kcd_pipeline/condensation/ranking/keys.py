"""Scores as unsigned integers that sort in the opposite direction, and their exact order. Letters: n scores."""

import numpy as np
from numpy.typing import NDArray

KEY_BITS = 64
BLOCK = 1 << 16  # scores at a time: intermediate arrays stay in the processor's cache
_SIGN = np.uint64(1 << 63)
_ALL_BUT_SIGN = np.int64((1 << 63) - 1)


def descending_keys(
    scores: NDArray[np.float64], *, first: int = 0, out: NDArray[np.uint64] | None = None
) -> NDArray[np.uint64]:
    """Return keys `[n]` uint64 that ascend as `scores[n]` descend; equal scores, and both zeros, have equal keys.

    Parameters
    ----------
    first
        Index of the first score among all samples, for the message of an error.
    out
        `[n]` uint64: written to and returned, if given.

    Raises
    ------
    ValueError
        If a score is NaN, which has no rank; it names the sample.
    """
    keys = np.empty(len(scores), dtype=np.uint64) if out is None else out
    for start in range(0, len(scores), BLOCK):
        block = scores[start : start + BLOCK]
        missing = np.isnan(block)
        if missing.any():
            sample = first + start + int(missing.argmax())
            raise ValueError(
                f"the score of sample {sample} is NaN, which has no rank: its value is damaged, or the student diverged"
            )
        _to_keys(block, keys[start : start + BLOCK])
    return keys


def _to_keys(scores: NDArray[np.float64], keys: NDArray[np.uint64]) -> None:
    """Write the keys of `scores[n]` to `keys[n]`.

    The bits of a float, read as an integer, ascend with the float if it is positive and descend if it is negative: the
    latter are inverted. A last inversion of all bits makes the keys descend.
    """
    np.add(scores, 0.0, out=keys.view(np.float64))  # turns -0.0 into 0.0
    bits = keys.view(np.int64)
    negative = bits >> np.int64(63)
    negative &= _ALL_BUT_SIGN
    bits ^= negative
    np.invert(bits, out=bits)
    keys ^= _SIGN


def score_of(key: int) -> float:
    """Return the score whose key is `key`."""
    ascending = ~np.array([key], dtype=np.uint64)
    bits = np.where(ascending & _SIGN, ascending ^ _SIGN, ~ascending)
    return float(bits.view(np.float64)[0])


def order_of(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return positions `[n]` that put `keys[n]` (uint64) in ascending order, equal ones by position.

    numpy sorts numbers many times faster than it finds their order. So each key becomes a number that holds, from the
    top, as many leading bits of the key as fit above its position, and these numbers are sorted. Keys that differ only
    in bits that did not fit are rare, and are put in order afterwards.
    """
    if len(keys) < 2:
        return np.zeros(len(keys), dtype=np.int64)
    lowest, place = keys.min(), (len(keys) - 1).bit_length()
    excess = max(int(keys.max() - lowest).bit_length() + place - KEY_BITS, 0)
    packed = keys - lowest
    packed >>= np.uint64(excess)
    packed <<= np.uint64(place)
    packed |= np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    if excess:
        _order_collisions(packed, keys, place)
    packed &= np.uint64((1 << place) - 1)
    return packed.view(np.int64)


def _order_collisions(packed: NDArray[np.uint64], keys: NDArray[np.uint64], place: int) -> None:
    """Put in order, in place, those of sorted `packed[n]` that share leading bits although their `keys[n]` differ.

    The lowest `place` bits of a packed number are the position of its key.
    """
    shift, position = np.uint64(place), np.uint64((1 << place) - 1)
    same = (packed[1:] ^ packed[:-1]) >> shift == 0  # shares its leading bits with the one before
    member = np.zeros(len(packed), dtype=bool)
    member[1:] |= same
    member[:-1] |= same
    at = np.flatnonzero(member)
    if not len(at):
        return
    run, key = packed[at] >> shift, keys[packed[at] & position]
    inverted = (key[1:] < key[:-1]) & (run[1:] == run[:-1])
    wrong = np.isin(run, run[1:][inverted])  # equal keys are in order already: only runs with an inversion are sorted
    at, run, key = at[wrong], run[wrong], key[wrong]
    packed[at] = packed[at][np.lexsort((packed[at] & position, key, run))]
