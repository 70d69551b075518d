"""What a ranking takes, worked out before it runs, and refused where it does not fit. Letters: N samples."""

from dataclasses import dataclass

from dask.system import CPU_COUNT

from kcd_stores import StoreUsageError, human_bytes

DEFAULT_MEMORY = 10**9

KEY = 8
MARKS = 2  # which samples are candidates, which are kept: a byte each
CHUNK_SAMPLE = 48  # of a chunk on its way: value and frequency as read, score, key, what is compared, what is picked
SORTED_MEMBER = 28  # of a zone while it is sorted: packed keys, what compares them, indices as they were
COUNTS = 5 * 10**6  # of one chunk, by leading bits
COMFORTABLE = 2_000_000  # members of a zone where memory is no question: sorted in what caches hold
FEWEST = 1 << 16  # members of a zone: what is always granted


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a ranking may do at a time.

    Attributes
    ----------
    workers
        Chunks computed, and zones sorted, at the same time.
    held
        Keys of all samples are kept from the first pass over the scores; otherwise each pass computes them again.
    zone
        Members that are sorted at a time, at the most: of a bucket that has more, finer counts are made.
    comfortable
        The same as far as it is a matter of choice.
    batch
        Members whose keys are gathered in one pass, at the most.
    """

    workers: int
    held: bool
    zone: int
    comfortable: int
    batch: int


def plan_ranking(*, samples: int, chunk: int, ordered: int, plain: int, memory: int) -> Limits:
    """How to rank within `memory` bytes: indices that are handed out, and marks of N samples, count.

    Parameters
    ----------
    chunk
        Samples in the largest chunk of the scores.
    ordered, plain
        How many indices are handed out in order of rank, and as they are.

    Raises
    ------
    StoreUsageError
        If it takes more at the least.
    """
    index = 4 if samples < 1 << 31 else 8
    least = min(samples, FEWEST)
    handed_out, marks = index * (ordered + plain), MARKS * samples
    on_the_way = chunk * CHUNK_SAMPLE + COUNTS  # a chunk; one a worker, and one more that waits
    fixed = marks + index * ordered + 2 * on_the_way
    smallest = max(fixed + least * (SORTED_MEMBER + 2 * KEY), marks + handed_out)
    if smallest > memory:
        raise StoreUsageError(
            f"ranking {samples:,} samples takes at least {human_bytes(smallest)} ({smallest} bytes), but may take "
            f"{human_bytes(memory)}: {human_bytes(handed_out)} are the indices that come of it, {human_bytes(marks)} "
            f"marks of every sample, and chunks of the scores hold {chunk:,}. Allow it more memory, or cut the scores "
            f"into smaller chunks."
        )
    workers = 1 + min(CPU_COUNT - 1, (memory - smallest) // 2 // on_the_way)
    left = memory - fixed - (workers - 1) * on_the_way
    held = left >= 2 * KEY * samples
    left -= KEY * samples if held else 0
    zone = max(left // 2 // (SORTED_MEMBER * workers), least)
    comfortable = min(zone, COMFORTABLE)
    left -= comfortable * SORTED_MEMBER * workers
    return Limits(workers=workers, held=held, zone=zone, comfortable=comfortable, batch=max(left // KEY, zone))
