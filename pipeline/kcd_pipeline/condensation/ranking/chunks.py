"""The keys of lazily computed scores, chunk by chunk, in as many passes as a ranking needs.

Letters: N samples, n samples of a chunk.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.ranking.keys import descending_keys

Result = TypeVar("Result")


class ThreadScratch(threading.local):
    """`keys[n]` uint64, one array for each thread, reused: new memory would cost more than the computation."""

    def __init__(self, size: int) -> None:
        self.keys = np.empty(size, dtype=np.uint64)


class KeyChunks:
    """Chunks of the keys of `scores[N]` (float64), computed anew in each pass unless they are `held`.

    At most `workers + 1` chunks, or the results for them, are in memory at a time.

    Parameters
    ----------
    held
        True to keep all keys, 8 bytes a sample, from the end of the first pass.

    Attributes
    ----------
    samples
        N.
    largest
        Number of samples in the largest chunk.

    Raises
    ------
    ValueError
        If `scores` are not float64 of one dimension.
    """

    def __init__(self, scores: da.Array, *, workers: int, held: bool) -> None:
        if scores.ndim != 1 or scores.dtype != np.float64:
            raise ValueError(f"scores must be float64 [N], got {scores.dtype} {list(scores.shape)}")
        self.samples = int(scores.size)
        self._workers = workers
        self.largest = max(scores.chunks[0])
        self._scratch = ThreadScratch(0 if held else self.largest)
        self._ends = np.cumsum(scores.chunks[0]).tolist()
        self._chunks = scores.to_delayed().tolist()
        self._held = np.empty(self.samples, dtype=np.uint64) if held else None
        self._filled = False

    def map_chunks(self, function: Callable[[NDArray[np.uint64], slice], Result]) -> Iterator[Result]:
        """Yield `function(keys[n], samples)` for each chunk, in order; workers compute ahead.

        `samples` are the indices that the chunk's keys belong to. The result must not be a view of the keys, which are
        overwritten.

        Raises
        ------
        ValueError
            If a score is NaN.
        """
        pending: deque[Future[Result]] = deque()
        with ThreadPoolExecutor(self._workers) as pool:
            for number in range(len(self._ends)):
                pending.append(pool.submit(self._call, function, number))
                if len(pending) > self._workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        self._filled = self._held is not None

    def key(self, sample: int) -> int:
        """Return the key of one sample; unless keys are held, its whole chunk is computed for it."""
        number = int(np.searchsorted(self._ends, sample, side="right"))
        samples = self._samples(number)
        return int(self._keys(number, samples)[sample - samples.start])

    def _samples(self, number: int) -> slice:
        return slice(self._ends[number - 1] if number else 0, self._ends[number])

    def _call(self, function: Callable[[NDArray[np.uint64], slice], Result], number: int) -> Result:
        samples = self._samples(number)
        return function(self._keys(number, samples), samples)

    def _keys(self, number: int, samples: slice) -> NDArray[np.uint64]:
        if self._held is not None and self._filled:
            return self._held[samples]
        # in this thread, which is a worker already. A whole condensation takes 0.96 to 1.05 times the processor time of
        # one that runs the tasks of each chunk by hand: python tests/benchmarks/ranking.py --graph
        scores = self._chunks[number].compute(scheduler="synchronous")
        out = self._scratch.keys[: len(scores)] if self._held is None else self._held[samples]
        return descending_keys(scores, first=samples.start, out=out)
