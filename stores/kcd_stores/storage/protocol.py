"""The contract of every place that a store can be in: a folder, an object store, a web server.

A store consists of many files or objects, each with a name below the place, such as `logits/c/0/3/0`. `file` below
means either.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import Store

Buffer = bytes | memoryview  # what numpy.frombuffer takes


class Storage(Protocol):
    """The place of one store; `str()` of it is the name that messages give it, without a URL's user and password.

    Making one sends no request and touches no disk. A file that is asked for and missing raises FileNotFoundError
    unless a method says otherwise. Storages behind a network raise StoreError if the server fails or cannot be
    reached, and StoreUsageError if it refuses (kcd_stores.storage.remote_errors).
    """

    # --- what it is ---------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The folder; StoreUsageError is raised if it is not a folder."""
        ...

    @property
    def absolute_name(self) -> str:
        """The name by which another process, in another working directory, finds the same place."""
        ...

    @property
    def resolved_name(self) -> str:
        """The name that is equal for every way to write the same place, links and `..` followed."""
        ...

    @property
    def parallel_reads(self) -> int:
        """How many reads are worth making at once: 1 on a disk, more where each waits for a round trip."""
        ...

    @property
    def has_lock(self) -> bool:
        """True if `lock` keeps other writers away."""
        ...

    @property
    def can_list(self) -> bool:
        """True if `sizes` can find out which files there are."""
        ...

    # --- what is there ------------------------------------------------------------------------------------

    def is_vacant(self) -> bool:
        """Return True if nothing is there, or only temporary files that a killed writer left."""
        ...

    def is_file(self) -> bool:
        """Return True if a single file is at the place itself, where a store would be many below it."""
        ...

    def holds(self, name: str) -> bool:
        """Return True if there is a file called `name`."""
        ...

    def sizes(self, below: str = "") -> list[int]:
        """Return the bytes of every file, or of every file below the name `below`; only if `can_list`."""
        ...

    def sizes_of(self, names: Sequence[str]) -> list[int]:
        """Return the bytes of each of the files `names` that exists."""
        ...

    def free_space(self) -> tuple[Path, int] | None:
        """Return the nearest folder that exists and the free bytes of its disk; None if there is no such limit."""
        ...

    # --- reading ------------------------------------------------------------------------------------------

    def zarr_store(self, *, read_only: bool = False, existing: bool = False) -> Store:
        """Return the store through which zarr reads and writes.

        With `existing`, FileNotFoundError is raised if nothing is there and this is known without a request. Unless
        `read_only`, StoreUsageError is raised if the place cannot be written to.
        """
        ...

    def fetch(self, names: Sequence[str]) -> list[bytes | None]:
        """Read whole files, several at once; None stands for a missing one."""
        ...

    def read_end(self, name: str, size: int) -> Buffer:
        """Read the last `size` bytes of a file, or all of a shorter one."""
        ...

    def read_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        """Read ranges (offset, bytes) of a file, neighbours by one request."""
        ...

    def read_into(self, name: str, offset: int, buffer: NDArray[np.uint8]) -> int:
        """Fill `buffer` from one file, beginning at `offset`, and return the number of bytes that there were."""
        ...

    # --- writing ------------------------------------------------------------------------------------------

    def require_writable(self) -> None:
        """Raise StoreUsageError if the place is of a kind that cannot be written to."""
        ...

    def lock(self) -> AbstractContextManager[None]:
        """Hold the right to write here, if `has_lock`; StoreUsageError is raised if another process holds it."""
        ...

    def put(self, name: str, data: bytes, *, check: Callable[[], object] | None = None) -> None:
        """Write a whole file, in place of one that is there: it appears whole or not at all, and is durable on return.

        On an object store that knows conditional writes, a write that arrives late does not replace what others have
        written meanwhile; `check` is called before a file of others is replaced, and may raise that the store is no
        longer the one that was opened. A folder, whose writer holds its lock, does without. StoreUsageError is raised
        if the place is of a kind that cannot be written to.
        """
        ...

    def update(self, name: str, change: Callable[[bytes | None], bytes | None]) -> None:
        """Replace a file by `change(content)`, where None stands for a missing file, and as a result for no change.

        On an object store that knows conditional writes, no update of another process is lost: if the file was
        replaced meanwhile, `change` is called again with what is there then. In a folder, `lock` keeps others away, and
        the update is not durable yet: what must outlive a lost machine is passed to `make_durable`.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove the file `name` or all files below it; it is no error if there are none. No link is followed."""
        ...

    def make_durable(self, name: str) -> None:
        """Return when the file `name`, however it was written, is on the disk, so that no record of it outlives it."""
        ...

    def remove_partials(self) -> None:
        """Remove temporary files of killed writers; files of other names are left alone."""
        ...
