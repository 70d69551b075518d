"""Which dropped samples are blended into which kept ones, in each reading, worked out by hand where samples come back.

One against zero. Scores [9, 8, 1, 7, 6, 0] of samples 0 to 5; the stage before kept 0, 1, 2, 3; this one keeps 3.

    rank 0 1 3 | 4 2 5                sample 4, dropped before, now ranks above 2
    released  L = 4 - 3 = 1, the rank below the cut: 4                3 <- 4
    new       dropped of those kept before: 2                         3 <- 2
    all       all of K0: 4, 2, 5                        0 <- 4, 1 <- 2, 3 <- 5

Two against one that came back. Scores [5, 1, 7, 2, 8, 3, 6, 4]; the stage before kept 0 to 5; this one keeps 4.

    rank 4 2 6 0 | 7 5 3 1            sample 6 comes back
    released  L = 6 - 4 = 2: 7, which was dropped before, and 5       6 <- 7, 0 <- 5
    new       5, 3, 1                                   2 <- 5, 6 <- 3, 0 <- 1
    all       7, 5, 3, 1                        4 <- 7, 2 <- 5, 6 <- 3, 0 <- 1

A stage that keeps as many as the one before, which the schedule `constant` makes. Scores [1, 5, 4, 3, 2]; the stage
before kept 0, 1, 2; this one keeps 3.

    rank 1 2 3 | 4 0                  sample 3 comes back for 0
    released  L = 0: nothing
    new       0                                                       3 <- 0
    all       4, 0                                            2 <- 4, 3 <- 0

A stage that keeps fewer than it drops. Scores [5, 4, 3, 2, 1]; the stage before kept 0 to 3; this one keeps 1.

    rank 0 | 1 2 3 4
    released  L = 4 - 1 = 3, but one is kept                          0 <- 1
    new       1, 2, 3, but one is kept                                0 <- 1
    all       1, 2, 3, 4, but one is kept                             0 <- 1
"""

from typing import NamedTuple

import dask.array as da
import numpy as np
import pytest

from kcd_pipeline.condensation.vaks import partition, plan_arrays, strengths
from kcd_stores import NO_PARTNER

Pairs = list[tuple[int, int]]  # (kept, dropped), from the top of K1L


class Case(NamedTuple):
    """Scores of samples, those that the stage before kept, and those that this one keeps."""

    scores: list[int]
    before: list[int]
    kept: list[int]


ONE = Case([9, 8, 1, 7, 6, 0], [0, 1, 2, 3], [0, 1, 3])
TWO = Case([5, 1, 7, 2, 8, 3, 6, 4], [0, 1, 2, 3, 4, 5], [0, 2, 4, 6])
AS_MANY = Case([1, 5, 4, 3, 2], [0, 1, 2], [1, 2, 3])
FEW = Case([5, 4, 3, 2, 1], [0, 1, 2, 3], [0])

ON_PAPER = [
    (ONE, "released", [(3, 4)]),
    (ONE, "new", [(3, 2)]),
    (ONE, "all", [(0, 4), (1, 2), (3, 5)]),
    (TWO, "released", [(6, 7), (0, 5)]),
    (TWO, "new", [(2, 5), (6, 3), (0, 1)]),
    (TWO, "all", [(4, 7), (2, 5), (6, 3), (0, 1)]),
    (AS_MANY, "released", []),
    (AS_MANY, "new", [(3, 0)]),
    (AS_MANY, "all", [(2, 4), (3, 0)]),
    (FEW, "released", [(0, 1)]),
    (FEW, "new", [(0, 1)]),
    (FEW, "all", [(0, 1)]),
]


@pytest.mark.parametrize(("case", "dropped", "pairs"), ON_PAPER)
def test_pairs_are_those_on_paper(case: Case, dropped: str, pairs: Pairs) -> None:
    samples = len(case.scores)
    parts = partition(
        da.from_array(np.array(case.scores, float), chunks=2),
        keep=len(case.kept),
        kept_before=np.isin(np.arange(samples), case.before),
        dropped=dropped,
    )
    assert list(zip(parts.low.tolist(), parts.partners.tolist(), strict=True)) == pairs
    kept, partner, epsilon = plan_arrays(parts, samples, 0.3, "linear")
    assert kept.tolist() == case.kept
    assert {(int(k), int(p)) for k, p in zip(kept, partner, strict=True) if p != NO_PARTNER} == set(pairs)
    ramp = dict(zip((k for k, _ in pairs), np.linspace(0, 0.3, len(pairs)).tolist(), strict=True))
    np.testing.assert_allclose(epsilon, [ramp.get(int(k), 0) for k in kept], atol=1e-7)


# Strengths of L = 4 with epsilon_max 0.3: linear 0.3 * j/3, released 0.3 * j/4. One alone is the first: 0 in both.
@pytest.mark.parametrize(
    ("ramp", "count", "expected"),
    [
        ("linear", 4, [0, 0.1, 0.2, 0.3]),
        ("released", 4, [0, 0.075, 0.15, 0.225]),
        ("linear", 1, [0]),
        ("released", 1, [0]),
        ("linear", 0, []),
        ("released", 0, []),
    ],
)
def test_strengths_are_those_on_paper(ramp: str, count: int, expected: list[float]) -> None:
    found = strengths(count, 0.3, ramp)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-7)
