"""A store behind a web server: objects that can be read by name, and neither written nor listed."""

from dataclasses import dataclass

from kcd_stores.errors import Remedy, StoreUsageError
from kcd_stores.storage.objects import ObjectStorage


@dataclass(frozen=True, repr=False)
class WebStorage(ObjectStorage):
    """The files below `url`, an address that begins with http:// or https://."""

    can_list = False

    def is_vacant(self) -> bool:
        return not self.holds("zarr.json")

    def is_file(self) -> bool:
        return False  # whatever a server answers at the address itself is no object of a store

    def sizes(self, below: str = "") -> list[int]:
        raise NotImplementedError(f"{self} is on a web server, which lists nothing: ask for `sizes_of` names")

    def require_writable(self) -> None:
        raise StoreUsageError(
            f"{self} is on a web server, where stores can be read but not written. Write it to a folder or to an "
            f"object store, and publish that.",
            remedy=Remedy.CORRECT_LOCATION,
        )
