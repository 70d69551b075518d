"""The places that need no server: a folder, and objects in memory. S3 and a web server have their own files."""

from pathlib import Path
from uuid import uuid4

import pytest
from tests.support.storage_conformance import WritingConformance

from kcd_stores import FolderStorage, Storage, StoreUsageError, is_vacant, one_writer, open_storage
from kcd_stores.storage import ObjectStorage


class TestFolder(WritingConformance):
    @pytest.fixture
    def empty(self, tmp_path: Path) -> Storage:
        return FolderStorage(tmp_path / "store.zarr")

    def put(self, storage: Storage, name: str, data: bytes) -> None:
        file = storage.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


class TestMemory(WritingConformance):
    @pytest.fixture
    def empty(self) -> Storage:
        pytest.importorskip("obstore")
        return open_storage(f"memory://{uuid4().hex}")

    def put(self, storage: Storage, name: str, data: bytes) -> None:
        assert isinstance(storage, ObjectStorage)
        storage.client.put(name, data)


# --- what only a folder has -----------------------------------------------------------------------------------


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "store.zarr"
    file.write_text("a file")
    assert FolderStorage(file).is_file()
    with pytest.raises(FileNotFoundError):
        FolderStorage(file).zarr_store(existing=True)


def test_opening_a_missing_store_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FolderStorage(tmp_path / "nowhere").zarr_store(existing=True)
    assert not (tmp_path / "nowhere").exists()


# --- what only an object store has ----------------------------------------------------------------------------


def test_memory_is_a_store_for_trials() -> None:
    pytest.importorskip("obstore")
    storage = open_storage("memory://trial-of-storage")
    assert isinstance(storage, ObjectStorage)
    assert storage.is_vacant()
    assert not storage.is_file()
    storage.client.put("a/b", b"12345")
    assert storage.fetch(["a/b", "a/c"]) == [b"12345", None]
    assert (storage.holds("a/b"), storage.holds("a/c")) == (True, False)
    assert (storage.sizes(), storage.sizes("a"), storage.sizes("b")) == ([5], [5], [])
    assert not open_storage("memory://trial-of-storage").is_vacant()
    assert is_vacant("memory://another-trial")


def test_a_remote_store_has_no_folder() -> None:
    with pytest.raises(StoreUsageError, match="remote store, where a folder is needed"):
        _ = open_storage("s3://bucket/key").path


def test_a_remote_store_has_no_lock() -> None:
    with one_writer("memory://unlocked"), one_writer("memory://unlocked"):
        pass
