"""When a condensation happens and how many samples it keeps."""

from fractions import Fraction


def stage_of(epoch: int, interval: int) -> int:
    """The stage (0-based) that `epoch` (0-based) belongs to."""
    return epoch // interval


def stage_count(epochs: int, interval: int) -> int:
    """S, the number of stages: the last one may be shorter."""
    return -(-epochs // interval)


def kept_fraction(stage: int, stages: int, keep_ratio: float, schedule: str) -> Fraction:
    """The fraction of all samples that `stage` is taught on, exactly.

    `linear`: `1 - (1 - keep_ratio) * s / (S - 1)`, so the last stage is taught on `keep_ratio`.
    `released`: `1 - (1 - keep_ratio) * s / S`, what the authors' code does and the published table was made with.
    A single stage keeps everything.
    """
    if not 0 <= stage < stages:
        raise ValueError(f"stage {stage} of {stages}")
    steps = stages - 1 if schedule == "linear" else stages
    if stage == 0:
        return Fraction(1)
    dropped = 1 - Fraction(str(keep_ratio))  # the decimal that was written, not its binary neighbour
    return 1 - dropped * stage / steps


def kept_count(samples: int, stage: int, stages: int, keep_ratio: float, schedule: str) -> int:
    """How many samples `stage` keeps: the fraction of `samples`, rounded half up, at least 1."""
    exact = kept_fraction(stage, stages, keep_ratio, schedule) * samples
    return max(int(exact + Fraction(1, 2)), 1)
