"""OGVE's running mean against exact arithmetic (fractions, fsum), and its scores against the formula."""

import math
from fractions import Fraction

import dask.array as da
import numpy as np
import pytest

from kcd_pipeline.condensation import new_values, update_values
from kcd_pipeline.condensation.ogve import scores


def recorded(entropies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values and frequencies after visits with `entropies[visits, N]`, each visit in another order."""
    value, frequency = new_values(entropies.shape[1])
    random = np.random.default_rng(0)
    for visit in entropies:
        order = random.permutation(len(visit))
        update_values(value, frequency, order, visit[order])
    return value, frequency


def test_the_running_mean_of_a_whole_run_is_the_exact_mean() -> None:
    """240 visits with entropies that fall from 4.6 nats to almost none; float32 rounds each with an error of 6e-8."""
    random = np.random.default_rng(1)
    entropies = (4.6 * np.exp(-np.arange(240) / 30)[:, None] * random.random((240, 20))).astype(np.float32)
    value, frequency = recorded(entropies)
    for sample in range(20):
        exact = sum((Fraction(float(h)) for h in entropies[:, sample]), Fraction(0)) / 240
        assert abs(Fraction(float(value[sample])) - exact) <= exact / 10**14
    assert frequency.tolist() == [240] * 20


def test_ten_thousand_visits_add_no_error_that_could_change_a_rank() -> None:
    """Different float32 entropies differ by at least 6e-8 of their size; the running mean is off by less than 1e-14."""
    entropies = np.random.default_rng(2).random((10_000, 3), dtype=np.float32)
    value, _ = recorded(entropies)
    exact = [math.fsum(entropies[:, sample].astype(float)) / 10_000 for sample in range(3)]
    np.testing.assert_allclose(value, exact, rtol=1e-14, atol=0)


def test_the_mean_of_a_constant_is_the_constant() -> None:
    value, _ = recorded(np.full((1000, 2), 0.1, dtype=np.float32))
    assert value.tolist() == [float(np.float32(0.1))] * 2


def test_equation_12_step_by_step() -> None:
    """H = 0.5, 1.5, 0.25: V = 0.5; 1/2 * 0.5 + 1.5/2 = 1.0; 2/3 * 1.0 + 0.25/3 = 0.75. All exact in binary."""
    value, frequency = new_values(1)
    for entropy, expected in ((0.5, 0.5), (1.5, 1.0), (0.25, 0.75)):
        update_values(value, frequency, np.array([0]), np.array([entropy], np.float32))
        assert value[0] == expected
    assert frequency[0] == 3


@pytest.mark.parametrize("alpha", [0.0, 0.03, 1.0, -0.5])
@pytest.mark.parametrize("largest", [9, 10**6])
def test_scores_are_the_formulas_for_few_and_for_many_visits(alpha: float, largest: int) -> None:
    """Powers of frequencies up to the number of samples are looked up; of larger ones they are computed one by one."""
    random = np.random.default_rng(3)
    frequency = random.integers(0, largest, 50).astype(np.int32)
    frequency[7] = 0
    value = np.where(frequency > 0, random.random(50), np.nan)
    found = scores(da.from_array(value, chunks=20), da.from_array(frequency, chunks=20), alpha).compute()
    formula = [
        v * float(f) ** alpha if f else -math.inf for v, f in zip(value.tolist(), frequency.tolist(), strict=True)
    ]
    np.testing.assert_allclose(found, formula, rtol=1e-14)


def test_a_value_that_is_missing_where_a_sample_was_visited_is_not_hidden() -> None:
    found = scores(da.from_array(np.array([np.nan, 1.0])), da.from_array(np.array([2, 2], np.int32)), 0.03).compute()
    assert np.isnan(found[0])


def test_frequencies_of_an_epoch_never_written_are_refused() -> None:
    lazy = scores(da.from_array(np.array([np.nan])), da.from_array(np.array([-1], np.int32)), 0.03)
    with pytest.raises(ValueError, match="never written"):
        lazy.compute()


@pytest.mark.parametrize("alpha", [0.03, 1.0, 0.0])
def test_another_visit_never_lowers_a_score_whatever_the_sign_of_the_value(alpha: float) -> None:
    """The score of V = 2 is 2 * F^alpha and that of V = -2 is -2 / F^alpha, for F = 1, 2, 4."""
    frequency = np.array([1, 2, 4], np.int32)
    for value in (2.0, -2.0, 0.0):
        lazy = scores(da.from_array(np.full(3, value)), da.from_array(frequency), alpha)
        formula = [value * f ** (alpha if value >= 0 else -alpha) for f in (1.0, 2.0, 4.0)]
        np.testing.assert_allclose(lazy.compute(), formula, rtol=1e-14)
        assert (np.diff(lazy.compute()) >= 0).all()
