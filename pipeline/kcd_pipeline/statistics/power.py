"""The number of seeds by which a difference of a given size would be told from chance."""

from scipy.special import ncfdtr, stdtrit

from kcd_pipeline.statistics.intervals import LEVEL, Numbers, all_equal, checked

MOST_SEEDS = 10_000  # a difference that needs more is as good as none


def seeds_needed(differences: Numbers, power: float = 0.8, level: float = LEVEL) -> int | None:
    """Return the number of paired seeds at which a t test finds a difference like this one with probability `power`.

    The true difference is taken to be the mean of `differences` `[n]`, and its deviation theirs, s. With N seeds,
    t = mean / (s / sqrt(N)) follows the noncentral t distribution with N - 1 degrees of freedom and noncentrality
    sqrt(N) |mean| / s (Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988, chapter 2). Mean and
    deviation of a few seeds are rough, and so is this number.

    Returns
    -------
    int or None
        At least 2; None if the differences show no deviation, if their mean is 0, or if more than `MOST_SEEDS` seeds
        would be needed.
    """
    d = checked(differences)
    if all_equal(d):
        return None
    effect = abs(float(d.mean())) / float(d.std(ddof=1))
    low, high = 1, 2
    while power_of_t_test(effect, high, level) < power:
        if high >= MOST_SEEDS:
            return None
        low, high = high, min(high + max(1, high // 4), MOST_SEEDS)
    while high - low > 1:  # the power rises with the number of seeds: `low` has too little, `high` has enough
        middle = (low + high) // 2
        low, high = (middle, high) if power_of_t_test(effect, middle, level) < power else (low, middle)
    return high


def power_of_t_test(effect: float, n: int, level: float = LEVEL) -> float:
    """Return the probability that a two-sided paired t test of `n` seeds finds a difference of `effect` deviations.

    The square of a noncentral t is a noncentral F with 1 and n - 1 degrees of freedom. scipy's are NaN far out in their
    tails; the F only where the power is 1 but for rounding, which a search that goes up in small steps does not reach.
    """
    critical = stdtrit(n - 1, (1 + level) / 2)
    return float(1 - ncfdtr(1, n - 1, n * effect**2, critical**2))
