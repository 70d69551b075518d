"""Metrics of the user's own, on the logits of a whole split. Letters: N samples, C classes."""

import json
from collections.abc import Sequence

import torch
from torch import Tensor

from kcd_pipeline.config import MetricConfig
from kcd_pipeline.errors import FailedError
from kcd_pipeline.own_parts import OwnPart

KEY = "distill.metrics"
LARGEST = 1e18  # of a number that a run's files hold
TRIED_PER_CLASS = 2  # samples of each class that a metric is tried on


class OwnMetrics:
    """Metrics that a recipe names, each called as `f(logits, labels, **arguments)`.

    Raises
    ------
    UserError
        If one of them cannot be loaded or called.
    """

    def __init__(self, configs: Sequence[MetricConfig]) -> None:
        self._parts = {_label(config): OwnPart(config.name, KEY, config.arguments) for config in configs}

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._parts)

    def __call__(self, logits: Tensor, labels: Tensor) -> dict[str, float | None]:
        """Return each metric of `logits[N, C]` float32 and `labels[N]` int64, by its name; None if it is not finite.

        Raises
        ------
        FailedError
            If one of them raises something, or returns no number.
        """
        found: dict[str, float | None] = {}
        for label, part in self._parts.items():
            try:
                number = float(part(logits.clone(), labels.clone()))
            except Exception as error:  # code of the user's may raise anything
                raise FailedError(
                    f"{KEY}: {label} failed: {type(error).__name__}: {error}. It is called with logits "
                    f"{list(logits.shape)} and labels {list(labels.shape)} on the CPU, and returns one number."
                ) from error
            found[label] = number if abs(number) <= LARGEST else None
        return found


def try_metrics(configs: Sequence[MetricConfig], classes: int) -> None:
    """Compute each metric of a few random logits of so many classes.

    Raises
    ------
    UserError, FailedError
        If one of them cannot be loaded, or fails.
    """
    metrics = OwnMetrics(configs)
    if metrics:
        with torch.random.fork_rng(devices=[]):  # the initial weights must not depend on what it draws
            torch.manual_seed(0)
            labels = torch.arange(TRIED_PER_CLASS * classes) % classes
            metrics(torch.randn(len(labels), classes), labels)


def _label(config: MetricConfig) -> str:
    """Return the name of a metric in a run's files: its own, and its arguments if it has any."""
    arguments = ", ".join(f"{key}={json.dumps(value)}" for key, value in sorted(config.arguments.items()))
    return f"{config.name}({arguments})" if arguments else config.name
