"""The generator against its authors' known answers, and the draws made from it."""

import numpy as np
import pytest
from scipy import stats

from kcd_stores.philox import below, draws, permutation, philox, random_scores, uniform

# philox4x32-10 known-answer vectors of the Random123 distribution (kat_vectors): counter, key, result
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, 0xFFFFFFFF_FFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        0x299F31D0_A4093822,
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers(counter: tuple[int, int, int, int], key: int, answer: tuple[int, ...]) -> None:
    assert tuple(int(word) for word in philox(key, counter)) == answer


def test_a_whole_array_of_counters_is_the_same_as_one_at_a_time() -> None:
    index = np.array([0, 1, 5, 2**32 - 1])
    together = philox(7, (index, 3, 0, 1))
    apart = [philox(7, (int(i), 3, 0, 1)) for i in index]
    np.testing.assert_array_equal(together, np.stack(apart, axis=1))


def test_draws_of_different_samples_views_and_seeds_differ() -> None:
    index = np.arange(1000)
    words = {(seed, view): draws(seed, index, view, 1)[0] for seed in (0, 1) for view in (0, 1)}
    assert len(np.unique(np.concatenate(list(words.values())))) > 3990  # 4,000 words: a few coincide by birthday


def test_uniform_draws_are_uniform() -> None:
    u = uniform(draws(0, np.arange(20_000), 0, 4))
    assert u.min() >= 0
    assert u.max() < 1
    for row in u:
        assert stats.kstest(row, "uniform").pvalue > 1e-4


def test_integer_draws_are_in_range_and_even() -> None:
    n = below(draws(0, np.arange(90_000), 0, 1)[0], 9)
    assert stats.chisquare(np.bincount(n, minlength=9)).pvalue > 1e-4
    assert below(np.array([2**32 - 1], dtype=np.uint32), 9) == 8


def test_an_index_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="2\\*\\*32"):
        draws(0, np.array([2**32]), 0, 1)


def test_an_epochs_order_is_a_permutation_of_its_own() -> None:
    items = np.arange(500)
    orders = [permutation(seed, epoch, items) for seed in (0, 1) for epoch in (0, 1)]
    for order in orders:
        assert sorted(order) == items.tolist()
    assert len({order.tobytes() for order in orders}) == 4


def test_the_order_of_a_subset_is_the_order_of_the_whole_with_the_rest_left_out() -> None:
    whole = permutation(3, 8, np.arange(100))
    subset = np.array([4, 8, 15, 16, 23, 42])
    assert permutation(3, 8, subset).tolist() == [i for i in whole if i in subset]


def test_random_scores_are_uniform_and_fresh_for_each_seed_and_stage() -> None:
    index = np.arange(20_000)
    scores = [random_scores(seed, stage, index) for seed in (0, 1) for stage in (1, 2)]
    for score in scores:
        assert score.min() >= 0
        assert score.max() < 1
        assert stats.kstest(score, "uniform").pvalue > 1e-4
    assert np.abs(np.corrcoef(scores) - np.eye(4)).max() < 0.03
    # the 53 leading bits of the first two words: worked out from the generator itself
    high, low = (int(word) for word in philox(1, (7, 2, 0, 102))[:2])
    assert random_scores(1, 2, np.array([7]))[0] == ((high << 32 | low) >> 11) / 2**53
