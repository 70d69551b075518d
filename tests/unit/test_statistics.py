"""Intervals, p values and numbers of seeds: by hand, from tables, and by scipy called directly."""

import math

import numpy as np
import pytest
from scipy import stats

from kcd_pipeline.statistics import (
    Interval,
    PairedDifference,
    bootstrap_interval,
    holm,
    seeds_needed,
    sign_flip_p,
    smallest_sign_flip_p,
    t_interval,
)

DIFFERENCES = np.array([0.5, -0.2, 0.3, 0.8, 0.1])


def test_t_interval_by_hand() -> None:
    # mean 2, deviation 1; tables give t = 4.303 for two degrees of freedom at 97.5%: 4.303 / sqrt(3) = 2.484
    found = t_interval([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert (found.low, found.high) == pytest.approx((-0.484, 4.484), abs=1e-3)


def test_t_interval_is_scipys_paired_test() -> None:
    first = DIFFERENCES + np.array([50.0, 51.0, 52.0, 53.0, 54.0])
    expected = stats.ttest_rel(first, first - DIFFERENCES).confidence_interval(0.9)
    found = t_interval(DIFFERENCES, level=0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("values", [[0.7], [0.1, 0.1, 0.1], [0.56 - 0.55, 0.57 - 0.56]])
def test_values_without_deviation_have_no_interval(values: list[float]) -> None:
    for found in (t_interval(values), bootstrap_interval(values)):
        assert found.mean == pytest.approx(values[0])
        assert (found.low, found.high) == (None, None)
        assert not found.above_zero
        assert not found.below_zero


def test_the_bootstrap_of_two_values_is_that_of_their_four_resamples() -> None:
    # means of (a, a), (a, b), (b, a), (b, b): a and b each have a quarter of them, so they are the ends
    found = bootstrap_interval([3.0, 1.0])
    assert (found.mean, found.low, found.high) == (2, 1, 3)


def test_the_bootstrap_is_narrower_than_t_and_has_a_seed() -> None:
    found, wide = bootstrap_interval(DIFFERENCES), t_interval(DIFFERENCES)
    assert bootstrap_interval(DIFFERENCES) == found
    assert wide.low is not None
    assert wide.high is not None
    assert found.low is not None
    assert found.high is not None
    assert wide.low < found.low < found.mean < found.high < wide.high


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1.0, 2.0, 3.0], 2 / 8),  # only all plus and all minus reach 6
        ([1.0, -2.0, 3.0], 6 / 8),  # the eight sums are +-6, +-4, +-2 and twice 0; the one seen is 2
        ([0.0, 0.0], 1.0),
        ([5.0], 1.0),
        ([0.1, 0.2, -0.3], 1.0),  # a sum of 0 but for rounding
    ],
)
def test_sign_flips_by_hand(differences: list[float], p: float) -> None:
    assert sign_flip_p(differences) == p


def test_sign_flips_are_scipys_permutation_test() -> None:
    expected = stats.permutation_test((DIFFERENCES,), np.mean, permutation_type="samples", n_resamples=2**10)
    assert sign_flip_p(DIFFERENCES) == expected.pvalue


def test_of_many_differences_a_sample_of_the_flips_is_taken() -> None:
    # the differences 1 to 20, of which three are negative: counts of each sum by a polynomial with a factor for each
    differences = np.arange(1.0, 21.0) * np.where(np.isin(np.arange(20), (12, 16, 19)), -1, 1)
    counts = np.array([1])
    for size in range(1, 21):
        counts = np.convolve(counts, [1, *[0] * (2 * size - 1), 1])
    exact = counts[np.abs(np.arange(-210, 211)) >= abs(differences.sum())].sum() / 2**20
    p = sign_flip_p(differences)
    assert p == sign_flip_p(differences[::-1])
    assert p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 9_999))


def test_the_smallest_p_of_five_seeds() -> None:
    assert smallest_sign_flip_p(5) == 0.0625
    assert sign_flip_p([1.0, 1.5, 2.0, 2.5, 3.0]) == 0.0625


def test_holm_by_hand() -> None:
    # ascending 0.01, 0.03, 0.04 times 3, 2, 1: 0.03, 0.06, 0.04, and the last is no smaller than the one before
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([]).shape == (0,)


@pytest.mark.parametrize(("effect", "seeds"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_seeds_needed_are_those_of_tables(effect: float, seeds: int) -> None:
    # for small, medium and large effects Cohen's tables and G*Power give 199, 34 and 15 pairs (power 80%, two-sided 5%)
    half = math.sqrt(0.5)  # two values with deviation 1
    assert seeds_needed([effect - half, effect + half]) == seeds
    assert seeds_needed([-effect - half, -effect + half]) == seeds


def test_seeds_needed_reach_the_power_by_scipys_noncentral_t() -> None:
    effect = DIFFERENCES.mean() / DIFFERENCES.std(ddof=1)

    def power(n: int) -> float:
        critical = stats.t.ppf(0.975, n - 1)
        return float(stats.nct.sf(critical, n - 1, effect * math.sqrt(n)))  # the other tail is below 1e-4 here

    needed = seeds_needed(DIFFERENCES)
    assert needed is not None
    assert power(needed - 1) < 0.8 <= power(needed)


@pytest.mark.parametrize("effect", np.geomspace(0.03, 1e6, 40))
def test_a_large_effect_needs_few_seeds(effect: float) -> None:
    needed = seeds_needed([effect - math.sqrt(0.5), effect + math.sqrt(0.5)])
    assert needed is not None
    assert needed >= 2
    assert (needed <= 4) == (effect > 2.38)  # four pairs find an effect of 2.38 deviations


@pytest.mark.parametrize("differences", [[0.4], [0.4, 0.4], [-1.0, 1.0], [-0.99, 1.01]])
def test_seeds_needed_cannot_be_told_without_deviation_or_difference(differences: list[float]) -> None:
    assert seeds_needed(differences) is None  # the last one has an effect of 0.007: about 160,000 seeds


def test_arms_are_paired_by_common_seeds() -> None:
    found = PairedDifference.between({0: 55.0, 1: 57.0, 7: 1.0}, {1: 56.5, 0: 54.0, 3: 9.0})
    assert found == PairedDifference(seeds=(0, 1), differences=(1.0, 0.5))
    assert found.interval.mean == 0.75
    assert found.deviation == pytest.approx(0.5 / math.sqrt(2))
    assert found.p == 0.5
    assert PairedDifference.between({0: 1.0}, {1: 1.0}) is None


def test_one_seed_has_neither_p_nor_deviation() -> None:
    found = PairedDifference(seeds=(0,), differences=(0.4,))
    assert (found.p, found.deviation, found.seeds_needed, found.interval.low) == (None, None, None, None)


def test_wrong_numbers_are_refused() -> None:
    for values in ([], [math.nan], [math.inf, 1.0]):
        with pytest.raises(ValueError, match="finite"):
            t_interval(values)
    with pytest.raises(ValueError, match="level"):
        t_interval([1.0, 2.0], level=1.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.5])
    with pytest.raises(ValueError, match="both ends or none"):
        Interval(mean=0.0, low=0.0, high=None)
    with pytest.raises(ValueError, match="ascending"):
        Interval(mean=0.0, low=1.0, high=0.0)
    with pytest.raises(ValueError, match="has a difference"):
        PairedDifference(seeds=(0, 1), differences=(1.0,))
