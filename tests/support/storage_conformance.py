"""Tests that every storage passes: a test class of a storage inherits one of these, and says how a place is filled.

Subclasses give two fixtures: `empty`, a place of the test's own with nothing there, and, for a place that cannot be
written to, `filled`, a place that holds FILES.
"""

import abc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from kcd_stores import Storage, StoreUsageError, open_storage
from kcd_stores.storage import encode_elements

FILES = {
    "zarr.json": b'{"zarr_format": 3, "node_type": "group", "attributes": {"a": 1}}',
    "logits/c/0/0/0": bytes(range(200)),
    "logits/c/0/1/0": b"short",
}


class ReadingConformance:
    """Reading files that are there, and noticing those that are not."""

    def test_it_is_found_again_by_its_absolute_name(self, filled: Storage) -> None:
        again = open_storage(filled.absolute_name)
        assert type(again) is type(filled)
        assert again.fetch(["zarr.json"]) == [FILES["zarr.json"]]
        assert open_storage(filled) is filled

    def test_it_knows_which_files_there_are(self, filled: Storage) -> None:
        assert not filled.is_vacant()
        assert not filled.is_file()
        assert [filled.holds(name) for name in (*FILES, "logits/c/1/0/0")] == [True, True, True, False]
        assert filled.sizes_of([*FILES, "logits/c/1/0/0"]) == [len(data) for data in FILES.values()]
        if filled.can_list:
            assert sorted(filled.sizes()) == sorted(len(data) for data in FILES.values())
            assert sorted(filled.sizes("logits/c")) == [5, 200]
            assert filled.sizes("values/c") == []
        else:
            with pytest.raises(NotImplementedError):
                filled.sizes()

    def test_whole_files(self, filled: Storage) -> None:
        names = [*FILES, "logits/c/1/0/0"]
        assert filled.fetch(names) == [*FILES.values(), None]
        assert [filled.fetch([name])[0] for name in names] == [*FILES.values(), None]

    def test_the_end_of_a_file(self, filled: Storage) -> None:
        assert bytes(filled.read_end("logits/c/0/0/0", 20)) == bytes(range(180, 200))
        assert bytes(filled.read_end("logits/c/0/1/0", 20)) == b"short"

    def test_ranges_of_a_file(self, filled: Storage) -> None:
        found = filled.read_ranges("logits/c/0/0/0", [(150, 5), (0, 3), (3, 2)])
        assert [bytes(part) for part in found] == [bytes(range(150, 155)), bytes(range(3)), bytes(range(3, 5))]

    def test_a_buffer_is_filled(self, filled: Storage) -> None:
        buffer = np.zeros(7, np.uint8)
        assert filled.read_into("logits/c/0/0/0", 100, buffer) == 7
        assert buffer.tolist() == list(range(100, 107))

    @pytest.mark.parametrize(
        "read",
        [
            lambda storage: storage.read_end("logits/c/1/0/0", 4),
            lambda storage: storage.read_ranges("logits/c/1/0/0", [(0, 4)]),
            lambda storage: storage.read_into("logits/c/1/0/0", 0, np.zeros(4, np.uint8)),
        ],
        ids=["end", "ranges", "into"],
    )
    def test_a_missing_file_is_not_found(self, filled: Storage, read: Callable[[Storage], Any]) -> None:
        with pytest.raises(FileNotFoundError):
            read(filled)

    def test_zarr_reads_there(self, filled: Storage) -> None:
        group = zarr.open_group(filled.zarr_store(read_only=True, existing=True), mode="r")
        assert dict(group.attrs) == {"a": 1}

    def test_how_many_reads_at_once_and_how_much_room(self, filled: Storage) -> None:
        assert filled.parallel_reads >= 1
        limit = filled.free_space()
        assert limit is None or (limit[0].is_dir() and limit[1] > 0)


