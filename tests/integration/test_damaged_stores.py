"""Damage to any file of a store is found by whoever reads it, and so is a store that another one took the place of.

The loops try every file; each of their kinds of damage is tried once in a bare pytest too.
"""

import itertools
import random
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.encodings import pca_settings, pq_settings
from tests.support.files import file_contents

from kcd_stores import (
    CorruptStoreError,
    FolderStorage,
    IncompleteStoreError,
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    StoreError,
    StoreReplacedError,
    make_encoding,
    verify_store,
)

LAYOUT = Layout(views=2, samples=300, classes=12, block_rows=128, chunk_rows=32)
SETTINGS: dict[str, dict[str, Any]] = {
    "int8": {"low": -40.0, "high": 40.0},
    "topk": {"k": 3},
    "pca": pca_settings(LAYOUT.classes, components=5, k=2),
    "pq": pq_settings(LAYOUT.classes, code_bytes=5, k=2),
}
FLIPS = 8  # of each file, in the loop


def logits_of(view: int, block: int, seed: int) -> np.ndarray:
    shape = (len(LAYOUT.rows(block)), LAYOUT.classes)
    return np.random.default_rng((seed, view, block)).normal(0, 4, shape).astype(np.float32)


def make(path: Path, encoding: str = "float16", seed: int = 0, *, overwrite: bool = False) -> KnowledgeStore:
    """Make a store whose rows depend on the `seed`, and whose attributes do not."""
    made = make_encoding(encoding, **SETTINGS.get(encoding, {}))
    facts = {"dataset": {"name": "noise", "size": LAYOUT.samples}}
    writer = KnowledgeWriter.create(path, layout=LAYOUT, encoding=made, made_from=facts, overwrite=overwrite)
    for view, block in LAYOUT.all_blocks():
        writer.write_block(view, block, logits_of(view, block, seed), seconds=1 + view + block / 8)
    writer.settle()
    return writer.store


def read_all(path: Path) -> list[np.ndarray]:
    """Read a store as a student does: open it, ask for its views, read each."""
    store = KnowledgeStore.open(path)
    store.require_views(store.layout.views)
    store.seconds()
    return [store.read_view(view) for view in range(store.layout.views)]


def outcome(path: Path, expected: list[np.ndarray]) -> str:
    """Read a store that was damaged; return what became of it: `found`, `harmless`, or `silent`."""
    try:
        found = read_all(path)
    except StoreError:
        return "found"
    same = all(np.array_equal(mine, theirs) for mine, theirs in zip(found, expected, strict=True))
    return "harmless" if same else "silent"


