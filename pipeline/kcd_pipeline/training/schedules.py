"""The learning rate as a pure function of how far training is: resuming has no schedule to restore.

Progress is counted in epochs and may be a fraction: 2.5 when half of the steps of the third epoch have been taken. So a
schedule is as long as the epochs are many, although those of a condensed set have fewer steps.
"""

import math

from kcd_pipeline.config import OptimisationConfig, TeacherConfig
from kcd_pipeline.config.schedules import MOVING_SCHEDULES, schedule_arguments
from kcd_pipeline.own_parts import OwnPart, is_own_part
from kcd_pipeline.training.own_optimisation import own_rate

DEFAULT_MILESTONES = (5 / 8, 3 / 4, 7 / 8)  # fractions of all epochs: 150, 180 and 210 of the published 240
WARMUP_START = 1e-3  # of lr, as DeiT has it: 1e-6 of 1e-3


def learning_rate(config: OptimisationConfig, progress: float) -> float:
    """Return the learning rate at `progress`, in epochs from the beginning.

    For E epochs, the first w of them warm-up, and progress t:

    - t < w: from a thousandth of lr to lr along a line, `lr * (s + (1 - s) * t / w)` with s = 0.001;
    - `milestones`: `lr * gamma^k` after k milestones;
    - `cosine`: `lr * (f + (1 - f) * (1 + cos(pi * u)) / 2)` with `u = (t - w) / (E - w)` and f the end factor
      (Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, without restarts);
    - `linear`: `lr * (f + (1 - f) * (1 - u))`;
    - `one-cycle`: see `one_cycle`;
    - a schedule of the user's own has what it returns.
    """
    if progress < config.warmup:
        return config.lr * (WARMUP_START + (1 - WARMUP_START) * progress / config.warmup)
    part = own_schedule(config)
    if part is not None:
        return own_rate(part, progress, epochs=config.epochs, lr=config.lr)
    if config.schedule == "milestones":
        milestones = config.milestones or tuple(round(part * config.epochs) for part in DEFAULT_MILESTONES)
        return config.lr * config.gamma ** sum(progress >= milestone for milestone in milestones)
    arguments = schedule_arguments(config.schedule, config.schedule_arguments)
    if config.schedule == "one-cycle":
        return one_cycle(progress / config.epochs, lr=config.lr, **arguments)
    end, done = config.lr * arguments["end_factor"], (progress - config.warmup) / (config.epochs - config.warmup)
    if config.schedule == "cosine":
        return end + (config.lr - end) * (1 + math.cos(math.pi * done)) / 2
    return end + (config.lr - end) * (1 - done)


def one_cycle(done: float, *, lr: float, pct_start: float, div_factor: float, final_div_factor: float) -> float:
    """Return the rate when a fraction `done` of training is over: up to `lr`, then down to almost 0.

    It begins at `lr / div_factor`, is `lr` after a fraction `pct_start`, and ends at
    `lr / div_factor / final_div_factor`: the two phases of torch's OneCycleLR (Smith & Topin, "Super-convergence: very
    fast training of neural networks using large learning rates", 2019). Momentum stays as it is.
    """
    first = lr / div_factor
    if done < pct_start:
        return _along_cosine(first, lr, done / pct_start)
    rest = 1 - pct_start
    return _along_cosine(lr, first / final_div_factor, (done - pct_start) / rest if rest else 1.0)


def changes_each_step(config: OptimisationConfig) -> bool:
    """Return True if the rate changes at every step; False if each epoch keeps that of its beginning."""
    if config.lr_changes == "auto":
        return config.warmup > 0 or config.schedule in MOVING_SCHEDULES
    return config.lr_changes == "step"


def own_schedule(config: OptimisationConfig) -> OwnPart | None:
    """Return the schedule of the user's own that the config names; None if it names none."""
    if not is_own_part(config.schedule):
        return None
    section = "teacher" if isinstance(config, TeacherConfig) else "distill"
    return OwnPart(config.schedule, f"{section}.schedule", config.schedule_arguments)


def _along_cosine(first: float, last: float, done: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2
