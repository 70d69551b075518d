"""A store below a URL of an object store, such as `s3://bucket/key`."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store

from kcd_stores.errors import StoreUsageError
from kcd_stores.storage.elements import decode_elements, encode_elements, object_names
from kcd_stores.storage.location import masked, parent_and_name, resolved_url
from kcd_stores.storage.object_client import ObjectClient
from kcd_stores.storage.protocol import Buffer
from kcd_stores.storage.zarr_objects import ZarrObjects


@dataclass(frozen=True, repr=False)
class ObjectStorage:
    """The objects below `url`, which has no slash at its end; see kcd_stores.storage.protocol for the methods."""

    url: str

    parallel_reads = 8
    has_lock = False  # no lock of an object store dies with its holder
    can_list = True

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

    @cached_property
    def client(self) -> ObjectClient:
        """The client of these objects, made when it is first needed."""
        return ObjectClient.connect(self.url)

    # --- what is there ------------------------------------------------------------------------------------

    def is_vacant(self) -> bool:
        return self.client.is_empty() and not self.is_file()

    def is_file(self) -> bool:
        parent, name = parent_and_name(self.url)
        if parent.endswith(":/"):  # memory://name
            return False
        return ObjectClient.connect(parent, called=str(self)).size(name) is not None

    def holds(self, name: str) -> bool:
        return self.client.size(name) is not None

    def sizes(self, below: str = "") -> list[int]:
        return [size for _, size in self.client.list_sizes(below)]

    def sizes_of(self, names: Sequence[str]) -> list[int]:
        with ThreadPoolExecutor(max_workers=self.parallel_reads) as pool:
            return [size for size in pool.map(self.client.size, names) if size is not None]

    def free_space(self) -> tuple[Path, int] | None:
        return None

    # --- reading ------------------------------------------------------------------------------------------

    def zarr_store(self, *, read_only: bool = False, existing: bool = False) -> Store:
        if not read_only:
            self.require_writable()
        return ZarrObjects(self.client, read_only=read_only)

    def fetch(self, names: Sequence[str]) -> list[bytes | None]:
        if len(names) == 1:
            return [self.client.get(names[0])]
        with ThreadPoolExecutor(max_workers=self.parallel_reads) as pool:
            return list(pool.map(self.client.get, names))

    def read_end(self, name: str, size: int) -> Buffer:
        return self.client.get_end(name, size)

    def read_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        return self.client.get_ranges(name, ranges)

    def read_into(self, name: str, offset: int, buffer: NDArray[np.uint8]) -> int:
        (found,) = self.client.get_ranges(name, [(offset, len(buffer))])
        buffer[: len(found)] = np.frombuffer(found, np.uint8)
        return len(found)

    def read_elements(self, array: "zarr.Array[Any]", view: int, start: int, stop: int) -> NDArray[Any]:
        names = object_names(array, view, start, stop)
        return decode_elements(array, view, start, stop, dict(zip(names, self.fetch(names), strict=True)))

    # --- writing ------------------------------------------------------------------------------------------

    def require_writable(self) -> None:
        """Every object store can be written to, if its server lets this user."""

    def lock(self) -> AbstractContextManager[None]:
        return nullcontext()

    def write_elements(self, array: "zarr.Array[Any]", view: int, start: int, values: NDArray[Any]) -> None:
        if array.read_only:
            raise ValueError(f"the store at {self} was opened for reading only")
        for name, data in encode_elements(array, view, start, values):
            self.put(name, data)

    def put(self, name: str, data: bytes, *, check: Callable[[], object] | None = None) -> None:
        self.require_writable()
        self.client.put(name, data, check=check)

    def update(self, name: str, change: Callable[[bytes | None], bytes | None]) -> None:
        self.require_writable()
        self.client.update(name, change)

    def remove(self, name: str) -> None:
        found = [key for key, _ in self.client.list_sizes(name)]
        self.client.delete([*found, name])

    def make_durable(self, name: str) -> None:
        """An object is durable when the request that put it has been answered."""

    def remove_partials(self) -> None:
        """An object appears whole or not at all, so there are no partial ones."""
