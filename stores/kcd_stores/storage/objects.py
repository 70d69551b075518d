"""A store below a URL of an object store, such as `s3://bucket/key`."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property

from zarr.abc.store import Store

from kcd_stores.storage.location import parent_and_name
from kcd_stores.storage.object_client import ObjectClient
from kcd_stores.storage.remote import RemoteStorage
from kcd_stores.storage.zarr_objects import ZarrObjects


@dataclass(frozen=True, repr=False)
class ObjectStorage(RemoteStorage):
    """The objects below `url`, an address of an object store; see kcd_stores.storage.protocol for the methods."""

    has_lock = False  # no lock of an object store dies with its holder
    can_list = True

    @cached_property
    def client(self) -> ObjectClient:
        """The client of these objects, made when it is first needed."""
        return ObjectClient.connect(self.url)

    @property
    def reader(self) -> ObjectClient:
        return self.client

    def is_vacant(self) -> bool:
        # a list may be of a moment ago, so the object that makes a store is asked for by its name too
        return self.client.is_empty() and not self.holds("zarr.json") and not self.is_file()

    def is_file(self) -> bool:
        parent, name = parent_and_name(self.url)
        if parent.endswith(":/"):  # memory://name
            return False
        return ObjectClient.connect(parent, called=str(self)).size(name) is not None

    def sizes(self, below: str = "") -> list[int]:
        return [size for _, size in self.client.list_sizes(below)]

    def zarr_store(self, *, read_only: bool = False, existing: bool = False) -> Store:
        return ZarrObjects(self.client, read_only=read_only)

    # --- writing ------------------------------------------------------------------------------------------

    def require_writable(self) -> None:
        """Every object store can be written to, if its server lets this user."""

    def lock(self) -> AbstractContextManager[None]:
        return nullcontext()

    def put(self, name: str, data: bytes, *, check: Callable[[], object] | None = None) -> None:
        self.client.put(name, data, check=check)

    def update(self, name: str, change: Callable[[bytes | None], bytes | None]) -> None:
        self.client.update(name, change)

    def remove(self, name: str) -> None:
        found = [key for key, _ in self.client.list_sizes(name)]
        self.client.delete([*found, name])

    def make_durable(self, name: str) -> None:
        """An object is durable when the request that put it has been answered."""

    def remove_partials(self) -> None:
        """An object appears whole or not at all, so there are no partial ones."""
