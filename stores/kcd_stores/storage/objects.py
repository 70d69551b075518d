"""Object stores behind a URL: their clients, time limits and retries, and their errors in words.

What a client needs to know comes from the variables that every tool of its kind reads: AWS_ENDPOINT_URL, AWS_REGION,
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_SKIP_SIGNATURE (a public bucket), AWS_ALLOW_HTTP; the
GOOGLE_ and AZURE_ ones likewise. KCD_STORE_PATIENCE is ours: for how many seconds a failing request is tried again.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Self, TypeVar

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from kcd_stores.errors import StoreError, StoreUsageError

if TYPE_CHECKING:  # an extra: loaded by those who have a remote store
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import ObjectStore as Client

    ZarrObjectStore = ObjectStore[Client]
else:
    ZarrObjectStore = ObjectStore  # not generic in every zarr that is supported

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "http", "https", "memory")
WEB = ("http:", "https:")  # read object by object: a web server takes none and lists none
PATIENCE = 20.0  # seconds
PATIENCE_VARIABLE = "KCD_STORE_PATIENCE"
AZURE = ("az:", "azure:", "abfs", "adl:")
COALESCED = 256 * 1024  # bytes read for nothing cost less than another request
MULTIPART_CONCURRENCY = 2  # 5 MiB parts of one shard under way at once: each must get through within the read timeout

T = TypeVar("T")

NO_CREDENTIALS = ("/latest/api/token", "/latest/meta-data/", "computeMetadata", "TokenRequest", "token request")


def patience() -> float:
    """For how many seconds a failing request is tried again.

    Raises
    ------
    StoreUsageError
        If KCD_STORE_PATIENCE is not a number of seconds above zero.
    """
    text = os.environ.get(PATIENCE_VARIABLE, "")
    try:
        seconds = float(text or PATIENCE)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 86400:
        raise StoreUsageError(
            f"{PATIENCE_VARIABLE} is '{text}', but must be a number of seconds above 0: how long requests to a remote "
            f"store are tried again. Set it so, or unset it for {PATIENCE:g}."
        )
    return seconds


def connect(url: str) -> "Client":
    """A client whose root is `url`; no request is made.

    A request that fails (a lost connection, no answer for half of `patience`, a 5xx or 429) is tried again, at
    growing intervals, until `patience` is over.

    Raises
    ------
    StoreUsageError
        If obstore is not installed, or the URL or the environment's settings are not what it takes.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError as error:
        raise StoreUsageError(
            f"{url} is a remote store, which needs obstore, and that cannot be loaded ({error}). Install it: "
            f'pip install "kcd-pipeline[remote]"'
        ) from error
    seconds = patience()
    retry: RetryConfig = {
        "max_retries": 100,
        "retry_timeout": timedelta(seconds=seconds),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=min(2.0, seconds / 4)),
            "base": 2,
        },
    }
    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=min(5.0, seconds / 2)),
        "read_timeout": timedelta(seconds=seconds / 2),
        "timeout": timedelta(hours=1),  # of a whole request: a large shard on a slow line is no failure
    }
    if _endpoint(url).startswith("http://") or url.startswith("http:"):
        client["allow_http"] = True  # asked for in so many words
    try:
        if url.startswith("memory:"):
            return _memory(url)
        return from_url(url, client_options=client, retry_config=retry)
    except (BaseError, ValueError) as error:
        raise StoreUsageError(
            f"{url} cannot be used as a store: {_first_line(error)}. Check store.path and the variables AWS_... "
            f"(or GOOGLE_..., AZURE_...)."
        ) from error


@lru_cache
def _memory(url: str) -> "Client":
    """One store a URL, for as long as the process lives; for trials."""
    from obstore.store import MemoryStore

    return MemoryStore()


def _endpoint(url: str) -> str:
    """Where the requests for `url` go, as far as the environment says."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT") if url.startswith("s3") else ()
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


@contextmanager
def in_words(url: str) -> Iterator[None]:
    """Turn what the client raises inside into errors for people; a missing object stays a FileNotFoundError.

    Raises
    ------
    StoreUsageError
        If the bucket is missing, or credentials are missing or refused.
    StoreError
        If the server cannot be reached, or goes on failing.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise _explained(url, error) from error
        raise
    except BaseError as error:
        raise _explained(url, error) from error


def _explained(url: str, error: Exception) -> StoreError:
    text = str(error)
    if url.startswith(WEB) and re.match(r"(3|4(?!29))\d\d", _reason(text)):
        return StoreUsageError(
            f"{url} cannot be used: the web server refused the request ({_reason(text)}). A store is read there object "
            f"by object and in ranges of bytes, without credentials. Check the address, and that the server allows it."
        )
    bucket, endpoint = url.split("/")[2], _endpoint(url) or "the default endpoint (no AWS_ENDPOINT_URL is set)"
    if not url.startswith("s3"):
        endpoint = "its service"
    if "NoSuchBucket" in text:
        return StoreUsageError(
            f"{url} cannot be used: there is no bucket '{bucket}' at {endpoint}. Nothing was written. Make the bucket, "
            f"or set store.path to one that exists, or AWS_ENDPOINT_URL to the server that has it."
        )
    if any(mark in text for mark in NO_CREDENTIALS):
        return StoreUsageError(
            f"{url} cannot be used: no credentials were found for it. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            f"(and AWS_SESSION_TOKEN where they are temporary), or AWS_SKIP_SIGNATURE=true to read a public bucket; "
            f"for gs:// and az:// their own variables. Then run the same command again."
        )
    if re.match(r"(3|4(?!29))\d\d", _reason(text)) or "redirect" in text:
        return StoreUsageError(
            f"{url} cannot be used: {endpoint} refused the request ({_reason(text)}). Check AWS_ACCESS_KEY_ID, "
            f"AWS_SECRET_ACCESS_KEY and AWS_REGION, and that they may list, read and write there; then run the same "
            f"command again."
        )
    return StoreError(
        f"{url} cannot be used at this moment: {endpoint} failed or could not be reached, and requests were tried "
        f"again for {patience():g} s ({_reason(text)}). What is recorded complete is kept. Check the network and the "
        f"server, then run the same command again: it goes on from there (distill: with --resume)."
    )


