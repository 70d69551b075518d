"""The fast reader of shards: it reads what zarr reads, in place, no more bytes than needed, and names damage."""

from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from tests.support.encodings import pca_settings, pq_settings

from kcd_stores import (
    CorruptStoreError,
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    Reading,
    Rows,
    ViewRows,
    make_encoding,
    open_stream,
    plan_streaming,
)
from kcd_stores.encodings import ENCODINGS
from kcd_stores.streaming.rows import read_whole

LAYOUT = Layout(views=2, samples=300, classes=12, block_rows=128, chunk_rows=16)  # the last shard and chunk not full
SETTINGS: dict[str, dict[str, Any]] = {
    "int8": {"low": -30.0, "high": 40.0},
    "topk": {"k": 3},
    "pca": pca_settings(LAYOUT.classes, components=5, k=2),
    "pq": pq_settings(LAYOUT.classes, code_bytes=5, k=2),
}


def make(path: Path, name: str) -> KnowledgeStore:
    writer = KnowledgeWriter.create(
        path, layout=LAYOUT, encoding=make_encoding(name, **SETTINGS.get(name, {})), made_from={}
    )
    random = np.random.default_rng(0)
    for view, block in LAYOUT.all_blocks():
        shape = (len(LAYOUT.rows(block)), LAYOUT.classes)
        writer.write_block(view, block, random.normal(0, 4, shape).astype(np.float32), seconds=0)
    return writer.store


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, KnowledgeStore]:
    folder = tmp_path_factory.mktemp("shards")
    return {name: make(folder / name, name) for name in ENCODINGS}


@given(data=st.data(), name=st.sampled_from(sorted(ENCODINGS)), view=st.integers(0, 1))
def test_any_rows_are_those_that_zarr_alone_reads(
    stores: dict[str, KnowledgeStore], data: st.DataObject, name: str, view: int
) -> None:
    store = stores[name]
    start = data.draw(st.integers(0, LAYOUT.samples - 1))
    stop = data.draw(st.integers(start + 1, LAYOUT.samples))
    group = zarr.open_group(store.path, mode="r")
    arrays = [spec.name for spec in store.encoding.arrays(LAYOUT.classes)]
    plain = {array: np.asarray(group[array][view, start:stop]) for array in arrays}  # type: ignore[index]  # an array
    expected = store.encoding.decode(plain, LAYOUT.classes)
    found = store.read_rows(view, start, stop)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_rows_are_put_where_they_are_asked_for(stores: dict[str, KnowledgeStore]) -> None:
    store = stores["float16"]
    room = np.full((40, LAYOUT.classes), -1, np.float16)
    store.read_rows(1, 100, 130, out=room[5:35])
    np.testing.assert_array_equal(room[5:35], store.read_view(1)[100:130])
    assert (room[:5] == -1).all()
    assert (room[35:] == -1).all()


@pytest.mark.parametrize("room", [np.empty((3, 12), np.float32), np.empty((4, 12), np.float16), np.empty((12, 3)).T])
def test_room_of_another_kind_is_refused(stores: dict[str, KnowledgeStore], room: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"contiguous array of \(3, 12\) float16"):
        stores["float16"].read_rows(0, 0, 3, out=room)


def test_every_byte_of_a_view_is_read_once_and_counted(tmp_path: Path) -> None:
    store = make(tmp_path / "s", "topk")
    store.read_view(0)
    store.read_view(1)
    assert store.bytes_read == store.inventory.knowledge_bytes()


# --- what no plan needs ---------------------------------------------------------------------------------------


def test_chunks_that_nothing_is_needed_of_are_not_read_and_never_zero(tmp_path: Path) -> None:
    store = make(tmp_path / "s", "float16")
    whole = store.read_view(1)
    needed = np.zeros(LAYOUT.samples, dtype=bool)
    needed[[0, 50, 299]] = True  # in chunks 0, 3 and 18, the last one
    before = store.bytes_read
    some = read_whole(store, 1, needed)
    for first, last in ((0, 16), (48, 64), (288, 300)):
        np.testing.assert_array_equal(store.packing.decode(some.rows[first:last]), whole[first:last])
    np.testing.assert_array_equal(some[np.array([299, 0, 50])], whole[[299, 0, 50]])
    for missing in (1, 16, 200):
        with pytest.raises(IndexError, match="does not hold"):
            some[np.array([0, missing])]
    assert store.bytes_read - before < store.inventory.knowledge_bytes() / 2 / 4  # 3 of 19 chunks, and indices


