"""zarr's own store in a folder, with errors in words."""

from typing import Any

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from kcd_stores.storage.permission import permission_in_words


class ZarrFiles(LocalStore):
    """The files below one folder, as zarr reads and writes them."""

    async def _open(self, **settings: Any) -> None:
        with permission_in_words(str(self.root)):
            await super()._open(**settings)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        with permission_in_words(f"{self.root}/{key}"):
            return await super().get(key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        with permission_in_words(f"{self.root}/{key}"):
            return await super().exists(key)

    async def set(self, key: str, value: Buffer) -> None:
        with permission_in_words(f"{self.root}/{key}"):
            await super().set(key, value)

    async def delete_dir(self, prefix: str) -> None:
        with permission_in_words(f"{self.root}/{prefix}"):
            await super().delete_dir(prefix)