def flips(files: dict[str, bytes], per_file: int) -> Iterator[tuple[str, bytes | None]]:
    """Yield files with one bit flipped, cut, emptied and missing."""
    choose = random.Random(0)
    for name, sound in files.items():
        for place in choose.sample(range(len(sound)), min(per_file, len(sound))):
            damaged = bytearray(sound)
            damaged[place] ^= 1 << choose.randrange(8)
            yield name, bytes(damaged)
        yield name, sound[: len(sound) // 2]
        yield name, b""
        yield name, None


def put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def try_all(store: Path, damages: Iterator[tuple[str, bytes | None]]) -> dict[str, int]:
    """Return how many kinds of damage were found, harmless and silent, and how many `verify` called sound."""
    expected, files = read_all(store), file_contents(store)
    counts = {"found": 0, "harmless": 0, "silent": 0, "called sound": 0}
    for name, content in damages:
        put(store / name, content)
        became = outcome(store, expected)
        counts[became] += 1
        try:
            sound = verify_store(store).sound
        except StoreError:
            sound = False
        counts["called sound"] += sound and became != "harmless"
        (store / name).write_bytes(files[name])
    return counts


def swaps(files: dict[str, bytes], others: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield every file of data or records with the content of each other one of its array, and with another store's."""
    names = [name for name in files if "/c/" in name]
    for name, other in itertools.permutations(names, 2):
        if name.split("/")[0] == other.split("/")[0] and files[name] != files[other]:
            yield name, files[other]
    for name in names:
        if files[name] != others[name]:
            yield name, others[name]


# --- one of each kind -----------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make(tmp_path / "store.zarr").path


@pytest.mark.parametrize("other", ["logits/c/0/1/0", "logits/c/1/0/0"])
def test_a_shard_of_another_place_is_found(store: Path, other: str) -> None:
    shutil.copyfile(store / other, store / "logits/c/0/0/0")
    with pytest.raises(CorruptStoreError, match=r"logits/c/0/0/0: chunk 0 is not the one that was recorded"):
        KnowledgeStore.open(store).read_rows(0, 0, 20)
    assert not verify_store(store).sound


def test_a_shard_of_another_store_is_found(store: Path, tmp_path: Path) -> None:
    """A late put of an extraction that another one replaced leaves one."""
    other = make(tmp_path / "other.zarr", seed=1)
    shutil.copyfile(other.path / "logits/c/1/2/0", store / "logits/c/1/2/0")
    with pytest.raises(CorruptStoreError, match=r"logits/c/1/2/0: chunk 0 is not the one that was recorded"):
        KnowledgeStore.open(store).read_view(1)
    assert [damage.split(":")[0] for damage in verify_store(store).damage] == ["view 1, block 2"]


@pytest.mark.parametrize("array", ["complete", "seconds", "checksums"])
def test_a_record_that_cannot_be_read_means_that_its_blocks_are_missing_and_made_again(store: Path, array: str) -> None:
    before = read_all(store)
    name = next(name for name in file_contents(store) if name.startswith(f"{array}/c/1/"))
    data = bytearray((store / name).read_bytes())
    data[0] ^= 1
    (store / name).write_bytes(data)
    with pytest.raises(IncompleteStoreError, match=rf"3 of 6 blocks .*cannot be read: {name}: its checksum is wrong"):
        KnowledgeStore.open(store).require_views(2)
    found = verify_store(store)
    assert found.missing.tolist() == [[1, 0], [1, 1], [1, 2]]
    assert found.unreadable == [f"{name}: its checksum is wrong"]
    writer = KnowledgeWriter.open(store)
    for view, block in found.missing.tolist():
        writer.write_block(view, block, logits_of(view, block, 0), seconds=1.0)
    assert verify_store(store).sound
    np.testing.assert_array_equal(read_all(store), before)


def test_a_record_of_another_store_counts_for_nothing(store: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other.zarr", seed=1)
    for name in file_contents(store):
        if "/c/" in name:
            shutil.copyfile(other.path / name, store / name)
    with pytest.raises(IncompleteStoreError, match="the record of block 0 is not one of this store and place"):
        KnowledgeStore.open(store).require_views(2)


def test_a_store_that_is_replaced_while_it_is_read_is_not_read_on(store: Path) -> None:
    reader = KnowledgeStore.open(store)
    reader.require_views(2)
    reader.read_view(0)
    make(store, seed=1, overwrite=True)
    for view in (0, 1):
        with pytest.raises(StoreReplacedError, match="was replaced by another store while this process was reading it"):
            reader.read_view(view)


def test_a_store_that_is_removed_while_it_is_read_is_said_to_be_removed(store: Path) -> None:
    reader = KnowledgeStore.open(store)
    shutil.rmtree(store)
    with pytest.raises(StoreReplacedError, match="was removed while this process was reading it"):
        reader.read_view(0)
    with pytest.raises(StoreReplacedError, match="was removed while this process was reading it"):
        reader.require_views(1)


def test_a_store_that_is_removed_while_it_is_written_is_not_finished(tmp_path: Path) -> None:
    writer = KnowledgeWriter.create(
        tmp_path / "store.zarr", layout=LAYOUT, encoding=make_encoding("float16"), made_from={}
    )
    writer.write_block(0, 0, logits_of(0, 0, 0), seconds=1.0)
    shutil.rmtree(tmp_path / "store.zarr")
    with pytest.raises(StoreReplacedError, match="was removed while this process was writing to it"):
        writer.write_block(0, 1, logits_of(0, 1, 0), seconds=1.0)
    with pytest.raises(StoreReplacedError, match="was removed while this process was writing to it"):
        writer.settle()
    assert not (tmp_path / "store.zarr").exists()


def test_a_block_that_is_recorded_while_the_record_is_read_is_counted_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = KnowledgeWriter.create(
        tmp_path / "store.zarr", layout=LAYOUT, encoding=make_encoding("float16"), made_from={}
    )
    writer.write_block(0, 0, logits_of(0, 0, 0), seconds=2.0)
    reader, fetch = KnowledgeStore.open(tmp_path / "store.zarr"), FolderStorage.fetch
    waiting = [1, 2]

    def fetch_while_others_write(self: FolderStorage, names: Sequence[str]) -> list[bytes | None]:
        found = fetch(self, names)
        if waiting:
            block = waiting.pop()
            monkeypatch.undo()
            writer.write_block(0, block, logits_of(0, block, 0), seconds=3.0)
            monkeypatch.setattr(FolderStorage, "fetch", fetch_while_others_write)
        return found

    monkeypatch.setattr(FolderStorage, "fetch", fetch_while_others_write)
    found = reader.survey()
    assert found.complete.sum() == 1
    assert not found.problems
    assert float(found.seconds[found.complete].sum()) == 2.0
    assert reader.seconds() == 8.0


def test_a_reader_of_a_store_that_grew_goes_on(store: Path) -> None:
    reader = KnowledgeStore.open(store)
    before = reader.seconds()
    grown = KnowledgeWriter.open(store).grow(5)
    grown.write_block(4, 0, logits_of(4, 0, 0), seconds=100.0)
    assert reader.seconds() == before
    reader.require_views(2)
    np.testing.assert_array_equal(reader.read_view(1), grown.store.read_view(1))


def test_a_damaged_store_can_be_replaced_as_the_advice_says(store: Path) -> None:
    for content in (b"", b"{", b'{"zarr_format": 3, "node_type": "group", "attributes": {}}'[:-3], None):
        put(store / "zarr.json", content)
        with pytest.raises(CorruptStoreError, match=r"damaged in zarr\.json"):
            KnowledgeStore.open(store)
        make(store, overwrite=True)
        assert verify_store(store).sound


# --- loops ----------------------------------------------------------------------------------------------------


@pytest.mark.loops
@pytest.mark.parametrize("encoding", ["int8", "topk", "pca", "pq"])
def test_flips_cuts_and_losses_of_every_file(tmp_path: Path, encoding: str) -> None:
    store = make(tmp_path / "store.zarr", encoding).path
    counts = try_all(store, flips(file_contents(store), FLIPS))
    print(f"{encoding}: {counts}")
    assert (counts["silent"], counts["called sound"]) == (0, 0)
    assert counts["found"] > 150


@pytest.mark.loops
@pytest.mark.parametrize("encoding", ["topk"])
def test_swaps_of_every_two_files(tmp_path: Path, encoding: str) -> None:
    store, other = (make(tmp_path / f"{seed}.zarr", encoding, seed).path for seed in range(2))
    counts = try_all(store, swaps(file_contents(store), file_contents(other)))
    print(f"{encoding}: {counts}")
    assert (counts["silent"], counts["harmless"], counts["called sound"]) == (0, 0, 0)


@pytest.mark.loops
@pytest.mark.parametrize("what", ["replace", "remove", "grow"])
def test_readers_of_a_store_that_others_change(tmp_path: Path, what: str) -> None:
    """Readers end with an error of a store, or with the rows of one and the same store."""
    path = tmp_path / "store.zarr"
    expected = {
        seed: [view.tobytes() for view in map(make(tmp_path / f"{seed}", seed=seed).read_view, range(2))]
        for seed in range(2)
    }
    counts, wrong = {"read": 0, "ended": 0, "called damaged": 0}, list[str]()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                store = KnowledgeStore.open(path)
                store.require_views(2)
                first = [store.read_view(view).tobytes() for view in range(2)]
                again = [store.read_view(view).tobytes() for view in range(2)]
                store.seconds()
                counts["read"] += 1
                if first != again or first not in expected.values():
                    wrong.append("rows of two stores")
            except CorruptStoreError:
                counts["called damaged"] += 1
            except StoreError:
                counts["ended"] += 1
            except Exception as error:  # what nobody foresaw is what is looked for
                wrong.append(f"{type(error).__name__}: {error}")

    def remove(turn: int) -> None:
        shutil.rmtree(path)
        make(path, seed=turn % 2)

    changes: dict[str, Callable[[int], object]] = {
        "replace": lambda turn: make(path, seed=turn % 2, overwrite=True),
        "remove": remove,
        "grow": lambda turn: KnowledgeWriter.open(path).grow(3 + turn),
    }
    make(path)
    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for turn in range(1, 13):
        changes[what](turn)
    stop.set()
    for reader in readers:
        reader.join()
    print(f"{what}: {counts}")
    assert not wrong
    assert counts["read"] > 0
    assert what == "remove" or counts["called damaged"] == 0  # half of the files are gone before the others
    assert what != "grow" or counts["ended"] == 0
