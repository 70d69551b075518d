"""The memory that a ranking takes, computed before it runs; it is refused if it does not fit. Letters: N samples."""

from dataclasses import dataclass

from dask.system import CPU_COUNT

from kcd_stores import StoreUsageError, human_bytes
from kcd_stores.scratch import IN_MEMORY, Scratch

DEFAULT_MEMORY = 10**9  # bytes

KEY_BYTES = 8
MARK_BYTES = 2  # a sample: one byte that says if it is a candidate, one that says if it is kept
CHUNK_SAMPLE_BYTES = 48  # a sample of a chunk in work: value, frequency, score, key, comparisons, what is picked
SORT_MEMBER_BYTES = 28  # a member of a zone that is sorted: packed key, comparisons, index
COUNT_BYTES = 5 * 10**6  # counts of one chunk by leading bits
USUAL_ZONE = 2_000_000  # members of a zone if memory allows: sorted within the processor's caches
SMALLEST_ZONE = 1 << 16  # members of a zone that must fit in any case


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Amounts of work that a ranking may do at a time.

    Attributes
    ----------
    workers
        Number of chunks computed, and of zones sorted, at the same time.
    held
        True if the keys of all samples are kept from the first pass; else each pass computes them again.
    largest_zone
        Most members that are sorted at a time. A bucket with more is counted more finely.
    usual_zone
        Members of a zone that is put together from several buckets, at most.
    batch
        Most members whose keys are gathered in one pass.
    """

    workers: int
    held: bool
    largest_zone: int
    usual_zone: int
    batch: int


def plan_ranking(
    *, samples: int, chunk: int, ordered: int, plain: int, memory: int, scratch: Scratch = IN_MEMORY
) -> Limits:
    """Return limits that keep a ranking of N `samples` within `memory` bytes, including the indices it returns.

    Marks and indices that `scratch` has in files do not count.

    Parameters
    ----------
    chunk
        Number of samples in the largest chunk of the scores.
    ordered, plain
        Number of indices that are returned in order of rank, and in ascending order.

    Raises
    ------
    StoreUsageError
        If the least that it takes is more than `memory`.
    """
    index = 4 if samples < 1 << 31 else 8
    least = min(samples, SMALLEST_ZONE)
    most = scratch.largest_in_memory
    in_order, in_memory = (size if size <= most else 0 for size in (index * ordered, index * plain))
    returned, marks = in_order + in_memory, MARK_BYTES * (samples if samples <= most else 0)
    chunk_in_work = chunk * CHUNK_SAMPLE_BYTES + COUNT_BYTES  # one for each worker, and one more that waits
    fixed = marks + in_order + 2 * chunk_in_work
    smallest = max(fixed + least * (SORT_MEMBER_BYTES + 2 * KEY_BYTES), marks + returned)
    if smallest > memory:
        raise StoreUsageError(
            f"ranking {samples:,} samples takes at least {human_bytes(smallest)} ({smallest} bytes), but may take "
            f"{human_bytes(memory)}: {human_bytes(returned)} are the indices that it returns, {human_bytes(marks)} "
            f"are marks of every sample, and chunks of the scores hold up to {chunk:,} samples. Allow it more memory, "
            f"or cut the scores into smaller chunks."
        )
    workers = 1 + min(CPU_COUNT - 1, (memory - smallest) // 2 // chunk_in_work)
    left = memory - fixed - (workers - 1) * chunk_in_work
    held = left >= 2 * KEY_BYTES * samples
    left -= KEY_BYTES * samples if held else 0
    largest_zone = max(left // 2 // (SORT_MEMBER_BYTES * workers), least)
    usual_zone = min(largest_zone, USUAL_ZONE)
    left -= usual_zone * SORT_MEMBER_BYTES * workers
    return Limits(
        workers=workers,
        held=held,
        largest_zone=largest_zone,
        usual_zone=usual_zone,
        batch=max(left // KEY_BYTES, largest_zone),
    )