class WritingConformance(ReadingConformance, abc.ABC):
    """Writing elements, as zarr would, and reading them back."""

    @abc.abstractmethod
    def put(self, storage: Storage, name: str, data: bytes) -> None:
        """Make the file `name`, by other means than the storage's own writing."""

    @pytest.fixture
    def filled(self, empty: Storage) -> Storage:
        for name, data in FILES.items():
            self.put(empty, name, data)
        return empty

    def test_nothing_is_there(self, empty: Storage) -> None:
        assert empty.is_vacant()
        assert not empty.is_file()
        assert not empty.holds("zarr.json")
        with pytest.raises((FileNotFoundError, ValueError)):
            zarr.open_group(empty.zarr_store(read_only=True, existing=True), mode="r")

    def test_a_file_is_put_whole_and_replaced_whole(self, empty: Storage) -> None:
        for data in (b"first", b"", bytes(range(256)) * 100):
            empty.put("logits/c/0/3/0", data)
            assert empty.fetch(["logits/c/0/3/0"]) == [data]
        assert empty.sizes() == [25600]

    def test_a_file_is_updated_from_what_is_there(self, empty: Storage) -> None:
        empty.update("complete/c/0", lambda found: b"new" if found is None else None)
        empty.update("complete/c/0", lambda found: (found or b"") + b"er")
        empty.update("complete/c/0", lambda found: None)
        assert empty.fetch(["complete/c/0"]) == [b"newer"]

    def test_a_file_and_all_files_below_a_name_are_removed(self, filled: Storage) -> None:
        filled.put("logits2/c/0", b"beside")
        filled.remove("logits")
        filled.remove("zarr.json")
        filled.remove("never/there")
        assert filled.fetch([*FILES, "logits2/c/0"]) == [None, None, None, b"beside"]

    def test_what_is_put_is_what_zarr_reads(self, empty: Storage) -> None:
        empty.require_writable()
        array = sharded(empty)
        values = np.arange(22, dtype=np.float32).reshape(11, 2)
        put_elements(empty, array, 1, values)
        assert [empty.holds(f"logits/c/1/{block}/0") for block in range(3)] == [True, True, True]
        assert not empty.holds("logits/c/0/0/0")
        read_only = zarr.open_group(empty.zarr_store(read_only=True), mode="r")["logits"]
        assert isinstance(read_only, zarr.Array)
        np.testing.assert_array_equal(np.asarray(read_only[1]), values)

    def test_its_files_are_those_of_a_folder(self, empty: Storage, tmp_path: Path) -> None:
        folder = open_storage(tmp_path / "beside")
        for storage in (empty, folder):
            put_elements(storage, sharded(storage), 0, np.ones((11, 2), np.float32))
        names = ["zarr.json", "logits/zarr.json", *(f"logits/c/0/{block}/0" for block in range(3))]
        assert None not in folder.fetch(names)
        assert empty.fetch(names) == folder.fetch(names)

    def test_what_is_opened_for_reading_is_not_written(self, empty: Storage) -> None:
        sharded(empty)
        array = zarr.open_group(empty.zarr_store(read_only=True), mode="r")["logits"]
        assert isinstance(array, zarr.Array)
        with pytest.raises(ValueError, match="read"):
            array[0, :4] = np.ones((4, 2), np.float32)

    def test_a_lock_keeps_others_away_if_there_is_one(self, empty: Storage) -> None:
        with empty.lock():
            if empty.has_lock:
                with pytest.raises(StoreUsageError, match="another process is writing"), empty.lock():
                    pass
            else:
                with empty.lock():
                    pass
        with empty.lock():
            pass

    def test_files_are_made_durable_and_partial_ones_removed(self, filled: Storage) -> None:
        filled.make_durable("logits/c/0/0/0")
        filled.remove_partials()
        assert filled.fetch([*FILES]) == [*FILES.values()]


def put_elements(storage: Storage, array: "zarr.Array[Any]", view: int, values: NDArray[Any]) -> None:
    """Put the elements `values[N, *width]` of one view of an array."""
    for name, data in encode_elements(array, view, 0, values):
        storage.put(name, data)


def sharded(storage: Storage) -> "zarr.Array[Any]":
    """Make an array `[2, 11, 2]` in shards of 4 rows and chunks of 2."""
    group = zarr.create_group(storage.zarr_store(), zarr_format=3)
    return group.create_array(
        "logits",
        shape=(2, 11, 2),
        shards=(1, 4, 2),
        chunks=(1, 2, 2),
        dtype="float32",
        fill_value=float("nan"),
        compressors=[Crc32cCodec()],
    )
