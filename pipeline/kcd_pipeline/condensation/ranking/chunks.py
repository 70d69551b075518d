"""The keys of lazily computed scores, chunk by chunk: what a ranking reads, once or again and again.

Letters: N samples, n samples of a chunk.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import dask
import dask.array as da
import numpy as np
from dask.local import get_sync
from dask.optimization import cull
from numpy.typing import NDArray

from kcd_pipeline.condensation.ranking.keys import descending_keys

Result = TypeVar("Result")


class Scratch(threading.local):
    """`keys[n]` uint64 of each thread's own, used again and again: fresh memory costs more than what is computed."""

    def __init__(self, size: int) -> None:
        self.keys = np.empty(size, dtype=np.uint64)


class KeyChunks:
    """Chunks of the keys of `scores[N]`, computed anew in each pass, or `held` (8 bytes a sample) after the first.

    At most `workers + 1` chunks, or what came of them, are in memory at a time.
    """

    def __init__(self, scores: da.Array, *, workers: int, held: bool) -> None:
        if scores.ndim != 1 or scores.dtype != np.float64:
            raise ValueError(f"scores must be float64 [N], got {scores.dtype} {list(scores.shape)}")
        self.samples = int(scores.size)
        self._workers = workers
        self.largest = max(scores.chunks[0])
        self._scratch = Scratch(0 if held else self.largest)
        self._ends = np.cumsum(scores.chunks[0]).tolist()
        (fused,) = dask.optimize(scores)  # reading and scoring a chunk become one task of it
        graph, names = dict(fused.__dask_graph__()), fused.__dask_keys__()
        self._tasks = [(cull(graph, [name])[0], name) for name in names]
        self._held = np.empty(self.samples, dtype=np.uint64) if held else None
        self._full = False

    def each(self, function: Callable[[NDArray[np.uint64], slice], Result]) -> Iterator[Result]:
        """`function(keys[n], samples)` for each chunk, in order, computed ahead by the workers.

        What it returns must be no view of the keys, which are overwritten.

        Raises
        ------
        ValueError
            If a score is NaN.
        """
        pending: deque[Future[Result]] = deque()
        with ThreadPoolExecutor(self._workers) as pool:
            for number in range(len(self._ends)):
                pending.append(pool.submit(self._on_chunk, function, number))
                if len(pending) > self._workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        self._full = self._held is not None

    def key(self, sample: int) -> int:
        """The key of one sample, for which its chunk is computed."""
        number = int(np.searchsorted(self._ends, sample, side="right"))
        samples = self._samples(number)
        return int(self._keys(number, samples)[sample - samples.start])

    def _samples(self, number: int) -> slice:
        return slice(self._ends[number - 1] if number else 0, self._ends[number])

    def _on_chunk(self, function: Callable[[NDArray[np.uint64], slice], Result], number: int) -> Result:
        samples = self._samples(number)
        return function(self._keys(number, samples), samples)

    def _keys(self, number: int, samples: slice) -> NDArray[np.uint64]:
        if self._held is not None and self._full:
            return self._held[samples]
        scores: Any = get_sync(*self._tasks[number])
        place = self._scratch.keys[: len(scores)] if self._held is None else self._held[samples]
        return descending_keys(scores, first=samples.start, out=place)
