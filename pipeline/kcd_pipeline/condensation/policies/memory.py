"""The memory of a policy that holds an array of all samples, refused before it is taken if it is too much."""

from kcd_pipeline.condensation.policies.protocol import Situation
from kcd_stores import StoreUsageError, human_bytes

SAMPLE_BYTES = 96  # a value, a score, an order, draws, a weight, marks, and one copy of each that is made meanwhile


def require_memory(situation: Situation) -> None:
    """Raise StoreUsageError if arrays of all samples take more than the memory that the choice may take."""
    needed = SAMPLE_BYTES * situation.samples
    if needed > situation.memory:
        raise StoreUsageError(
            f"condense.policy is {situation.config.policy}, which takes {human_bytes(needed)} ({needed} bytes) for "
            f"{situation.samples:,} samples, but may take {human_bytes(situation.memory)}. Without condense.balance, "
            f"kcd ranks any number of samples in less."
        )
