"""Reading window by window: one ahead, never two; errors reach the reader; partners wait in memory or in a file."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kcd_stores import (
    CorruptStoreError,
    HeldRows,
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    Reading,
    StoreUsageError,
    make_encoding,
    open_stream,
    parse_bytes,
    plan_streaming,
)
from kcd_stores.streaming.block_shuffle import BlockShuffle, WindowReader
from kcd_stores.streaming.order import WindowSizes
from kcd_stores.streaming.partner_rows import PartnersInFile, PartnersInMemory

LAYOUT = Layout(views=2, samples=256, classes=4, block_rows=32, chunk_rows=8)  # windows of 32, strips of 1
KEPT = np.arange(200)
PARTNER = np.where(KEPT < 50, 200 + KEPT, -1)


@pytest.fixture
def store(tmp_path: Path) -> KnowledgeStore:
    """Every logit of sample i in view v is i + v / 2."""
    made = KnowledgeWriter.create(
        tmp_path / "store.zarr", layout=LAYOUT, encoding=make_encoding("float16"), made_from={}
    )
    for view, block in LAYOUT.all_blocks():
        samples = np.array(LAYOUT.rows(block), dtype=np.float32)
        made.write_block(view, block, np.repeat(samples[:, None], 4, axis=1) + view / 2, seconds=0)
    return made.store


def shuffled(store: KnowledgeStore, memory: int = 3000, *, partners: bool = True) -> BlockShuffle:
    streaming = plan_streaming(store, memory=memory, batch_size=4, partners=partners)
    stream = open_stream(store, [], streaming, batch_size=4, scratch=store.path.parent)
    assert isinstance(stream, BlockShuffle)
    return stream


def reading(epoch: int, *, partners: bool = True) -> Reading:
    return Reading(seed=0, epoch=epoch, view=epoch % 2, kept=KEPT, partner=PARTNER if partners else None)


class Noted:
    """Counts the windows that were read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[int] = []
        self.threads: set[str] = set()
        original = WindowReader.next

        def noted(reader: WindowReader) -> object:
            self.threads.add(threading.current_thread().name)
            found = original(reader)
            self.read.append(reader._reading.epoch)
            return found

        monkeypatch.setattr(WindowReader, "next", noted)

    def settle(self, expected: list[int]) -> None:
        wait_for(lambda: self.read == expected)
        time.sleep(0.05)  # long enough for it to read on, if it were going to
        assert self.read == expected


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_one_window_is_read_ahead_in_the_background_and_never_two(
    store: KnowledgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, stream = Noted(monkeypatch), shuffled(store)
    portions = stream.read(reading(0), reading(1))
    next(portions)
    noted.settle([0, 0])
    next(portions)
    noted.settle([0, 0, 0])
    for _ in range(5):  # of 7: 200 samples in windows of 32
        next(portions)
    noted.settle([0] * 7 + [1])  # during the last window, the first of the next epoch
    assert next(portions, None) is None
    next(stream.read(reading(1)))
    noted.settle([0] * 7 + [1, 1])
    stream.close()
    assert threading.current_thread().name not in noted.threads


def test_an_epoch_that_was_not_foreseen_is_read_all_the_same(store: KnowledgeStore) -> None:
    stream = shuffled(store)
    for _ in stream.read(reading(0), reading(1)):
        pass
    other = reading(3)
    order = np.concatenate([portion.order for portion in stream.read(other)])
    again = shuffled(store)
    assert order.tolist() == np.concatenate([portion.order for portion in again.read(other)]).tolist()
    next(stream.read(reading(0)))  # and given up after a window
    assert len(np.concatenate([portion.order for portion in stream.read(reading(0))])) == 200
    stream.close()
    again.close()


def test_an_error_of_the_background_read_reaches_the_reader(store: KnowledgeStore) -> None:
    (store.path / "logits" / "c" / "0" / "3" / "0").unlink()
    stream = shuffled(store)
    with pytest.raises(CorruptStoreError, match="logits/c/0/3/0"):
        list(stream.read(reading(0)))
    assert len(list(stream.read(reading(1)))) == 7, "the other view is unharmed"
    stream.close()


@pytest.mark.parametrize("memory", [1300, 3000])
def test_partners_wait_in_a_file_where_the_budget_has_no_room(
    store: KnowledgeStore, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[str] = set()
    for place in (PartnersInFile, PartnersInMemory):
        monkeypatch.setattr(place, "take", _noting(place.take, used, place.__name__))
    stream = shuffled(store, memory)
    for portion in stream.read(reading(1)):
        partners = PARTNER[portion.order][PARTNER[portion.order] >= 0]
        assert (portion.rows[partners] == np.float16(partners[:, None] + 0.5)).all()
    stream.close()
    assert used == {"PartnersInFile" if memory == 1300 else "PartnersInMemory"}
    assert [entry.name for entry in store.path.parent.iterdir()] == ["store.zarr"], "the file has no name"


def _noting(method: Callable[..., np.ndarray], used: set[str], name: str) -> Callable[..., np.ndarray]:
    def noting(*args: int) -> np.ndarray:
        used.add(name)
        return method(*args)

    return noting


def test_a_row_that_is_not_held_is_never_another_row() -> None:
    held = HeldRows(np.array([2, 5]), np.array([[2.0], [5.0]], np.float32))
    assert held[np.array([5, 2, 5])].ravel().tolist() == [5, 2, 5]
    for missing in (0, 3, 9):
        with pytest.raises(IndexError):
            held[np.array([2, missing])]


def test_a_budget_for_less_than_two_windows_is_refused_with_both_numbers(store: KnowledgeStore) -> None:
    with pytest.raises(StoreUsageError) as caught:
        plan_streaming(store, memory=1000, batch_size=4, partners=True)
    message = str(caught.value)
    assert "the memory budget is 1.0 kB" in message
    assert "at least 1.2 kB (1216 bytes)" in message
    assert "two windows of 32 rows of 4 numbers and their partners" in message
    assert plan_streaming(store, memory=1216, batch_size=4, partners=True).window_sizes == WindowSizes(
        window_rows=32, strip_rows=1
    )
    assert plan_streaming(store, memory=4096, batch_size=4, partners=True).window_sizes is None
    assert plan_streaming(store, memory=4095, batch_size=4, partners=True).window_sizes is not None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MB", 512_000_000),
        ("2GiB", 2 * 2**30),
        ("1.5 kb", 1500),
        ("64k", 64_000),
        ("7", 7),
        (7, 7),
        ("1 TB", 10**12),
    ],
)
def test_sizes_as_people_write_them(text: str | int, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "5 parsecs", "0", "0.1B", "1e9", "nan", "1_000"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="512MB"):
        parse_bytes(text)
