"""A store on a web server, as zarr reads it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import NoReturn

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from kcd_stores.storage.remote import ObjectReader


class ZarrWeb(Store):
    """The objects that `client` reads: found by name, never listed and never written."""

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, client: ObjectReader) -> None:
        super().__init__(read_only=True)
        self._client = client

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ZarrWeb) and self._client is other._client

    __hash__ = None  # type: ignore[assignment]  # as zarr's own stores

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        data = await asyncio.to_thread(self._read, key, byte_range)
        return None if data is None else prototype.buffer.from_bytes(data)

    def _read(self, key: str, wanted: ByteRequest | None) -> bytes | None:
        try:
            if isinstance(wanted, RangeByteRequest):
                return bytes(self._client.get_ranges(key, [(wanted.start, wanted.end - wanted.start)])[0])
            if isinstance(wanted, SuffixByteRequest):
                return bytes(self._client.get_end(key, wanted.suffix))
        except FileNotFoundError:
            return None
        data = self._client.get(key)
        return data[wanted.offset :] if isinstance(wanted, OffsetByteRequest) and data is not None else data

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return list(await asyncio.gather(*(self.get(key, prototype, wanted) for key, wanted in key_ranges)))

    async def exists(self, key: str) -> bool:
        return await asyncio.to_thread(self._client.size, key) is not None

    async def set(self, key: str, value: Buffer) -> NoReturn:
        raise NotImplementedError("a web server takes no objects")

    async def delete(self, key: str) -> NoReturn:
        raise NotImplementedError("a web server removes no objects")

    def list(self) -> AsyncIterator[str]:
        raise NotImplementedError("a web server lists nothing")

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError("a web server lists nothing")

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError("a web server lists nothing")
