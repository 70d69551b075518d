"""One writer at a time: by whatever name a folder is called, on file systems without locks, and without litter."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kcd_stores import StoreUsageError, one_writer
from kcd_stores.storage import lock

HOLDER = """
import sys
from kcd_stores import one_writer
with one_writer(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Hold the lock of `folder` in another process."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.kill()


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that answers as NFS does without its lock daemon."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)


def test_a_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    with one_writer(tmp_path / "new" / "store.zarr"):
        assert names_in(tmp_path / "new") == [".store.zarr.lock"]
    assert names_in(tmp_path / "new") == []
    with pytest.raises(ZeroDivisionError), one_writer(tmp_path / "new" / "store.zarr"):
        _ = 1 / 0
    assert names_in(tmp_path / "new") == []


def test_a_link_and_its_target_are_one_place(tmp_path: Path) -> None:
    store = tmp_path / "there" / "store.zarr"
    store.mkdir(parents=True)
    (tmp_path / "link").symlink_to(store)
    (tmp_path / "folder").symlink_to(tmp_path / "there")
    for name in ("link", "folder/store.zarr", "x/../there/store.zarr"):
        with (
            one_writer(tmp_path / name),
            pytest.raises(StoreUsageError, match="another process is writing"),
            one_writer(store),
        ):
            pass
    assert (names_in(tmp_path), names_in(tmp_path / "there")) == (["folder", "link", "there"], ["store.zarr"])


def test_another_process_is_noticed_and_its_death_too(tmp_path: Path) -> None:
    folder = tmp_path / "store.zarr"
    with held_elsewhere(folder) as holder:
        with pytest.raises(StoreUsageError, match="another process is writing"), one_writer(folder):
            pass
        holder.kill()
        holder.wait()
        assert names_in(tmp_path) == [".store.zarr.lock"]  # of a killed process, until the next one ends
        with one_writer(folder):
            pass
    assert names_in(tmp_path) == []


@pytest.mark.usefixtures("no_locks")
def test_a_file_system_without_locks(tmp_path: Path) -> None:
    folder = tmp_path / "store.zarr"
    with one_writer(folder), pytest.raises(StoreUsageError) as caught, one_writer(folder):
        pass
    assert "The file system there has no locks" in str(caught.value)
    assert f"the file {tmp_path / '.store.zarr.writing'} stands for one" in str(caught.value)
    assert names_in(tmp_path) == []


@pytest.mark.usefixtures("no_locks")
def test_without_locks_a_dead_process_of_this_machine_is_noticed(tmp_path: Path) -> None:
    code = HOLDER.replace("import sys\n", "import sys, os, errno, fcntl\n", 1).replace(
        "with one_writer",
        "def refuse(*_): raise OSError(errno.ENOLCK, 'no')\nfcntl.flock = refuse\nwith one_writer",
    )
    ended = subprocess.run(
        [sys.executable, "-c", code.replace("sys.stdin.read()", "os._exit(9)"), str(tmp_path / "store.zarr")],
        check=False,
        capture_output=True,
    )
    assert ended.returncode == 9, ended.stderr
    assert names_in(tmp_path) == [".store.zarr.writing"]
    with one_writer(tmp_path / "store.zarr"):
        pass
    assert names_in(tmp_path) == []


def test_other_errors_of_the_disk_are_said_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match="Input/output error"), one_writer(tmp_path / "store.zarr"):
        pass


def test_the_stores_are_imported_without_fcntl() -> None:
    code = "import sys; sys.modules['fcntl'] = None; import kcd_stores"
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_a_holder_that_is_about_to_end_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "WAIT", 20)
    with held_elsewhere(tmp_path / "store.zarr") as holder:
        assert holder.stdin is not None
        holder.stdin.close()
        with one_writer(tmp_path / "store.zarr"):
            assert names_in(tmp_path) == [".store.zarr.lock"]
    assert names_in(tmp_path) == []


RACER = """
import os, sys, time
from pathlib import Path
from kcd_stores import StoreUsageError, one_writer
folder, entered = Path(sys.argv[1]), 0
mark = folder.parent / "somebody is inside"
end = time.monotonic() + 5
while time.monotonic() < end:
    try:
        with one_writer(folder):
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            time.sleep(0.0005)
            mark.unlink()
            entered += 1
    except StoreUsageError:
        pass
print(entered)
"""


@pytest.mark.loops
def test_two_are_never_inside_though_each_removes_the_lock(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(tmp_path / "store.zarr")], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    entered = [int(racer.communicate()[0] or -1) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0, 0]
    assert sum(entered) > 20
    assert names_in(tmp_path) == []
