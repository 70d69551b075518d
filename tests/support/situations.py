"""Situations at a stage's opening, with values of the test's own choice."""

from typing import Any

import numpy as np

from kcd_pipeline.condensation import Situation
from kcd_pipeline.condensation.ranking.budget import DEFAULT_MEMORY
from kcd_pipeline.config import CondenseConfig
from kcd_stores import Plan, keep_all
from kcd_stores.scratch import IN_MEMORY, Scratch


class HeldValues:
    """Values and frequencies in memory, to be read like those of a run: the same after every epoch."""

    def __init__(self, value: Any, frequency: Any = None) -> None:
        self.value = np.array(value, dtype=np.float64)
        visited = ~np.isnan(self.value)
        self.frequency = visited.astype(np.int32) if frequency is None else np.array(frequency, dtype=np.int32)
        self.samples = len(self.value)

    def read(self, epoch: int, scratch: Scratch = IN_MEMORY) -> tuple[np.ndarray, np.ndarray]:
        return self.value, self.frequency

    def read_latest(self, epoch: int, scratch: Scratch = IN_MEMORY) -> np.ndarray:
        return self.value.astype(np.float32)

    def read_chunk(self, name: str, epoch: int, number: int) -> np.ndarray:
        if name == "latest":
            return self.read_latest(epoch)
        return self.value if name == "value" else self.frequency

    def chunk_sizes(self) -> list[int]:
        return [self.samples]


def situation(
    value: Any,
    *,
    keep: int,
    labels: Any = None,
    before: Plan | None = None,
    seed: int = 0,
    stage: int = 1,
    memory: int = DEFAULT_MEMORY,
    **condense: Any,
) -> Situation:
    """Return the opening of `stage`, its first epoch, of a run of 100 epochs that keeps `keep` samples.

    Parameters
    ----------
    value
        `[N]`: V; NaN: never visited.
    labels
        `[N]`: the classes.
    before
        The plan of the stage before; all samples by default.
    condense
        Keys of the section of that name.
    """
    values: Any = HeldValues(value)
    return Situation(
        values=values,
        before=keep_all(values.samples) if before is None else before,
        stage=stage,
        opens=stage,
        epochs=100,
        keep=keep,
        labels=None if labels is None else np.array(labels, dtype=np.int64),
        config=CondenseConfig(**condense),
        seed=seed,
        memory=memory,
    )
