"""Streaming needs little of a store, so most of this runs on rows that lie in no file; views are read one ahead."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcd_stores import (
    CorruptStoreError,
    EpochStream,
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    Packing,
    Reading,
    RowSource,
    Share,
    ViewStream,
    make_encoding,
    open_stream,
    plan_streaming,
)

LAYOUT = Layout(views=4, samples=6, classes=2, block_rows=4, chunk_rows=4)


class RowsWithoutFiles(RowSource):
    """Rows made when they are read: every number of view v of sample i is 1000 v + i. It notes views and threads."""

    location = "nowhere"

    def __init__(self, layout: Layout = LAYOUT, *, concurrent_reads: int = 1) -> None:
        self._layout, self._concurrent_reads = layout, concurrent_reads
        self.read: list[int] = []
        self.threads: set[str] = set()
        self.arrived = threading.Semaphore(0)

    @property
    def layout(self) -> Layout:
        return self._layout

    @property
    def concurrent_reads(self) -> int:
        return self._concurrent_reads

    @property
    def packing(self) -> Packing:
        return Packing(encoding=make_encoding("float32"), classes=self._layout.classes)

    def complete(self) -> np.ndarray:
        return np.ones((self._layout.views, self._layout.blocks), dtype=bool)

    def read_packed(self, view: int, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
        self.read.append(view)
        self.threads.add(threading.current_thread().name)
        self.arrived.release()
        packed = np.empty((stop - start, self.packing.row_bytes), np.uint8) if out is None else out
        packed.view(np.float32)[...] = 1000 * view + np.arange(start, stop)[:, None]
        return packed


@pytest.fixture
def store(tmp_path: Path) -> KnowledgeStore:
    """Every logit of view v is v."""
    made = KnowledgeWriter.create(
        tmp_path / "store.zarr", layout=LAYOUT, encoding=make_encoding("float16"), made_from={}
    )
    for view, block in LAYOUT.all_blocks():
        rows = np.full((len(LAYOUT.rows(block)), 2), view, dtype=np.float32)
        made.write_block(view, block, rows, seconds=0)
    return made.store


def test_views_come_in_the_order_asked_for(store: KnowledgeStore) -> None:
    with ViewStream(store, [2, 0, 0, 3, 1]) as stream:
        assert [int(rows[np.array([0])][0, 0]) for rows in stream] == [2, 0, 0, 3, 1]


def test_rows_keep_the_stored_dtype(store: KnowledgeStore) -> None:
    with ViewStream(store, [1]) as stream:
        rows = next(stream)[np.arange(6)]
    assert rows.dtype == np.float16
    assert rows.shape == (6, 2)


def test_one_view_is_read_ahead_in_the_background_and_never_two() -> None:
    source = RowsWithoutFiles()
    with ViewStream(source, [0, 1, 2, 3]) as stream:
        assert source.arrived.acquire(timeout=30), "the first view is read before it is asked for"
        next(stream)
        assert source.arrived.acquire(timeout=30), "the second is read while the first is used"
        assert source.read == [0, 1]
    assert threading.current_thread().name not in source.threads


def test_a_view_asked_for_again_at_once_is_read_once() -> None:
    source = RowsWithoutFiles()
    with ViewStream(source, [0, 0, 0]) as stream:
        assert len(list(stream)) == 3
    assert source.read == [0]


def test_an_error_of_the_background_read_reaches_the_reader(store: KnowledgeStore) -> None:
    (store.path / "logits" / "c" / "1" / "0" / "0").unlink()
    with ViewStream(store, [0, 1]) as stream:
        next(stream)
        with pytest.raises(CorruptStoreError, match="logits/c/1/0/0"):
            next(stream)


def test_it_ends_and_can_be_left_early() -> None:
    def forever() -> Iterator[int]:
        while True:
            yield from range(4)

    source = RowsWithoutFiles()
    before = threading.active_count()
    with ViewStream(source, forever()) as stream:
        next(stream)
    assert threading.active_count() <= before
    with ViewStream(source, []) as empty, pytest.raises(StopIteration):
        next(empty)


@pytest.mark.parametrize("concurrent_reads", [1, 3])
@pytest.mark.parametrize("share", [Share(), Share(rank=1, ranks=2)])
@pytest.mark.parametrize(("memory", "kind"), [(10**6, "whole views"), (2400, "block shuffle"), (1500, "block shuffle")])
def test_every_stream_runs_on_rows_that_lie_in_no_file(
    tmp_path: Path, memory: int, kind: str, share: Share, concurrent_reads: int
) -> None:
    layout = Layout(views=2, samples=256, classes=4, block_rows=32, chunk_rows=8)  # windows of 32, strips of 1
    source = RowsWithoutFiles(layout, concurrent_reads=concurrent_reads)
    streaming = plan_streaming(source, memory=memory, batch_size=4, partners=False)
    assert streaming.describe().startswith(kind)
    stream = open_stream(source, [0, 1], streaming, batch_size=4, scratch=tmp_path, share=share)
    kept = np.arange(0, 250, 3)
    partner = np.where(kept % 2, kept + 1, -1)
    now, then = (Reading(seed=3, epoch=view, view=view, kept=kept, partner=partner) for view in (0, 1))
    for epoch in (_epoch(stream, now, then, share), _epoch(stream, then, None, share)):
        assert sorted(epoch) == kept.tolist()
    stream.close()


def _epoch(stream: EpochStream, now: Reading, then: Reading | None, share: Share) -> list[Any]:
    """Read an epoch; return its order after a look at the rows of the share and at those of its partners."""
    order: list[Any] = []
    for portion in stream.read(now, then):
        own = share.select(portion.order, 4)
        for samples in (own, now.partners_of(own)):
            assert (portion.rows[samples] == 1000 * now.view + samples[:, None]).all()
        order += portion.order.tolist()
    return order
