"""The record of a view of very many blocks: in files of limited size, so that recording a block costs the same in all.

`RECORD_BYTES` is 96 here, where a store has 65,536. A topk store has 3 arrays, so with one chunk a block its checksums
and seal are 16 bytes: 6 blocks share a file of checksums, and 96 / 8 = 12 share one of `complete` and of `seconds`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from kcd_stores import KnowledgeStore, KnowledgeWriter, Layout, choose_layout, make_encoding, verify_store
from kcd_stores.knowledge import layout as layouts
from kcd_stores.storage.folder import FolderStorage

ROWS, C = 4, 5
TOPK = make_encoding("topk", k=2)


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "RECORD_BYTES", 96)


def layout_of(blocks: int, views: int = 1) -> Layout:
    return choose_layout(views=views, samples=ROWS * blocks - 1, classes=C, row_bytes=12, block_rows=ROWS)


def rows_of(layout: Layout, view: int, block: int) -> NDArray[np.float32]:
    random = np.random.default_rng((view, block))
    return random.normal(size=(len(layout.rows(block)), C)).astype(np.float32)


def write(writer: KnowledgeWriter, view: int, block: int) -> None:
    writer.write_block(view, block, rows_of(writer.store.layout, view, block), seconds=block / 4)


def names_of(folder: Path, array: str) -> list[str]:
    return sorted(
        str(path.relative_to(folder / array / "c")) for path in (folder / array / "c").rglob("*") if path.is_file()
    )


def test_a_stopped_writer_goes_on_and_zarr_reads_the_record(tmp_path: Path) -> None:
    layout, where = layout_of(14, views=2), tmp_path / "store.zarr"
    writer = KnowledgeWriter.create(where, layout=layout, encoding=TOPK, made_from={})
    places = [tuple(place) for place in np.random.default_rng(0).permutation(list(layout.all_blocks())).tolist()]
    for view, block in places[:15]:
        write(writer, view, block)
    done = KnowledgeStore.open(where).complete()
    assert sorted(map(tuple, np.argwhere(done).tolist())) == sorted(places[:15])

    again = KnowledgeWriter.open(where)
    for view, block in places[15:]:
        write(again, view, block)
    again.settle()
    assert names_of(where, "complete") == names_of(where, "seconds") == [f"{v}/{p}" for v in (0, 1) for p in (0, 1)]
    assert names_of(where, "checksums") == [f"{v}/{p}/0" for v in (0, 1) for p in range(3)]
    assert max(path.stat().st_size for path in (where / "seconds").rglob("[0-9]") if path.is_file()) == 96 + 4
    arrays: Any = zarr.open_group(where, mode="r")
    np.testing.assert_array_equal(arrays["complete"][:], np.ones((2, 14)))
    np.testing.assert_array_equal(arrays["seconds"][:], np.tile(np.arange(14) / 4, (2, 1)))
    store = KnowledgeStore.open(where)
    assert store.inventory.files() == layout.objects(3)
    assert verify_store(where).sound
    top = np.sort(rows_of(layout, 1, 12), axis=1)[:, -2:]
    np.testing.assert_allclose(np.sort(store.read_rows(1, 12 * ROWS, 13 * ROWS), axis=1)[:, -2:], top, rtol=1e-3)


def test_a_block_costs_the_record_as_much_among_many_as_among_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view of 500 blocks would write 9 bytes for each of them, and it writes what one of 30 does."""
    written: list[int] = []
    update = FolderStorage.update

    def counted(self: FolderStorage, name: str, change: object) -> None:
        update(self, name, change)  # type: ignore[arg-type]
        written[-1] += (self.path / name).stat().st_size

    monkeypatch.setattr(FolderStorage, "update", counted)
    for blocks in (30, 500):
        writer = KnowledgeWriter.create(
            tmp_path / f"{blocks}.zarr", layout=layout_of(blocks), encoding=TOPK, made_from={}
        )
        written.append(0)
        write(writer, 0, 29)
    assert written == [(6 * 16 + 4) + (12 * 8 + 4) + (12 + 4)] * 2  # each file ends with its crc32c


def test_writers_without_a_lock_restore_what_another_one_overwrote(tmp_path: Path) -> None:
    layout = layout_of(29)
    KnowledgeWriter.create("memory://split-record", layout=layout, encoding=TOPK, made_from={}, overwrite=True)
    one, two = (KnowledgeWriter.open("memory://split-record") for _ in range(2))
    names = ("complete/c/0/0", "seconds/c/0/0", "checksums/c/0/0/0")
    before = one._opened.storage.fetch(names)
    write(one, 0, 2)
    write(one, 0, 20)
    for name, data in zip(names, before, strict=True):  # as a plain write that was late would leave them
        one._opened.storage.remove(name) if data is None else one._opened.storage.put(name, data)
    write(two, 0, 3)
    assert np.flatnonzero(KnowledgeStore.open("memory://split-record").complete()[0]).tolist() == [3, 20]
    one.settle()
    two.settle()
    assert np.flatnonzero(KnowledgeStore.open("memory://split-record").complete()[0]).tolist() == [2, 3, 20]


def test_a_store_of_many_blocks_that_has_whole_records_keeps_them(tmp_path: Path) -> None:
    where = tmp_path / "store.zarr"
    whole = Layout(**{**vars(layout_of(14)), "split_record": False})
    writer = KnowledgeWriter.create(where, layout=whole, encoding=TOPK, made_from={})
    for block in range(14):
        write(writer, 0, block)
    grown = KnowledgeWriter.open(where).grow(2)
    attributes: Any = zarr.open_group(where, mode="r").attrs
    assert "split_record" not in attributes["layout"]
    write(grown, 1, 13)
    assert names_of(where, "complete") == ["0/0", "1/0"]
    assert KnowledgeStore.open(where).complete().sum() == 15
    assert grown.store.layout == Layout(**{**vars(whole), "views": 2})
    assert grown.store.inventory.files() == whole.objects(3) + 1 * 3 + 2 + 1  # one block of the second view


def test_only_a_view_of_more_than_8192_blocks_has_a_split_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    few, many = (
        choose_layout(views=1, samples=rows, classes=10, row_bytes=20, block_rows=8) for rows in (65_536, 65_537)
    )
    assert not few.split_record
    assert "split_record" not in few.attributes()
    assert many.attributes()["split_record"] is True
    assert few.count_blocks(1) == 8_192
    assert many.count_blocks(1) == 8_192  # one array of one chunk: 8 bytes of checksum and seal a block
