"""Reading that is dealt out to ranks: the portions of ranks that read everything, with each chunk read by one rank."""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.exchange import exchanges, on_all_ranks

from kcd_stores import (
    Exchange,
    Layout,
    Packing,
    Reading,
    RowSource,
    Share,
    Streaming,
    make_encoding,
    open_stream,
)
from kcd_stores.streaming import rows
from kcd_stores.streaming.dealt_reads import cut_runs, read_needed
from kcd_stores.streaming.order import WindowSizes

BATCH = 6


class CountedRows(RowSource):
    """Every number of view v of sample i is 1000 v + i. It counts how often each chunk is read."""

    location = "nowhere"

    def __init__(self, samples: int, *, chunk_rows: int, concurrent_reads: int = 1) -> None:
        self._layout = Layout(views=2, samples=samples, classes=3, block_rows=4 * chunk_rows, chunk_rows=chunk_rows)
        self._concurrent_reads, self.chunks = concurrent_reads, Counter[tuple[int, int]]()

    @property
    def layout(self) -> Layout:
        return self._layout

    @property
    def concurrent_reads(self) -> int:
        return self._concurrent_reads

    @property
    def packing(self) -> Packing:
        return Packing(encoding=make_encoding("float32"), classes=3)

    def complete(self) -> np.ndarray:
        return np.ones((2, self._layout.blocks), dtype=bool)

    def read_packed(self, view: int, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
        chunk = self._layout.chunk_rows
        self.chunks.update((view, number) for number in range(start // chunk, (stop - 1) // chunk + 1))
        packed = np.empty((stop - start, self.packing.row_bytes), np.uint8) if out is None else out
        packed.view(np.float32)[...] = 1000 * view + np.arange(start, stop)[:, None]
        return packed


@dataclass(frozen=True, kw_only=True)
class Case:
    samples: int
    chunk_rows: int
    ranks: int
    readings: tuple[Reading, Reading]
    sizes: WindowSizes | None
    concurrent_reads: int

    def store(self) -> CountedRows:
        return CountedRows(self.samples, chunk_rows=self.chunk_rows, concurrent_reads=self.concurrent_reads)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    samples, chunk_rows = draw(st.integers(2, 150)), draw(st.sampled_from([1, 4, 16]))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    kept = np.sort(random.permutation(samples)[: draw(st.integers(0, samples))])
    partner = random.integers(-1, samples, len(kept)) if draw(st.booleans()) else None
    times = random.integers(1, 4, len(kept)) if draw(st.booleans()) else None
    now = Reading(seed=draw(st.integers(0, 9)), epoch=0, view=0, kept=kept, partner=partner, times=times)
    strip_rows = min(draw(st.sampled_from([1, 2, 4])), chunk_rows)
    sizes = WindowSizes(window_rows=max(draw(st.sampled_from([8, 32])), strip_rows), strip_rows=strip_rows)
    return Case(
        samples=samples,
        chunk_rows=chunk_rows,
        ranks=draw(st.integers(1, 4)),
        readings=(now, replace(now, epoch=1, view=1)),
        sizes=sizes if draw(st.booleans()) else None,
        concurrent_reads=draw(st.sampled_from([1, 3])),
    )


def portions(case: Case, store: RowSource, rank: int, exchange: Exchange | None) -> list[tuple[list[int], list[float]]]:
    """Read both epochs; return the order of each portion, and the rows of this rank's samples and their partners."""
    share = Share(rank=rank, ranks=case.ranks)
    streaming = Streaming(window_sizes=case.sizes, whole_bytes=1, held_bytes=0, memory=10**6)
    stream = open_stream(store, [0, 1], streaming, batch_size=BATCH, share=share, exchange=exchange)
    found = []
    for now, then in zip(case.readings, (case.readings[1], None), strict=True):
        for portion in stream.read(now, then):
            own = share.select(portion.order, BATCH)
            looked_up = np.concatenate([own, now.partners_of(own)])
            found.append((portion.order.tolist(), portion.rows[looked_up][:, 0].tolist()))
            assert found[-1][1] == (1000 * now.view + looked_up).tolist()
    stream.close()
    return found


@settings(deadline=None, max_examples=150)
@given(case=cases())
def test_portions_are_those_of_ranks_that_read_everything_and_no_chunk_is_read_by_two(case: Case) -> None:
    dealt, everything = case.store(), case.store()
    found = on_all_ranks(lambda rank, exchange: portions(case, dealt, rank, exchange), exchanges(case.ranks))
    assert found == [portions(case, everything, rank, None) for rank in range(case.ranks)]
    if case.sizes is not None:
        alone = case.store()
        portions(replace(case, ranks=1), alone, 0, None)
        assert dealt.chunks == alone.chunks, "as often as by a process that is alone"
    elif case.ranks > 1:
        now = case.readings[0]
        kept = np.asarray(now.kept)
        held = np.union1d(kept, now.partners_of(kept)) // case.chunk_rows
        assert dealt.chunks == dict.fromkeys([(view, chunk) for view in (0, 1) for chunk in set(held.tolist())], 1)


@given(
    samples=st.sets(st.integers(0, 300)).map(sorted), chunk_rows=st.integers(1, 40), ranks=st.integers(1, 6)
)  # fmt: skip
def test_runs_are_of_whole_chunks_and_about_equally_many(samples: list[int], chunk_rows: int, ranks: int) -> None:
    runs = cut_runs(np.array(samples, np.int64), chunk_rows, ranks)
    assert np.concatenate(runs).tolist() == samples
    chunks = [set((run // chunk_rows).tolist()) for run in runs]
    assert len(runs) == ranks
    assert sum(map(len, chunks)) == len(set.union(*chunks)), "no chunk is in two runs"
    assert max(map(len, chunks)) - min(map(len, chunks)) <= 1


def test_what_is_sent_at_once_is_about_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece of 64 rows is 4 chunks; each of two ranks needs every other row of 40 chunks."""
    monkeypatch.setattr(rows, "PIECE_BYTES", 64 * 12)
    store, ways = CountedRows(640, chunk_rows=16), exchanges(2)

    def read(rank: int, exchange: Exchange) -> list[int]:
        pieces = read_needed(
            store, 0, lambda of: np.arange(of.rank, 640, 2), 16, share=Share(rank=rank, ranks=2), exchange=exchange
        )
        return [piece.nbytes for _, piece in pieces]

    found = on_all_ranks(read, ways)
    assert [sum(sizes) for sizes in found] == [320 * 12] * 2
    assert max(map(max, found)) == 32 * 12
    assert [way.largest for way in ways] == [64 * 12] * 2, "half of a piece is sent, and half of one received"
    assert set(store.chunks.values()) == {1}


@pytest.mark.parametrize("sizes", [None, WindowSizes(window_rows=8, strip_rows=2)])
def test_a_read_that_is_not_wanted_any_more_is_made_by_all_ranks(sizes: WindowSizes | None) -> None:
    """Another epoch comes than was foreseen, and the last one is given up: no rank waits for one that does not read."""
    store = CountedRows(64, chunk_rows=4)
    streaming = Streaming(window_sizes=sizes, whole_bytes=1, held_bytes=0, memory=10**6)
    foreseen = [Reading(seed=0, epoch=epoch, view=epoch % 2, kept=np.arange(64)) for epoch in range(20)]

    def read(rank: int, exchange: Exchange) -> list[int]:
        share = Share(rank=rank, ranks=3)
        stream = open_stream(store, [], streaming, batch_size=BATCH, share=share, exchange=exchange)
        firsts = []
        for now, then in pairwise(foreseen[::2]):
            portion = next(iter(stream.read(now, foreseen[then.epoch + 1])))
            firsts.append(int(portion.order[0]))
        stream.close()
        return firsts

    found = on_all_ranks(read, exchanges(3))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 9
