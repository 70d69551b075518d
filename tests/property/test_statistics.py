"""Laws of the statistics: orders, signs and shifts of seeds, all flips counted, and intervals that cover the truth."""

import itertools
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kcd_pipeline.statistics import holm, seeds_needed, sign_flip_p, t_interval

# hundredths of a point, so that sums are the same in every order
hundredths = st.lists(st.integers(-500, 500).map(lambda number: number / 100), min_size=2, max_size=8)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(hundredths, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_seeds_does_not_matter(differences: list[float], random: Random) -> None:
    shuffled = random.sample(differences, len(differences))
    assert t_interval(shuffled).mean == pytest.approx(t_interval(differences).mean, abs=1e-12)
    assert t_interval(shuffled).low == pytest.approx(t_interval(differences).low)
    assert sign_flip_p(shuffled) == sign_flip_p(differences)


@given(hundredths)
@settings(max_examples=40, deadline=None)
def test_arms_that_change_places_change_the_sign_alone(differences: list[float]) -> None:
    there, back = t_interval(differences), t_interval([-d for d in differences])
    assert back.mean == -there.mean
    assert (back.low is None) == (there.low is None)
    if there.low is not None and there.high is not None:
        assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert (there.above_zero, there.below_zero) == (back.below_zero, back.above_zero)
    assert sign_flip_p(differences) == sign_flip_p([-d for d in differences])
    assert seeds_needed(differences) == seeds_needed([-d for d in differences])


@given(hundredths, st.integers(-300, 300))
@settings(max_examples=40, deadline=None)
def test_a_shift_of_all_seeds_shifts_the_interval(values: list[float], shift: int) -> None:
    there, here = t_interval(values), t_interval([value + shift for value in values])
    assert here.mean == pytest.approx(there.mean + shift, abs=1e-9)
    if there.low is not None and there.high is not None:
        ends = pytest.approx((there.low + shift, there.high + shift), abs=1e-9)
        assert (here.low, here.high) == ends


@given(st.lists(st.integers(-40, 40), min_size=1, max_size=7))
@settings(max_examples=40, deadline=None)
def test_p_counts_the_flips(differences: list[int]) -> None:
    seen = abs(sum(differences))
    flips = list(itertools.product((1, -1), repeat=len(differences)))
    reached = sum(abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= seen for signs in flips)
    assert sign_flip_p([float(d) for d in differences]) == reached / len(flips)


@given(p_values)
@settings(max_examples=60, deadline=None)
def test_holm_raises_p_values_and_keeps_their_order(p: list[float]) -> None:
    adjusted = holm(p)
    assert (adjusted >= np.array(p)).all()
    assert (adjusted <= 1).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert adjusted.min() == min(1.0, len(p) * min(p))
    assert holm(p[::-1]) == pytest.approx(adjusted[::-1])


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """400 studies of five seeds: the number of intervals with the true difference in them is binomial with 95%."""
    draws = np.random.default_rng(14).normal(0.3, 0.8, (400, 5))
    found = [t_interval(differences) for differences in draws]
    covered = sum(interval.low <= 0.3 <= interval.high for interval in found if interval.low is not None)  # type: ignore[operator]
    low, high = stats.binom.interval(0.999, 400, 0.95)
    assert low <= covered <= high


def test_an_arm_like_the_other_is_seldom_called_ahead() -> None:
    """Equals are compared 400 times: 2.5% may be called ahead and 2.5% behind."""
    draws = np.random.default_rng(5).normal(0.0, 0.8, (400, 5))
    found = [t_interval(differences) for differences in draws]
    _, high = stats.binom.interval(0.999, 400, 0.025)
    assert sum(interval.above_zero for interval in found) <= high
    assert sum(interval.below_zero for interval in found) <= high
