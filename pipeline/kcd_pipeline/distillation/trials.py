"""Trials of what a recipe names, before anything is opened or written: value, policy, loss, optimizer, schedule."""

import torch

from kcd_pipeline.condensation import WITH_WEIGHTS, make_policy, make_worth
from kcd_pipeline.config import Config
from kcd_pipeline.distillation.objective import require_no_logits, require_sample_losses
from kcd_pipeline.errors import UserError
from kcd_pipeline.losses import compares_batch, key_of_comparison, try_own_loss
from kcd_pipeline.own_parts import digests_of
from kcd_pipeline.training.optimisation import try_optimisation
from kcd_pipeline.training.own_metrics import try_metrics
from kcd_pipeline.training.ranks import Ranks


def try_parts(config: Config, ranks: Ranks, *, classes: int) -> None:
    """Try all parts of a recipe that a student of so many `classes` is trained with.

    Raises
    ------
    UserError
        If one of them is missing, or does not fit the others.
    FailedError
        If one of the user's own fails.
    """
    _require_whole_batches(config, ranks)
    if not config.store.logits:
        _require_no_logits(config)
    _try_value(config, classes)
    try_optimisation(config.distill)
    try_metrics(config.distill.metrics, classes)
    if config.distill.method != "none":
        try_own_loss(config.distill, classes=classes)
    if config.distill.method == "kcd" and config.condense.plans_from is None:
        # one that is missing is refused now, not at the first condensation
        make_policy(config.condense.policy, config.condense.policy_arguments)
        if config.condense.policy in WITH_WEIGHTS:
            require_sample_losses(config.distill, f"condense.policy is {config.condense.policy}")


def digests_of_parts(config: Config) -> dict[str, str]:
    """Return the digest of the source of each part of the user's own that a run calls, by the key that names it."""
    distill, condense = config.distill, config.condense
    called = [
        ("data.name", config.data.name),
        ("student.model", config.student.model),
        ("augmentation.name", config.augmentation.name),
        ("distill.optimizer", distill.optimizer),
        ("distill.schedule", distill.schedule),
        *(("distill.metrics", metric.name) for metric in distill.metrics),
        ("condense.value", condense.value),
    ]
    if distill.method != "none":
        called.append(("distill.loss.name", distill.loss.name))
    if distill.method == "kcd" and condense.plans_from is None:
        called.append(("condense.policy", condense.policy))
    return digests_of(called)


def _require_no_logits(config: Config) -> None:
    """Raise UserError if loss or value need a teacher's logits, while features alone are stored."""
    if config.distill.method == "none":
        return
    without = "but store.logits is false: features alone are stored. "
    require_no_logits(config.distill, without)
    if make_worth(config).needs_teacher:
        raise UserError(
            f"condense.value is {config.condense.value}, which looks at the teacher's logits, {without}Take a value of "
            f"the student alone, such as entropy, or a store with logits."
        )


def _try_value(config: Config, classes: int) -> None:
    """Raise unless `condense.value` can be computed of a batch of two samples; all else may take long to be made."""
    if classes < 2 and config.condense.value in ("margin", "aum"):
        raise UserError(
            f"condense.value: {config.condense.value} compares the logits of two classes, but the data set has "
            f"{classes}. Take another value."
        )
    taught = config.distill.method != "none" and config.store.logits
    logits = torch.linspace(0, 1, 2 * classes).reshape(2, classes)
    with torch.random.fork_rng(devices=[]):  # one of the user's own may draw random numbers
        make_worth(config)(logits, torch.tensor([0, classes - 1]), logits if taught else None)


def _require_whole_batches(config: Config, ranks: Ranks) -> None:
    """Raise if the loss compares the samples of a batch with each other but each rank sees only its part of it."""
    distill = config.distill
    if ranks.several and distill.method != "none" and compares_batch(distill):
        raise UserError(
            f"distill.loss.name is {distill.loss.name}, which compares all samples of a batch with each other, but "
            f"this is rank {ranks.share.rank} of {ranks.share.ranks}, and each sees only its part of a batch. Train "
            f"in one process, or set distill.loss.{key_of_comparison(distill)}."
        )
