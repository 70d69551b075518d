"""zarr's own object store, with whole objects by single requests and with errors in words."""

import asyncio
from typing import TYPE_CHECKING, Self

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from kcd_stores.storage.object_client import ObjectClient
from kcd_stores.storage.remote_errors import client_errors_in_words

if TYPE_CHECKING:
    from obstore.store import ObjectStore as RawClient

    ZarrObjectStore = ObjectStore[RawClient]
else:
    ZarrObjectStore = ObjectStore  # not generic in every zarr that is supported


class ZarrObjects(ZarrObjectStore):
    """The objects of one client, as zarr reads and writes them."""

    def __init__(self, client: ObjectClient, *, read_only: bool = False) -> None:
        super().__init__(client.raw, read_only=read_only)
        self._client = client

    def with_read_only(self, read_only: bool = False) -> Self:
        return type(self)(self._client, read_only=read_only)

    def __str__(self) -> str:
        return self._client.url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._client.url!r})"  # the client's own would show a password

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        if byte_range is None:
            data = await asyncio.to_thread(self._client.get, key)
            return None if data is None else prototype.buffer.from_bytes(data)
        with client_errors_in_words(self._client.url):
            return await super().get(key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        return await asyncio.to_thread(self._client.size, key) is not None

    async def set(self, key: str, value: Buffer) -> None:
        self._check_writable()
        await asyncio.to_thread(self._client.put, key, value.to_bytes())

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        if not await self.exists(key):  # some servers know no conditional put
            await self.set(key, value)

    async def delete(self, key: str) -> None:
        self._check_writable()
        await asyncio.to_thread(self._client.delete, [key])

    async def delete_dir(self, prefix: str) -> None:
        self._check_writable()
        found = await asyncio.to_thread(self._client.list_sizes, prefix)
        await asyncio.to_thread(self._client.delete, [name for name, _ in found])
