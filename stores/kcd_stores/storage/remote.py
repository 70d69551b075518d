"""A store behind a network: objects that are read by requests, several at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kcd_stores.errors import StoreUsageError
from kcd_stores.storage.location import masked, resolved_url
from kcd_stores.storage.protocol import Buffer


class ObjectReader(Protocol):
    """A client that reads objects by name."""

    def get(self, key: str) -> bytes | None:
        """Read one object by one request; None stands for a missing one."""
        ...

    def get_end(self, key: str, size: int) -> memoryview:
        """Read the last `size` bytes of one object, or all of a shorter one."""
        ...

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Read ranges (offset, bytes) of one object; those that are close together by one request."""
        ...

    def size(self, key: str) -> int | None:
        """Return the bytes of one object; None for a missing one."""
        ...


@dataclass(frozen=True, repr=False)
class RemoteStorage:
    """The objects below `url`, which has no slash at its end; see kcd_stores.storage.protocol for the methods."""

    url: str

    parallel_reads = 8

    def __str__(self) -> str:
        return masked(self.url)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @property
    def path(self) -> Path:
        raise StoreUsageError(f"{self} is a remote store, where a folder is needed. Copy it to one and name that.")

    @property
    def absolute_name(self) -> str:
        return self.url

    @property
    def resolved_name(self) -> str:
        return resolved_url(self.url)

    @property
    def reader(self) -> ObjectReader:
        """The client by which objects are read."""
        raise NotImplementedError

    def holds(self, name: str) -> bool:
        return self.reader.size(name) is not None

    def sizes_of(self, names: Sequence[str]) -> list[int]:
        with ThreadPoolExecutor(max_workers=self.parallel_reads) as pool:
            return [size for size in pool.map(self.reader.size, names) if size is not None]

    def free_space(self) -> tuple[Path, int] | None:
        return None

    def fetch(self, names: Sequence[str]) -> list[bytes | None]:
        if len(names) == 1:
            return [self.reader.get(names[0])]
        with ThreadPoolExecutor(max_workers=self.parallel_reads) as pool:
            return list(pool.map(self.reader.get, names))

    def read_end(self, name: str, size: int) -> Buffer:
        return self.reader.get_end(name, size)

    def read_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        return self.reader.get_ranges(name, ranges)

    def read_into(self, name: str, offset: int, buffer: NDArray[np.uint8]) -> int:
        (found,) = self.reader.get_ranges(name, [(offset, len(buffer))])
        buffer[: len(found)] = np.frombuffer(found, np.uint8)
        return len(found)
