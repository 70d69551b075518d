"""Views in order, the next one read while the current one is used."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kcd_stores import CorruptStoreError, KnowledgeStore, KnowledgeWriter, Layout, ViewStream, make_encoding

LAYOUT = Layout(views=4, samples=6, classes=2, block_rows=4, chunk_rows=4)


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
        assert [int(rows[0, 0]) for rows in stream] == [2, 0, 0, 3, 1]


def test_rows_keep_the_stored_dtype(store: KnowledgeStore) -> None:
    with ViewStream(store, [1]) as stream:
        rows = next(stream)
    assert rows.dtype == np.float16
    assert rows.shape == (6, 2)


class Watched:
    """A store that notes which views were read, and by which thread."""

    def __init__(self, store: KnowledgeStore) -> None:
        self.store, self.read, self.threads = store, [], set()
        self.layout, self.dtype = store.layout, store.dtype
        self.columns, self.row_bytes = store.columns, store.row_bytes
        self.location = store.location
        self.arrived = threading.Semaphore(0)

    def read_rows(self, view: int, start: int, stop: int, out: np.ndarray) -> np.ndarray:
        self.read.append(view)
        self.threads.add(threading.current_thread().name)
        self.arrived.release()
        return self.store.read_rows(view, start, stop, out)


def test_one_view_is_read_ahead_in_the_background_and_never_two(store: KnowledgeStore) -> None:
    watched = Watched(store)
    with ViewStream(watched, [0, 1, 2, 3]) as stream:  # type: ignore[arg-type]  # the part of a store that it uses
        assert watched.arrived.acquire(timeout=30), "the first view is read before it is asked for"
        next(stream)
        assert watched.arrived.acquire(timeout=30), "the second is read while the first is used"
        assert watched.read == [0, 1]
    assert threading.current_thread().name not in watched.threads


def test_a_view_asked_for_again_at_once_is_read_once(store: KnowledgeStore) -> None:
    watched = Watched(store)
    with ViewStream(watched, [0, 0, 0]) as stream:  # type: ignore[arg-type]  # as above
        assert len(list(stream)) == 3
    assert watched.read == [0]


def test_an_error_of_the_background_read_reaches_the_reader(store: KnowledgeStore) -> None:
    (store.path / "logits" / "c" / "1" / "0" / "0").unlink()
    with ViewStream(store, [0, 1]) as stream:
        next(stream)
        with pytest.raises(CorruptStoreError, match="logits/c/1/0/0"):
            next(stream)


def test_it_ends_and_can_be_left_early(store: KnowledgeStore) -> None:
    def forever() -> Iterator[int]:
        while True:
            yield from range(4)

    before = threading.active_count()
    with ViewStream(store, forever()) as stream:
        next(stream)
    assert threading.active_count() <= before
    with ViewStream(store, []) as empty, pytest.raises(StopIteration):
        next(empty)
