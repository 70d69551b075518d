"""Where a store lies, and all that depends on it: a folder, or a prefix in an object store behind a URL."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Union
from urllib.parse import quote, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.storage import LocalStore

from kcd_stores.errors import StoreUsageError
from kcd_stores.storage import objects as remote

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

AT_ONCE = 8  # objects fetched at the same time

Where = Union[str, Path, "Location"]
Buffer = bytes | memoryview  # what numpy.frombuffer takes


@dataclass(frozen=True)
class Location:
    """A place for one store; `str()` of it is how messages call it. Made by `of`, which accepts what people write.

    Attributes
    ----------
    folder
        Of a local store; None of a remote one.
    url
        Of a remote store, without a slash at its end; None of a local one.
    """

    folder: Path | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        if (self.folder is None) == (self.url is None):
            raise ValueError(f"a location is a folder or a URL, got {self.folder} and {self.url}")

    @classmethod
    def of(cls, where: Where) -> "Location":
        """`where` as a location: a path, `file:///path`, `s3://bucket/key`, `gs://...`, `az://...`, `https://host/key`.

        `memory://name` is a store of this process, for trials.

        Raises
        ------
        StoreUsageError
            If it looks like a URL and is not one that can be used.
        """
        if isinstance(where, Location):
            return where
        text = str(where)
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):/", text)
        if scheme is None:
            return cls(folder=Path(where))
        name = scheme[1].lower()
        if name in (*remote.SCHEMES, "file") and not text.startswith(f"{scheme[1]}://"):
            raise StoreUsageError(f"'{text}' lacks a slash: a URL is written {name}://bucket/key. Mend store.path.")
        if name == "file":
            return cls(folder=_folder(text))
        if f"{scheme[1]}://" not in text:
            return cls(folder=Path(where))  # a path with a colon in it
        if name not in remote.SCHEMES:
            raise StoreUsageError(
                f"'{text}' is a URL of a kind that cannot hold a store; what can: a path, file://, "
                f"{', '.join(f'{known}://' for known in remote.SCHEMES)}. Mend store.path."
            )
        bucket, _, key = text.partition("://")[2].partition("/")
        key = key.strip("/")
        if not bucket or (not key and name != "memory"):
            raise StoreUsageError(
                f"'{text}' names no place for a store: give a bucket and a key of its own in it, such as "
                f"{name}://{bucket or 'bucket'}/store.zarr. Mend store.path."
            )
        return cls(url=f"{name}://{bucket}" + (f"/{key}" if key else ""))

    def __str__(self) -> str:
        return str(self.folder) if self.url is None else self.url

    @property
    def is_local(self) -> bool:
        return self.folder is not None

    @property
    def on_web(self) -> bool:
        """Behind a web server, which serves objects by name: none can be put there, and none listed."""
        return self.url is not None and self.url.startswith(remote.WEB)

    @property
    def path(self) -> Path:
        """The folder of a local store.

        Raises
        ------
        StoreUsageError
            If it is a remote one.
        """
        if self.folder is None:
            raise StoreUsageError(f"{self} is a remote store, where a folder is needed. Copy it to one and name that.")
        return self.folder

    def zarr_store(self, *, read_only: bool = False) -> Store:
        """What zarr reads and writes through."""
        if self.url is None:
            return LocalStore(self.path, read_only=read_only)
        if not read_only:
            self.require_writable()
        return remote.RemoteStore(self._client, url=self.url, read_only=read_only)

    # --- what lies there -------------------------------------------------------------------------------------

    def is_file(self) -> bool:
        """A single file or object lies exactly there, where a store is many below it."""
        if self.url is None:
            return self.path.is_file()
        parent, _, name = self.url.rpartition("/")
        if parent.endswith(":/") or self.on_web:  # memory://name; an address there is no folder
            return False
        return remote.size_of(remote.connect(_quoted(parent)), self.url, name) is not None

    def is_vacant(self) -> bool:
        """Nothing lies there, or at most a folder of what a killed writer never renamed."""
        if self.on_web:
            return not self.holds("zarr.json")
        if self.url is not None:
            return not remote.holds_any(self._client, self.url) and not self.is_file()
        if self.path.is_dir():
            return all(entry.suffix == ".partial" for entry in self.path.iterdir())
        return not self.path.exists()

    def sizes_of(self, names: Sequence[str]) -> list[int]:
        """Bytes of those of the objects `names` that are there. Remote stores only."""
        assert self.url is not None
        client, url = self._client, self.url
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            found = pool.map(lambda name: remote.size_of(client, url, name), names)
            return [size for size in found if size is not None]

    def sizes(self, below: str = "") -> list[int]:
        """Bytes of every file or object of the store, or of those below one of its names; not on the web."""
        if self.url is not None:
            return [size for _, size in remote.listed(self._client, self.url, below)]
        return [file.stat().st_size for file in (self.path / below).rglob("*") if file.is_file()]

    def free(self) -> tuple[Path, int] | None:
        """The nearest folder above that exists, and the bytes free on its disk; None where there is no such limit."""
        if self.folder is None:
            return None
        place = next(parent for parent in self.folder.absolute().parents if parent.exists())
        return place, shutil.disk_usage(place).free

    def require_writable(self) -> None:
        """Refuse a place that takes no store, with a StoreUsageError."""
        if self.on_web:
            raise StoreUsageError(
                f"{self} lies on a web server, where stores can be read but not written. Write it to a folder or to an "
                f"object store, and publish that. Mend store.path."
            )

    # --- what a writer does ----------------------------------------------------------------------------------

    def remove_partials(self) -> None:
        """Remove temporary files of a killed writer; an object store has none."""
        if self.folder is not None:
            for partial in self.folder.rglob("*.partial"):  # a write that never came to its rename
                partial.unlink()

    def make_durable(self, name: str) -> None:
        """Flush the file `name` and its folder entry to the disk, so that no record of it can outlive it.

        An object is durable when the request that put it has been answered.
        """
        if self.folder is None:
            return
        file = self.folder / name
        for target in (file, file.parent):
            descriptor = os.open(target, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    # --- what a reader does ----------------------------------------------------------------------------------

    def end(self, name: str, size: int) -> Buffer:
        """The last `size` bytes of a file or object, or all of a shorter one; FileNotFoundError if it is not there."""
        if self.url is not None:
            return remote.fetch_end(self._client, self.url, name, size)
        with _opened(f"{self.folder}/{name}") as descriptor:
            length = os.fstat(descriptor).st_size
            return os.pread(descriptor, size, max(length - size, 0))

    def read_into(self, name: str, offset: int, buffer: NDArray[np.uint8]) -> int:
        """Fill `buffer` from one file; how many bytes there were. Local stores only."""
        with _opened(f"{self.folder}/{name}") as descriptor:
            return os.preadv(descriptor, [buffer.data], offset)

    # --- objects of a remote store ---------------------------------------------------------------------------

    def parts(self, name: str, entries: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        """Stretches (offset, bytes) of one object, neighbours by one request. Remote stores only."""
        assert self.url is not None
        return remote.fetch_parts(self._client, self.url, name, entries)

    def fetch(self, names: Sequence[str]) -> list[bytes | None]:
        """Whole files or objects, one request each, several at once; None for one that is not there."""
        if self.folder is not None:
            files = [self.folder / name for name in names]
            return [file.read_bytes() if file.is_file() else None for file in files]
        assert self.url is not None
        client, url = self._client, self.url
        if len(names) == 1:
            return [remote.fetch(client, url, names[0])]
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            return list(pool.map(lambda name: remote.fetch(client, url, name), names))

    def send(self, name: str, data: bytes) -> None:
        """Put a whole object: there and durable when this returns. Remote stores only."""
        assert self.url is not None
        remote.send(self._client, self.url, name, data)

    def holds(self, name: str) -> bool:
        """A file or an object of that name is there."""
        if self.folder is not None:
            return (self.folder / name).is_file()
        assert self.url is not None
        return remote.size_of(self._client, self.url, name) is not None

    @cached_property
    def _client(self) -> "Client":
        assert self.url is not None
        return remote.connect(_quoted(self.url))


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """A file to be read by position, which a descriptor does without a buffer of its own."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise StoreUsageError(f"'{url}' names a file on another machine; three slashes are meant: file:///path.")
    return Path(unquote(parts.path))


def _quoted(url: str) -> str:
    """With every character of the key taken as it stands."""
    scheme, _, rest = url.partition("://")
    host, slash, key = rest.partition("/")
    return f"{scheme}://{quote(host, safe='@:')}{slash}{quote(key, safe='/@')}"
