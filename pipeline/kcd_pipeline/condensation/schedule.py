"""The schedule: at which epochs stages open, and how many samples they keep.

The kept fraction steps every `condense.interval` epochs, whatever the policy. Stages need not: some policies make a new
plan each epoch. All epochs are 0-based. Letters: N samples, s step (0-based), S steps of a run.
"""

from bisect import bisect_right
from fractions import Fraction

from kcd_pipeline.config import CondenseConfig

EACH_EPOCH = ("infobatch", "rs2", "weighted")  # policies whose stages are single epochs
WITH_FINISH = ("annealed", "infobatch")  # policies that end on all samples


def stage_openings(epochs: int, config: CondenseConfig) -> tuple[int, ...]:
    """Return the first epoch of each stage of a run of `epochs` epochs, ascending, the first of them 0.

    The policies of `EACH_EPOCH` open a stage each epoch, the others one every `interval` epochs; the last stage may be
    shorter. With a finish, its first epoch opens the last stage.
    """
    finish = finish_epoch(epochs, config)
    last = epochs if finish is None else finish
    openings = list(range(0, last, 1 if config.policy in EACH_EPOCH else config.interval))
    if last < epochs:
        openings.append(last)
    return tuple(openings)


def stage_of(epoch: int, openings: tuple[int, ...]) -> int:
    """Return the stage (0-based) that `epoch` is in, of stages with these `openings`."""
    return bisect_right(openings, epoch) - 1


def finish_epoch(epochs: int, config: CondenseConfig) -> int | None:
    """Return the first epoch of the finish, which is taught all samples; None if the policy has none.

    The finish is the fraction `finish` of all epochs, rounded half up. If that is no epoch, the number of epochs is
    returned.
    """
    return epochs - _half_up(_decimal(config.finish) * epochs) if config.policy in WITH_FINISH else None


def kept_count(samples: int, epoch: int, epochs: int, config: CondenseConfig) -> int:
    """Return the number of the N `samples` that the schedule keeps in `epoch` of `epochs`, at least 1.

    With r for `keep_ratio`, and counted exactly, not in binary fractions:

    `linear`: `N * (1 - (1 - r) * s / (S - 1))`, rounded half up, so that the last step keeps r of them.
    `released`: `N - s * floor(N * (1 - r) / S)`, which the authors' code does with 6 for S, and which the published
    table was made with.
    `constant`: `N * r`, rounded half up.

    The first step keeps everything, and so does a finish. Only the steps before a finish count as S.
    """
    if not 0 <= epoch < epochs:
        raise ValueError(f"epoch {epoch} of {epochs}")
    finish = finish_epoch(epochs, config)
    last = epochs if finish is None else finish
    step, steps = epoch // config.interval, -(-last // config.interval)
    if step == 0 or epoch >= last:
        return samples
    dropped = samples * (1 - _decimal(config.keep_ratio))
    if config.schedule == "released":
        kept = samples - step * int(dropped / steps)
    elif config.schedule == "linear":
        kept = _half_up(samples - dropped * step / (steps - 1))
    else:
        kept = _half_up(samples - dropped)
    return max(kept, 1)


def _decimal(number: float) -> Fraction:
    """Return the decimal as it was written, not the nearest binary number."""
    return Fraction(str(number))


def _half_up(number: Fraction) -> int:
    return int(number + Fraction(1, 2))
