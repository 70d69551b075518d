"""The optimizer steps of an epoch, of one batch or of several: pure arithmetic, the same on every rank."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """The steps of an epoch whose batches are those of `kcd_stores.streaming.order.cut_batches`.

    A step is taken on `accumulate` batches, and the last one on those that are left.

    Attributes
    ----------
    samples
        n, the samples of the epoch.
    batch_size
        Samples of a batch; the last batch may have fewer, or one more.
    accumulate
        Batches of a step.
    """

    samples: int
    batch_size: int
    accumulate: int

    @property
    def batches(self) -> int:
        """Number of batches."""
        whole, left = divmod(self.samples, self.batch_size)
        joins_the_last = left == 1 and self.batch_size > 1 and whole > 0
        return whole + (left > 0 and not joins_the_last)

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        return -(-self.batches // self.accumulate)

    def step_of(self, batch: int) -> int:
        """Return the step, counted from 0, that a batch, counted from 0, belongs to."""
        return batch // self.accumulate

    def ends_step(self, batch: int) -> bool:
        """Return True if the step is taken after this batch, counted from 0."""
        return (batch + 1) % self.accumulate == 0 or batch + 1 == self.batches

    def samples_of(self, step: int) -> int:
        """Return the number of samples of all batches of a step, counted from 0."""
        before = step * self.accumulate * self.batch_size
        return self.samples - before if step + 1 == self.steps else self.accumulate * self.batch_size