def test_within_a_stage_whole_views_leave_out_what_is_dropped_and_after_it_nothing_is_missing(tmp_path: Path) -> None:
    store = make(tmp_path / "s", "float16")
    expected = [store.read_view(view) for view in range(2)]
    streaming = plan_streaming(store, memory=10**6, batch_size=8, partners=True)
    stream = open_stream(store, [0, 1, 0, 1], streaming, batch_size=8)
    few, all_samples, dropped = np.arange(32), np.arange(LAYOUT.samples), np.arange(32, 160)
    partner = np.where(few < 4, 160 + few, -1)

    def reading(epoch: int, kept: np.ndarray, partner: np.ndarray | None = None) -> Reading:
        return Reading(seed=0, epoch=epoch, view=epoch % 2, kept=kept, partner=partner)

    def rows(now: Reading, then: Reading | None) -> tuple[Rows, int]:
        before = store.bytes_read
        (portion,) = stream.read(now, then)
        wanted = np.asarray(now.kept)
        if now.partner is not None:
            wanted = np.union1d(wanted, now.partner[now.partner >= 0])
        np.testing.assert_array_equal(portion.rows[wanted], expected[now.view][wanted])
        return portion.rows, store.bytes_read - before

    stage = [reading(0, few, partner), reading(1, few, partner)]
    rows(stage[0], stage[1])  # the first view is read before the epoch says which samples it needs
    narrow, _ = rows(stage[1], None)
    with pytest.raises(IndexError, match="does not hold"):
        narrow[dropped]
    assert isinstance(narrow, ViewRows)
    assert not narrow.rows[dropped].any(), "chunks of dropped samples that are nobody's partners are not read"
    rows(reading(2, all_samples), reading(3, all_samples))  # a sample may come back, so all rows are held
    rows(reading(3, all_samples), None)
    stream.close()


# --- damage ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: b"", "shorter than the 132 bytes of its index"),
        (lambda data: data[:200], "checksum"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "the checksum of its index"),
        (lambda data: bytes([data[0] ^ 1]) + data[1:], "the checksum of chunk 0"),
    ],
)
def test_a_damaged_shard_is_named_with_the_reason(tmp_path: Path, damage: object, reason: str) -> None:
    store = make(tmp_path / "s", "float16")
    file = store.path / "logits" / "c" / "1" / "1" / "0"
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]  # a function
    with pytest.raises(CorruptStoreError, match=f"damaged in logits/c/1/1/0: .*{reason}"):
        store.read_rows(1, 100, 300)
    store.read_rows(1, 0, 128)  # the shard beside it is whole


def test_a_chunk_that_was_written_later_is_not_the_one_that_was_recorded(tmp_path: Path) -> None:
    store = make(tmp_path / "s", "float16")
    zarr.open_group(store.path, mode="r+")["logits"][1, 131, 5] = 7  # type: ignore[index]  # an array
    with pytest.raises(CorruptStoreError, match=r"logits/c/1/1/0: chunk 0 is not the one that was recorded"):
        store.read_view(1)
    store.read_rows(1, 144, 300)  # the chunks beside it are those that were recorded


def test_what_was_never_data_is_named_by_its_sample(tmp_path: Path) -> None:
    """A recorded shard with right checksums can hold NaN if another program wrote it; here the row of sample 131."""
    store = make(tmp_path / "s", "float16")
    rows = store.read_rows(1, 128, 256)
    rows[3, 5] = np.nan
    writer = KnowledgeWriter.open(store.path)
    writer.record_block(1, 1, writer._write_array("logits", 1, 128, rows), seconds=0)
    store = KnowledgeStore.open(store.path)
    with pytest.raises(CorruptStoreError, match=r"logits/c/1/1/0: the row of sample 131 is missing or not what"):
        store.read_view(1)


def test_a_chunk_that_was_never_written_is_missed(tmp_path: Path) -> None:
    store = make(tmp_path / "s", "int8")
    zarr.open_group(store.path, mode="r+")["logits"][0, 32:48] = 0  # type: ignore[index]  # zarr drops such a chunk
    with pytest.raises(CorruptStoreError, match=r"the row of sample 32 is missing"):
        store.read_rows(0, 20, 60)


def with_index(shard: bytes, chunk: int, offset: int, size: int) -> bytes:
    """Return a shard whose index says that a chunk lies elsewhere; the checksum of the index is right."""
    entries = np.frombuffer(shard[-132:-4], "<u8").reshape(8, 2).copy()
    entries[chunk] = offset, size
    index = entries.tobytes()
    return shard[:-132] + index + int(google_crc32c.value(index)).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 2**40), (2**63, 100), (2**62, 10), (0, 0), (0, 3), (10**5, 50), (2, 50)]
)
def test_an_index_that_lies_is_damage(tmp_path: Path, offset: int, size: int) -> None:
    store = make(tmp_path / "s", "float16")
    file = store.path / "logits" / "c" / "0" / "0" / "0"
    file.write_bytes(with_index(file.read_bytes(), 2, offset, size))
    with pytest.raises(CorruptStoreError, match=r"damaged in logits/c/0/0/0: (its index has|the checksum of) chunk 2"):
        store.read_rows(0, 32, 48)


def test_two_chunks_of_a_shard_that_changed_places_are_found(tmp_path: Path) -> None:
    store = make(tmp_path / "s", "float16")
    file = store.path / "logits" / "c" / "0" / "0" / "0"
    shard = file.read_bytes()
    offset, size = np.frombuffer(shard[-132:-4], "<u8").reshape(8, 2)[3].tolist()
    file.write_bytes(with_index(shard, 2, offset, size))
    with pytest.raises(CorruptStoreError, match="chunk 2 is not the one that was recorded for this block"):
        store.read_rows(0, 32, 48)
