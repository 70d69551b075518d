"""Promises of a knowledge store: plain zarr, self-description, completeness, and errors that name the file."""

import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import zarr
from tests.support.plain_zarr import open_array, read_array

from kcd_stores import (
    CorruptStoreError,
    IncompleteStoreError,
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    Storage,
    StoreError,
    StoreMismatchError,
    StoreUsageError,
    make_encoding,
    open_storage,
)

LAYOUT = Layout(views=2, samples=10, classes=3, block_rows=4, chunk_rows=2)
ORIGIN = {"dataset": {"name": "digits", "size": 10}, "augmentation": {"seed": 0}}


def logits_of(view: int, block: int) -> np.ndarray:
    """Return logits that tell view and sample, exact in float16."""
    rows = LAYOUT.rows(block)
    base = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
    return base + np.array([0.25, 0.5, -0.75], np.float32) + 100 * view


def create(path: Path | Storage, encoding: str = "float32", **settings: float) -> KnowledgeWriter:
    return KnowledgeWriter.create(path, layout=LAYOUT, encoding=make_encoding(encoding, **settings), made_from=ORIGIN)


def fill(writer: KnowledgeWriter) -> KnowledgeStore:
    for view, block in LAYOUT.all_blocks():
        writer.write_block(view, block, logits_of(view, block), seconds=0.5)
    return writer.store


@pytest.mark.parametrize("encoding", ["float32", "float16"])
def test_zarr_alone_reads_the_logits(tmp_path: Path, encoding: str) -> None:
    fill(create(tmp_path / "store.zarr", encoding))
    plain = read_array(tmp_path / "store.zarr", "logits")
    assert plain.shape == (2, 10, 3)
    assert plain.dtype == encoding
    np.testing.assert_array_equal(plain[1, 4:8], logits_of(1, 1))


def test_a_view_reads_back_whole_and_in_part(tmp_path: Path) -> None:
    store = fill(create(tmp_path / "store.zarr"))
    whole = store.read_view(1)
    np.testing.assert_array_equal(whole, np.concatenate([logits_of(1, b) for b in range(3)]))
    np.testing.assert_array_equal(store.read_rows(1, 3, 9), whole[3:9])
    assert store.seconds() == pytest.approx(6 * 0.5)


def test_it_describes_itself(tmp_path: Path) -> None:
    fill(create(tmp_path / "store.zarr", "float16"))
    store = KnowledgeStore.open(tmp_path / "store.zarr")
    assert store.layout == LAYOUT
    assert store.encoding.name == "float16"
    assert store.made_from == ORIGIN
    store.require_made_from({"dataset": {"name": "digits"}, "encoding": {"name": "float16"}})


def test_a_mismatch_names_both_sides_of_every_difference(tmp_path: Path) -> None:
    store = create(tmp_path / "store.zarr").store
    with pytest.raises(StoreMismatchError) as caught:
        store.require_made_from({"dataset": {"name": "cifar10", "size": 10}, "augmentation": {"seed": 7}})
    message = str(caught.value)
    assert "dataset.name: found digits, expected cifar10" in message
    assert "augmentation.seed: found 0, expected 7" in message
    assert "size" not in message


def test_two_stores_share_an_identity_only_when_they_hold_the_same(tmp_path: Path) -> None:
    first, again = create(tmp_path / "a").store, create(tmp_path / "b").store
    other = create(tmp_path / "c", "float16").store
    assert first.identity == again.identity != other.identity


# --- nothing half-written is ever read ----------------------------------------------------------------------


def test_missing_is_never_zero(tmp_path: Path) -> None:
    store = create(tmp_path / "store.zarr").store
    assert np.isnan(read_array(store.path, "logits")).all()
    with pytest.raises(IncompleteStoreError, match="view 0, block 0"):
        store.read_view(0)


