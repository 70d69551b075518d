"""Folders as they are found: files of other users, files of the user's own, links, disks that cannot flush."""

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from kcd_pipeline.cli.boundary import explain
from kcd_stores import (
    FolderStorage,
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    StoreError,
    StoreUsageError,
    make_encoding,
    one_writer,
    verify_store,
)
from kcd_stores.storage import flush_to_disk

LAYOUT = Layout(views=1, samples=8, classes=4, block_rows=8, chunk_rows=8)
NOBODY = 65534


def filled(where: Path) -> KnowledgeStore:
    writer = KnowledgeWriter.create(
        where, layout=LAYOUT, encoding=make_encoding("float32"), made_from={"dataset": "digits"}
    )
    writer.write_block(0, 0, np.ones((8, 4), np.float32), seconds=0.5)
    return writer.store


# --- files of other users -------------------------------------------------------------------------------------


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A store of which the test makes parts unreadable; the superuser, whom nothing is refused, steps down."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        filled(Path(folder) / "store.zarr")
        superuser = os.geteuid() == 0
        if superuser:
            os.seteuid(NOBODY)
        try:
            yield Path(folder) / "store.zarr"
        finally:
            if superuser:
                os.seteuid(0)
            for entry in [Path(folder), *Path(folder).rglob("*")]:
                entry.chmod(0o755)


def close(path: Path) -> None:
    """Take all permissions from `path`."""
    me = os.geteuid()
    if me == NOBODY:
        os.seteuid(0)
    path.chmod(0)
    os.seteuid(me)


READS: dict[str, Callable[[Path], object]] = {
    "open": KnowledgeStore.open,
    "rows": lambda path: KnowledgeStore.open(path).read_view(0),
    "verify": lambda path: verify_store(path),
    "count": lambda path: KnowledgeStore.open(path).inventory.files(),
}


@pytest.mark.parametrize(
    ("part", "read"),
    [
        ("", "open"),
        ("zarr.json", "open"),
        ("logits", "open"),
        ("logits/zarr.json", "open"),
        ("logits/c/0", "rows"),
        ("logits/c/0/0/0", "rows"),
        ("complete/c/0/0", "rows"),
        ("logits/c/0", "count"),
        ("", "verify"),
        ("logits/c/0/0/0", "verify"),
        ("complete/c/0/0", "verify"),
    ],
)
def test_what_may_not_be_read_is_not_called_damaged(theirs: Path, part: str, read: str) -> None:
    close(theirs / part)
    with pytest.raises(StoreUsageError) as caught:
        READS[read](theirs)
    message, code = explain(caught.value)
    assert code == 2
    assert f"permission denied: this user may not read or write {theirs}" in message.replace("/.", "")
    assert "chmod" in message
    assert not [word for word in ("damaged", "overwrite", "anew") if word in message]


def test_what_may_not_be_written_is_named(theirs: Path) -> None:
    if os.geteuid() != NOBODY:
        theirs.chmod(0o555)
    with pytest.raises(StoreUsageError, match=f"permission denied: .* {theirs}"):
        FolderStorage(theirs).put("notes", b"x")
    with pytest.raises(StoreUsageError, match="permission denied"), one_writer(theirs / "within.zarr"):
        pass
    with pytest.raises(StoreUsageError, match="permission denied"):
        KnowledgeWriter.create(theirs / "within.zarr", layout=LAYOUT, encoding=make_encoding("float32"), made_from={})


