"""p values of paired differences, and their correction for the number of comparisons."""

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.statistics.intervals import SAME, Numbers, checked

MOST_EXACT = 16  # differences whose signs are flipped in all 2^n ways; of more, a sample of the ways is taken
RESAMPLES = 9_999


def sign_flip_p(differences: Numbers, seed: int = 0) -> float:
    """Return the two-sided p value that paired `differences` `[n]` have by flips of their signs.

    If neither arm were better, each difference would have either sign with the same chance. p is the share of the 2^n
    ways to choose the signs whose sum is at least as far from 0 as the one seen (Fisher, The Design of Experiments,
    1935, section 21). It assumes no distribution, but cannot be below 2 / 2^n. Up to 16 differences it is exact; for
    more, it is estimated from 9,999 ways drawn by `seed`.

    Raises
    ------
    ValueError
        If there is no difference, or one is not finite.
    """
    d = np.sort(checked(differences))
    if len(d) <= MOST_EXACT:
        signs = 1 - 2 * (np.arange(2 ** len(d))[:, None] >> np.arange(len(d)) & 1)
        sums, seen = np.abs(signs @ d), abs(float(d.sum()))
        return float(np.mean(sums >= seen - SAME * max(1.0, float(np.abs(d).sum()))))
    from scipy.stats import permutation_test

    rng = np.random.default_rng(seed)
    found = permutation_test((d,), np.mean, permutation_type="samples", vectorized=True, n_resamples=RESAMPLES, rng=rng)
    return float(found.pvalue)


def smallest_sign_flip_p(n: int) -> float:
    """Return the smallest two-sided p value that flips of `n` signs can give, 2 / 2^n."""
    return 2.0 ** (1 - n)


def holm(p: Numbers) -> NDArray[np.float64]:
    """Return the p values `[m]` adjusted for their number, so that the chance of any false finding stays below alpha.

    In ascending order, the k-th is multiplied by m - k + 1, made no smaller than those before it, and capped at 1
    (Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics, 1979).

    Raises
    ------
    ValueError
        If a p value is not between 0 and 1.
    """
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p values are between 0 and 1, got {p}")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1)
    return adjusted
