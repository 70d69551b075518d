"""What training cost, stage by stage and in all: samples, steps, seconds, and bytes of the store read."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kcd_pipeline.report.collect.stages import plan_facts, stage_epochs
from kcd_stores import Plan

Epoch = Mapping[str, Any]  # a line of metrics.jsonl


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of some epochs.

    Attributes
    ----------
    epochs
        How many of them are done.
    samples, steps
        Samples trained on, each epoch anew, and steps of the optimizer.
    seconds
        Of training, without testing.
    bytes_read
        Of the store, as it lies on disk, while they were trained; a little of it for the epoch after.

    The first runs did not count steps and bytes: None.
    """

    epochs: int
    samples: int
    steps: int | None
    seconds: float
    bytes_read: int | None


def cost(epochs: Sequence[Epoch]) -> Cost:
    """What `epochs` cost together."""
    return Cost(
        epochs=len(epochs),
        samples=sum(line["samples"] for line in epochs),
        steps=_counted(epochs, "steps"),
        seconds=sum(line["seconds"] for line in epochs),
        bytes_read=_counted(epochs, "bytes_read"),
    )


def _counted(epochs: Sequence[Epoch], key: str) -> int | None:
    return sum(line[key] for line in epochs) if all(key in line for line in epochs) else None


def stages_told(plans: list[Plan], epochs: Sequence[Epoch]) -> list[dict[str, Any]]:
    """Each stage begun: what its plan decided, and what its epochs have cost so far, as plain data."""
    last = max(len(epochs), plans[-1].epoch + 1) if plans else 0
    return [
        plan_facts(plan) | asdict(cost(epochs[first : end + 1]))
        for plan, (first, end) in zip(plans, stage_epochs(plans, last), strict=True)
    ]