def _reason(text: str) -> str:
    """The client's own finding in a few words."""
    code = re.search(r"<Code>(\w+)</Code>", text)
    status = re.search(r"status code: (\d+[ \w]*)", text)
    if status:
        return f"{status[1].strip()}, {code[1]}" if code else status[1].strip()
    kind = re.search(r"kind: (Timeout|Connect|Interrupted|Request|Decode)\b", text)
    said = {"Timeout": "no answer in time", "Connect": "no connection", "Interrupted": "the connection was lost"}
    return said.get(kind[1], "the connection was lost") if kind else _first_line(text)


def _first_line(error: object) -> str:
    return str(error).splitlines()[0].rstrip(".")


class RemoteStore(ZarrObjectStore):
    """zarr's store over a client, whose errors are in words."""

    def __init__(self, store: "Client", *, url: str, read_only: bool = False) -> None:
        super().__init__(store, read_only=read_only)
        self._url = url

    def with_read_only(self, read_only: bool = False) -> Self:
        return type(self)(self.store, url=self._url, read_only=read_only)

    def __str__(self) -> str:
        return self._url

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        if byte_range is None:
            data = await asyncio.to_thread(fetch, self.store, self._url, key)
            return None if data is None else prototype.buffer.from_bytes(data)
        with in_words(self._url):
            return await super().get(key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        return await asyncio.to_thread(size_of, self.store, self._url, key) is not None

    async def set(self, key: str, value: Buffer) -> None:
        self._check_writable()
        await asyncio.to_thread(send, self.store, self._url, key, value.to_bytes())

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        if not await self.exists(key):  # a conditional put is beyond some servers
            await self.set(key, value)

    async def delete(self, key: str) -> None:
        self._check_writable()
        await asyncio.to_thread(remove, self.store, self._url, [key])

    async def delete_dir(self, prefix: str) -> None:
        self._check_writable()
        found = await asyncio.to_thread(listed, self.store, self._url, prefix)
        await asyncio.to_thread(remove, self.store, self._url, [name for name, _ in found])


def fetch(client: "Client", url: str, key: str) -> bytes | None:
    """One whole object by one request; None where there is none."""
    import obstore

    try:
        return _persistently(url, lambda: bytes(obstore.get(client, key).bytes()))
    except FileNotFoundError:
        return None


def fetch_end(client: "Client", url: str, key: str, size: int) -> memoryview:
    """The last `size` bytes of one object, by one request (two at Azure, which knows no suffix ranges)."""
    import obstore

    def request() -> memoryview:
        if not url.startswith(AZURE):
            return memoryview(obstore.get(client, key, options={"range": {"suffix": size}}).bytes())
        length = int(obstore.head(client, key)["size"])
        return memoryview(obstore.get_range(client, key, start=max(length - size, 0), end=length))

    return _persistently(url, request)


def fetch_parts(client: "Client", url: str, key: str, entries: Sequence[tuple[int, int]]) -> list[memoryview]:
    """Stretches (offset, bytes) of one object; those less than COALESCED apart by one request."""
    import obstore

    starts, lengths = [offset for offset, _ in entries], [size for _, size in entries]
    return _persistently(
        url,
        lambda: [
            memoryview(part)
            for part in obstore.get_ranges(client, key, starts=starts, lengths=lengths, coalesce=COALESCED)
        ],
    )


def send(client: "Client", url: str, key: str, data: bytes) -> None:
    """One whole object, durable when this returns; above 5 MiB in parts, that appear together or not at all."""
    import obstore

    _persistently(url, lambda: obstore.put(client, key, data, max_concurrency=MULTIPART_CONCURRENCY))


def _persistently(url: str, request: Callable[[], T]) -> T:
    """What `request` returns; one whose answer broke off, which the client itself does not ask for again, is repeated.

    Raises as `in_words` does.
    """
    from obstore.exceptions import BaseError

    until, pause = time.monotonic() + patience(), 0.1
    with in_words(url):
        while True:
            try:
                return request()
            except BaseError as error:
                if "kind: Interrupted" not in str(error) or time.monotonic() + pause > until:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, 2.0)


def size_of(client: "Client", url: str, key: str) -> int | None:
    """Bytes of one object; None where there is none."""
    import obstore

    try:
        return _persistently(url, lambda: int(obstore.head(client, key)["size"]))
    except FileNotFoundError:
        return None


def listed(client: "Client", url: str, prefix: str = "") -> list[tuple[str, int]]:
    """Name and bytes of every object below `prefix`, by one request a thousand."""
    import obstore

    return _persistently(
        url, lambda: [(item["path"], item["size"]) for batch in obstore.list(client, prefix or None) for item in batch]
    )


def holds_any(client: "Client", url: str) -> bool:
    """There is an object below the root of the client; one request."""
    import obstore

    return _persistently(url, lambda: len(next(iter(obstore.list(client)), [])) > 0)


def remove(client: "Client", url: str, keys: list[str]) -> None:
    """Remove objects, many by one request where the service can; those that are gone already are no error."""
    import obstore

    with suppress(FileNotFoundError):
        _persistently(url, lambda: obstore.delete(client, keys))