def test_data_without_a_record_is_not_read(tmp_path: Path) -> None:
    store = fill(create(tmp_path / "store.zarr"))
    open_array(store.path, "complete", "r+")[1, 2] = 0
    store.read_rows(1, 0, 8)  # the blocks before it are complete
    with pytest.raises(IncompleteStoreError, match="view 1, block 2"):
        store.read_view(1)
    with pytest.raises(IncompleteStoreError, match="5 of 6 blocks"):
        store.require_views(2)
    store.require_views(1)


def test_a_record_without_data_is_damage(tmp_path: Path) -> None:
    store = fill(create(tmp_path / "store.zarr"))
    (store.path / "logits" / "c" / "0" / "1" / "0").unlink()
    with pytest.raises(CorruptStoreError, match=r"logits/c/0/1/0.*sample 4 is missing"):
        store.read_view(0)


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    store = fill(create(tmp_path / "store.zarr"))
    shard = store.path / "logits" / "c" / "1" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[5] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CorruptStoreError, match=r"logits/c/1/0/0"):
        store.read_rows(1, 0, 4)


def test_more_views_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(StoreMismatchError, match="has 2 views, but 3 are asked for"):
        fill(create(tmp_path / "store.zarr")).require_views(3)


# --- what may be written ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused(tmp_path: Path, bad: float) -> None:
    writer, logits = create(tmp_path / "store.zarr"), logits_of(0, 0)
    logits[2, 1] = bad
    with pytest.raises(ValueError, match="not finite"):
        writer.write_block(0, 0, logits, seconds=0)
    assert not writer.store.complete().any()


def test_a_logit_beyond_float16_is_refused_with_its_place(tmp_path: Path) -> None:
    writer, logits = create(tmp_path / "store.zarr", "float16"), logits_of(0, 0)
    logits[3, 2] = 70_000
    with pytest.raises(ValueError, match=r"70000 \(row 3, class 2\).*float32"):
        writer.write_block(0, 0, logits, seconds=0)


def test_a_block_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\(4, 3\), got \(3, 3\)"):
        create(tmp_path / "store.zarr").write_block(0, 0, logits_of(0, 0)[:3], seconds=0)


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    fill(create(tmp_path / "store.zarr"))
    store = KnowledgeStore.open(tmp_path / "store.zarr")
    assert not [name for name in dir(store) if name.startswith(("write", "record", "create", "grow", "settle"))]
    with pytest.raises(ValueError, match="read"):
        store.arrays["logits"][0, :4] = logits_of(0, 0)


# --- creating and opening -----------------------------------------------------------------------------------


def test_a_store_is_not_replaced_unless_on_purpose(tmp_path: Path) -> None:
    fill(create(tmp_path / "store.zarr"))
    with pytest.raises(StoreUsageError, match="already"):
        create(tmp_path / "store.zarr")
    fresh = KnowledgeWriter.create(
        tmp_path / "store.zarr", layout=LAYOUT, encoding=make_encoding("float32"), made_from={}, overwrite=True
    )
    assert not fresh.store.complete().any()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreUsageError, match="left alone"):
        KnowledgeWriter.create(
            tmp_path, layout=LAYOUT, encoding=make_encoding("float32"), made_from={}, overwrite=overwrite
        )
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_nothing_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(StoreUsageError, match=r"no knowledge store at .* Make it first"):
        KnowledgeStore.open(tmp_path / "nowhere")


def test_another_format_is_refused(tmp_path: Path) -> None:
    store = create(tmp_path / "store.zarr").store
    zarr.open_group(str(store.path), mode="r+").attrs["format"] = 99
    with pytest.raises(StoreUsageError, match="format 99, expected kind 'knowledge' of format 1 or 2"):
        KnowledgeStore.open(store.path)


