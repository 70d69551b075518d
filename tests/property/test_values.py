"""Value functions, for any logits: each sample's worth is its own, in its range, and a number."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from tests.support.recipes import small_recipe
from torch import Tensor

from kcd_pipeline.condensation.values import make_worth
from kcd_pipeline.config import VALUE_NAMES

B, C = 6, 5
WORTHS = {
    name: make_worth(small_recipe(condense={"value": name}, distill={"epochs": 1, "temperature": 4}))
    for name in VALUE_NAMES
}
RANGES = {
    "entropy": (0, math.log(C)),
    "loss": (0, math.inf),
    "gap": (0, math.inf),
    "margin": (0, 1),
    "el2n": (0, math.sqrt(2)),
    "forgetting": (0, 1),
    "aum": (-math.inf, math.inf),
    "disagreement": (0, 1),
    "teacher_entropy": (0, math.log(C)),
    "excess": (-math.inf, math.inf),
}
# multiples of 1/8, so that a shift adds no rounding that would change an argmax
rows_of = hnp.arrays(np.float32, (B, C), elements=st.integers(-160, 160).map(lambda k: k / 8))
labels_of = hnp.arrays(np.int64, B, elements=st.integers(0, C - 1))
extreme_rows_of = hnp.arrays(np.float32, (B, C), elements=st.floats(-(2.0**126), 2.0**126, width=32))


def worths(name: str, z: NDArray[np.float32], y: NDArray[np.int64], t: NDArray[np.float32]) -> NDArray[np.float32]:
    found: Tensor = WORTHS[name](*(torch.from_numpy(np.ascontiguousarray(part)) for part in (z, y, t)))
    return found.numpy()


@settings(max_examples=15)
@given(rows_of, labels_of, rows_of, st.permutations(range(B)), st.integers(0, B))
def test_neither_the_order_of_a_batch_nor_how_ranks_share_it_changes_a_worth(
    z: NDArray[np.float32], y: NDArray[np.int64], t: NDArray[np.float32], order: list[int], cut: int
) -> None:
    for name in VALUE_NAMES:
        whole = worths(name, z, y, t)
        np.testing.assert_allclose(worths(name, z[order], y[order], t[order]), whole[order], rtol=1e-6, atol=1e-7)
        shares = [worths(name, z[part], y[part], t[part]) for part in (slice(cut), slice(cut, B))]
        np.testing.assert_allclose(np.concatenate(shares), whole, rtol=1e-6, atol=1e-7)


@settings(max_examples=15)
@given(rows_of, labels_of, rows_of, st.integers(-64, 64), st.integers(-64, 64))
def test_a_number_added_to_all_logits_of_a_row_changes_no_worth(
    z: NDArray[np.float32], y: NDArray[np.int64], t: NDArray[np.float32], shift: int, other: int
) -> None:
    for name in VALUE_NAMES:
        moved = worths(name, z + np.float32(shift), y, t + np.float32(other))
        np.testing.assert_allclose(moved, worths(name, z, y, t), rtol=1e-5, atol=1e-5)


@settings(max_examples=15)
@given(extreme_rows_of, labels_of, extreme_rows_of)
def test_worths_are_numbers_in_their_range_also_of_extreme_logits(
    z: NDArray[np.float32], y: NDArray[np.int64], t: NDArray[np.float32]
) -> None:
    for name in VALUE_NAMES:
        found, (lowest, highest) = worths(name, z, y, t), RANGES[name]
        assert np.isfinite(found).all(), name
        assert found.min() >= lowest
        assert found.max() <= highest * (1 + 1e-6)