# --- files of the user's own ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["thesis.partial", "zarr.0123.partial", "zarr.json.partial", f"{uuid4().hex}.partial"])
def test_partial_files_of_others_are_theirs(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("years of work")
    assert not FolderStorage(tmp_path).is_vacant()
    FolderStorage(tmp_path).remove_partials()
    assert (tmp_path / name).read_text() == "years of work"


def test_temporary_files_of_a_killed_writer_are_nothing(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    (tmp_path / f"zarr.{uuid4().hex}.partial").write_text("{")
    assert storage.is_vacant()
    with pytest.raises(FileNotFoundError):
        storage.zarr_store(existing=True)
    (tmp_path / "logits").mkdir()
    (tmp_path / "logits" / f"0.{uuid4().hex}.partial").write_text("{")
    storage.remove_partials()
    assert [entry.name for entry in tmp_path.iterdir()] == ["logits"]
    assert list((tmp_path / "logits").iterdir()) == []


def test_no_link_is_followed_to_remove_anything(tmp_path: Path) -> None:
    name = f"0.{uuid4().hex}.partial"
    elsewhere, store = tmp_path / "elsewhere", tmp_path / "store.zarr"
    elsewhere.mkdir()
    store.mkdir()
    (elsewhere / name).write_text("of somebody")
    (store / "linked").symlink_to(elsewhere)
    (store / name).symlink_to(elsewhere / name)
    FolderStorage(store).remove_partials()
    assert (elsewhere / name).read_text() == "of somebody"
    assert (store / name).is_symlink()


def test_files_are_counted_while_others_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary file is there when the folder is listed, and renamed before anybody asks for its size."""
    storage = FolderStorage(tmp_path)
    storage.put("logits/c/0/0", b"data")
    storage.put("logits/c/0/1", b"more data")
    (tmp_path / "logits" / "c" / "0" / f"2.{uuid4().hex}.partial").write_bytes(b"half")
    (tmp_path / "logits" / "c" / "1").symlink_to("nowhere")
    real = Path.stat

    def gone(self: Path, **how: bool) -> os.stat_result:
        if self.name == "1":
            raise FileNotFoundError(errno.ENOENT, "gone", str(self))
        return real(self, **how)

    monkeypatch.setattr(Path, "stat", gone)
    assert storage.sizes() == storage.sizes("logits") == [4]
    assert storage.sizes_of(["logits/c/0/0", "logits/c/0/1", "logits"]) == [4]


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "store.zarr").symlink_to("gone.zarr")
    with pytest.raises(StoreUsageError, match=r"store.zarr is a link to gone.zarr, where nothing is"):
        KnowledgeStore.open(tmp_path / "store.zarr")
    with pytest.raises(StoreUsageError, match="where nothing is"):
        filled(tmp_path / "store.zarr")


# --- what is no file ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["zarr.json", "logits/zarr.json", "complete/c/0/0", "logits/c/0/0/0"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "huge"])
def test_a_pipe_a_device_a_folder_or_a_huge_file_ends_in_words(tmp_path: Path, name: str, kind: str) -> None:
    """In a store of a stranger: reading one of them would never end, or take all memory."""
    file = filled(tmp_path / "store.zarr").path / name
    data = file.read_bytes()
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "folder":
        file.mkdir()
    else:
        file.write_bytes(data)
        os.truncate(file, 1 << 40)
    with pytest.raises(StoreError) as caught:
        KnowledgeStore.open(tmp_path / "store.zarr").read_view(0)
    assert str(tmp_path / "store.zarr") in str(caught.value)


# --- disks ----------------------------------------------------------------------------------------------------


def refusing(error: int, *, folders: bool) -> Callable[[int], None]:
    """Return an `os.fsync` that refuses folders, or files, with an error number."""

    def flush(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == folders:
            raise OSError(error, os.strerror(error))

    return flush


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP])
def test_a_folder_that_cannot_be_flushed_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(os, "fsync", refusing(error, folders=True))
    store = filled(tmp_path / "store.zarr")
    np.testing.assert_array_equal(store.read_view(0), np.ones((8, 4)))
    flush_to_disk(tmp_path)


@pytest.mark.parametrize(("error", "folders"), [(errno.EIO, True), (errno.EINVAL, False), (errno.ENOSPC, False)])
def test_a_disk_that_fails_is_said_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, folders: bool
) -> None:
    monkeypatch.setattr(os, "fsync", refusing(error, folders=folders))
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=os.strerror(error)) as caught:
        flush_to_disk(tmp_path if folders else tmp_path / "file")
    assert caught.value.filename == str(tmp_path if folders else tmp_path / "file")


def test_every_folder_that_leads_to_new_data_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a lost machine has the data of a block, and no name by which it is found."""
    flushed: list[str] = []

    def note(descriptor: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path)))

    storage = FolderStorage(tmp_path / "store")
    monkeypatch.setattr(os, "fsync", note)
    storage.put("logits/c/0/0", b"data")
    assert flushed[0].startswith("store/logits/c/0/0.")
    assert flushed[1:] == ["store/logits/c/0", "store/logits/c", "store/logits", "store"]
    flushed.clear()
    storage.make_durable("logits/c/0/0")
    assert flushed == ["store/logits/c/0/0", "store/logits/c/0", "store/logits/c", "store/logits", "store"]


def test_a_write_that_fails_leaves_the_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = FolderStorage(tmp_path)
    storage.put("zarr.json", b"before")
    monkeypatch.setattr(os, "fsync", refusing(errno.ENOSPC, folders=False))
    with pytest.raises(OSError, match="No space left"):
        storage.put("zarr.json", b"after")
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"zarr.json": b"before"}