def test_a_store_killed_while_it_was_created_is_finished_by_the_next_writer(tmp_path: Path) -> None:
    store = create(tmp_path / "store.zarr").store
    for left in (store.path / "complete" / "zarr.json", store.path / "seconds" / "zarr.json"):
        left.unlink()
    partial = store.path / "logits" / f"zarr.{uuid4().hex}.partial"
    partial.write_text("{")
    with pytest.raises(IncompleteStoreError, match="interrupted"):
        KnowledgeStore.open(store.path)
    assert not KnowledgeWriter.open(store.path).store.complete().any()
    assert not partial.exists()


def test_importing_the_stores_loads_no_torch() -> None:
    code = "import sys, kcd_stores; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- several processes that write ---------------------------------------------------------------------------


@pytest.fixture(params=["folder", "remote"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return open_storage(tmp_path / "store.zarr" if request.param == "folder" else f"memory://{uuid4().hex}")


def test_data_that_another_process_wrote_counts_once_it_is_recorded(place: Storage) -> None:
    writer = create(place)
    joined = KnowledgeWriter.join(place, identity=writer.store.identity)
    checksums = joined.write_data(1, 2, logits_of(1, 2))
    assert not KnowledgeStore.open(place).complete().any()
    with pytest.raises(IncompleteStoreError, match="view 1, block 2"):
        KnowledgeStore.open(place).read_rows(1, 8, 10)
    writer.record_block(1, 2, checksums, seconds=0.5)
    assert np.argwhere(KnowledgeStore.open(place).complete()).tolist() == [[1, 2]]
    assert KnowledgeStore.open(place).seconds() == 0.5
    np.testing.assert_array_equal(KnowledgeStore.open(place).read_rows(1, 8, 10), logits_of(1, 2))


def test_a_block_without_data_is_not_recorded(place: Storage) -> None:
    writer = create(place)
    message = f"view 1, block 2 was written by another process, but logits/c/1/2/0 is not at {place} as seen from here"
    with pytest.raises(StoreError, match=re.escape(message)):
        writer.record_block(1, 2, np.zeros(2, np.uint32), seconds=0.5)
    writer.settle()
    assert not KnowledgeStore.open(place).complete().any()


def test_a_block_that_lacks_one_of_its_arrays_is_not_recorded(tmp_path: Path) -> None:
    writer = create(tmp_path / "store.zarr", "topk", k=2)
    store = writer.store
    checksums = KnowledgeWriter.join(store.path, identity=store.identity).write_data(0, 1, logits_of(0, 1))
    (store.path / "rest" / "c" / "0" / "1").unlink()
    with pytest.raises(StoreError, match=r"rest/c/0/1 is not at .*see the same folder"):
        writer.record_block(0, 1, checksums, seconds=0.5)
    assert not store.complete().any()


def test_joining_leaves_the_partial_files_of_others(tmp_path: Path) -> None:
    writer = create(tmp_path / "store.zarr")
    store = writer.store
    partial = store.path / "logits" / f"0.{uuid4().hex}.partial"
    partial.write_bytes(b"half of it")
    KnowledgeWriter.join(store.path, identity=store.identity).write_data(0, 0, logits_of(0, 0))
    assert partial.exists()


def test_another_store_is_not_joined(place: Storage) -> None:
    identity, other = create(place).store.identity, "0123456789ab"
    with pytest.raises(StoreUsageError, match=f"is {identity} as seen from here, but {other} is being written"):
        KnowledgeWriter.join(place, identity=other)
    with pytest.raises(StoreUsageError, match="no knowledge store"):
        KnowledgeWriter.join(f"{place}-elsewhere", identity=identity)


def test_a_writer_that_joined_does_not_write_into_a_store_that_took_the_place(place: Storage) -> None:
    joined = KnowledgeWriter.join(place, identity=create(place).store.identity)
    other = KnowledgeWriter.create(
        place, layout=LAYOUT, encoding=make_encoding("float32"), made_from={"dataset": "another"}, overwrite=True
    )
    with pytest.raises(StoreError, match="was replaced by another store while this process was writing"):
        joined.write_data(0, 0, logits_of(0, 0))
    assert other.store.inventory.knowledge_bytes() == 0
