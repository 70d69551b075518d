"""The schedule: when a condensation happens and how many samples it keeps.

Letters: s stage (0-based), S stages of a run.
"""

from fractions import Fraction


def stage_of(epoch: int, interval: int) -> int:
    """Return the stage (0-based) of `epoch` (0-based), a stage being `interval` epochs."""
    return epoch // interval


def stage_count(epochs: int, interval: int) -> int:
    """Return S, the number of stages of a run of `epochs` epochs; the last stage may be shorter."""
    return -(-epochs // interval)


def kept_fraction(stage: int, stages: int, keep_ratio: float, schedule: str) -> Fraction:
    """Return the fraction of all samples that `stage` (s) of `stages` (S) keeps, exactly.

    `linear`: `1 - (1 - keep_ratio) * s / (S - 1)`, so the last stage keeps `keep_ratio`.
    `released`: `1 - (1 - keep_ratio) * s / S`, which the authors' code does and the published table was made with.
    The first stage keeps everything, also if it is the only one.
    """
    if not 0 <= stage < stages:
        raise ValueError(f"stage {stage} of {stages}")
    steps = stages - 1 if schedule == "linear" else stages
    if stage == 0:
        return Fraction(1)
    dropped = 1 - Fraction(str(keep_ratio))  # the decimal as it was written, not the nearest binary number
    return 1 - dropped * stage / steps


def kept_count(samples: int, stage: int, stages: int, keep_ratio: float, schedule: str) -> int:
    """Return the number of `samples` that `stage` keeps: the exact fraction of them, rounded half up, at least 1."""
    exact = kept_fraction(stage, stages, keep_ratio, schedule) * samples
    return max(int(exact + Fraction(1, 2)), 1)
