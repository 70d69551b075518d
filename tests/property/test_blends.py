"""Blends of VAKS, for any logits and strengths: always a distribution, always from the stored rows."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special

from kcd_pipeline.condensation import TaughtRows
from kcd_pipeline.condensation.vaks import blend
from kcd_stores import NO_PARTNER, Plan

N, CLASSES = 6, 4
rows_of = hnp.arrays(np.float32, (N, CLASSES), elements=st.floats(-60, 60, width=32))
temperatures = st.sampled_from([0.5, 1.0, 4.0])
spaces = st.sampled_from(["logits", "probabilities", "pair"])


@given(rows_of, hnp.arrays(np.float32, N, elements=st.floats(0, 1, width=32)), temperatures, st.data())
def test_a_blend_of_probabilities_is_the_weighted_mean_of_both(
    first: np.ndarray, epsilon: np.ndarray, temperature: float, data: st.DataObject
) -> None:
    second = data.draw(rows_of)
    p1, p0 = (special.softmax(rows.astype(np.float64) / temperature, axis=1) for rows in (first, second))
    weight = epsilon[:, None].astype(np.float64)
    for space, expected in (
        ("probabilities", (p1 + weight * p0) / (1 + weight)),
        ("pair", (1 - weight) * p1 + weight * p0),
    ):
        given_rows = (torch.from_numpy(part) for part in (first, second, epsilon))
        blended = blend(*given_rows, space=space, temperature=temperature)
        assert not blended.isnan().any()
        np.testing.assert_allclose(special.softmax(blended.double().numpy() / temperature, axis=1), expected, atol=1e-5)


@given(rows_of, st.floats(0, 1, width=32), spaces, temperatures, st.permutations(range(3)))
def test_what_is_taught_depends_on_the_stored_rows_alone_and_leaves_them_as_they_are(
    rows: np.ndarray, strength: float, space: str, temperature: float, order: list[int]
) -> None:
    """Samples 0 to 2 are kept, and 1 and 2 blended with 4 and 3: in any order and batching, and however often."""
    epsilon = np.array([0, strength, strength], np.float32)
    partner = np.array([NO_PARTNER, 4, 3])
    plan = Plan(stage=1, epoch=1, samples=N, kept=np.arange(3), partner=partner, epsilon=epsilon)
    taught, before = TaughtRows(plan, space=space, temperature=temperature, classes=rows.shape[1]), rows.copy()
    together = taught.batch(rows, np.array(order))
    one_by_one = torch.cat([taught.batch(rows, np.array([sample])) for sample in order])
    torch.testing.assert_close(together, one_by_one, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_array_equal(together[order.index(0)], rows[0])
    if strength == 0:
        np.testing.assert_array_equal(together, rows[order])
