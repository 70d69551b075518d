"""Bytes of noise from a counter.

The generator is Philox4x32-10, as in `kcd_stores.philox`, for batches by torch's integers of 64 bits. A product of two
words of 32 bits may overflow their sign, which does no harm: the bits of the product are the same.

Letters: B samples of a batch, n bytes.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_stores.philox import KEY_STEPS, LOW, MULTIPLIERS, ROUNDS, philox

BYTES = 16  # that one counter gives: four words of four bytes
MASK = int(LOW)


def noise(keys: Tensor, count: int) -> Tensor:
    """Return `count` random bytes for each of `keys[2, B]`, `[B, count]` uint8; byte n depends on key and n alone.

    Parameters
    ----------
    keys
        The low and the high word of each key, int64, on the device of the result.
    """
    blocks = torch.arange(-(-count // BYTES), device=keys.device)
    k0, k1 = keys[0][:, None], keys[1][:, None]
    a = blocks.expand(keys.shape[1], -1)
    b = c = d = torch.zeros_like(a)
    for _ in range(ROUNDS):
        left, right = int(MULTIPLIERS[0]) * a, int(MULTIPLIERS[1]) * c
        a, b, c, d = (right >> 32 & MASK) ^ b ^ k0, right & MASK, (left >> 32 & MASK) ^ d ^ k1, left & MASK
        k0, k1 = (k0 + int(KEY_STEPS[0])) & MASK, (k1 + int(KEY_STEPS[1])) & MASK
    words = torch.stack([a, b, c, d], dim=2).to(torch.int32)  # the low half of each: its bytes, the lowest first
    return words.view(torch.uint8).flatten(1)[:, :count]


def noise_of_one(key: int, count: int) -> NDArray[np.uint8]:
    """Return the `count` bytes `[count]` that `noise` gives for the 64 bits of one `key`, faster where it is alone."""
    words = philox(key, (np.arange(-(-count // BYTES)), 0, 0, 0))
    return np.frombuffer(words.T.astype("<u4").tobytes(), np.uint8)[:count]
