"""A store behind a web server: objects that can be read by name, and neither written nor listed."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

from zarr.abc.store import Store

from kcd_stores.errors import Remedy, StoreUsageError
from kcd_stores.storage.remote import RemoteStorage
from kcd_stores.storage.web_client import WebClient
from kcd_stores.storage.zarr_web import ZarrWeb


@dataclass(frozen=True, repr=False)
class WebStorage(RemoteStorage):
    """The files below `url`, an address that begins with http:// or https://."""

    has_lock = False
    can_list = False

    @cached_property
    def reader(self) -> WebClient:
        return WebClient(self.url)

    def is_vacant(self) -> bool:
        return not self.holds("zarr.json")

    def is_file(self) -> bool:
        return False  # whatever a server answers at the address itself is no object of a store

    def sizes(self, below: str = "") -> list[int]:
        raise NotImplementedError(f"{self} is on a web server, which lists nothing: ask for `sizes_of` names")

    def zarr_store(self, *, read_only: bool = False, existing: bool = False) -> Store:
        if not read_only:
            self.require_writable()
        return ZarrWeb(self.reader)

    def require_writable(self) -> NoReturn:
        raise StoreUsageError(
            f"{self} is on a web server, where stores can be read but not written. Write it to a folder or to an "
            f"object store, and publish that.",
            remedy=Remedy.CORRECT_LOCATION,
        )

    def lock(self) -> AbstractContextManager[None]:
        self.require_writable()

    def put(self, name: str, data: bytes, *, check: Callable[[], object] | None = None) -> None:
        self.require_writable()

    def update(self, name: str, change: Callable[[bytes | None], bytes | None]) -> None:
        self.require_writable()

    def remove(self, name: str) -> None:
        self.require_writable()

    def make_durable(self, name: str) -> None:
        self.require_writable()

    def remove_partials(self) -> None:
        self.require_writable()
