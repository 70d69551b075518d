"""Requests to an object store through obstore: time limits, retries, errors in words."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from kcd_stores.errors import Remedy, StoreUsageError
from kcd_stores.storage.location import masked, quoted
from kcd_stores.storage.remote_errors import client_errors_in_words, first_line, without_secrets
from kcd_stores.storage.settings import endpoint_of, retry_seconds

if TYPE_CHECKING:  # an extra, loaded only for a remote store
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import ObjectStore as RawClient

AZURE = ("az:", "azure:", "abfs", "adl:")
COALESCED = 256 * 1024  # bytes between two ranges: reading them for nothing costs less than another request
MULTIPART_CONCURRENCY = 2  # 5 MiB parts of one shard under way at once: each must get through within the read timeout
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between attempts
WHOLE_REQUEST = timedelta(hours=1)  # a large shard on a slow line is no failure

T = TypeVar("T")


class ObjectClient:
    """A client of the objects below one URL.

    A request that fails (a lost connection, no answer for half of `retry_seconds`, a 5xx or 429) is tried again, at
    growing intervals, until `retry_seconds` are over. Then all methods raise what `client_errors_in_words` raises. A
    missing object is a FileNotFoundError, unless a method says otherwise.

    Attributes
    ----------
    raw
        obstore's own client.
    url
        The URL that messages name.
    """

    def __init__(self, raw: "RawClient", url: str) -> None:
        self.raw, self.url = raw, url

    @classmethod
    def connect(cls, url: str, *, called: str | None = None) -> "ObjectClient":
        """Make a client of the objects below `url`, which messages call `called` or `masked(url)`; no request is sent.

        Raises
        ------
        StoreUsageError
            If obstore is not installed, or it cannot take the URL or the environment's settings.
        """
        shown = called or masked(url)
        try:
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ImportError as error:
            raise StoreUsageError(
                f"{shown} is a remote store, which needs obstore, and that cannot be loaded ({error}).",
                remedy=Remedy.INSTALL_OBSTORE,
            ) from error
        if url.startswith("memory:"):
            return cls(_memory(url), shown)
        seconds = retry_seconds()
        try:
            raw = from_url(quoted(url), client_options=_client_options(url, seconds), retry_config=_retries(seconds))
        except (BaseError, ValueError) as error:
            raise StoreUsageError(
                f"{shown} cannot be used as a store: {first_line(error)}.",
                remedy=Remedy.CHECK_URL,
            ) from without_secrets(error)
        return cls(raw, shown)

    def get(self, key: str) -> bytes | None:
        """Read one object by one request; None stands for a missing one."""
        import obstore

        try:
            return self._persistently(lambda: bytes(obstore.get(self.raw, key).bytes()))
        except FileNotFoundError:
            return None

    def get_end(self, key: str, size: int) -> memoryview:
        """Read the last `size` bytes of one object by one request (two at Azure, which knows no suffix ranges)."""
        import obstore

        def request() -> memoryview:
            if not self.url.startswith(AZURE):
                return memoryview(obstore.get(self.raw, key, options={"range": {"suffix": size}}).bytes())
            length = int(obstore.head(self.raw, key)["size"])
            return memoryview(obstore.get_range(self.raw, key, start=max(length - size, 0), end=length))

        return self._persistently(request)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Read ranges (offset, bytes) of one object; those less than COALESCED apart by one request."""
        import obstore

        starts, lengths = [offset for offset, _ in ranges], [size for _, size in ranges]

        def request() -> list[memoryview]:
            found = obstore.get_ranges(self.raw, key, starts=starts, lengths=lengths, coalesce=COALESCED)
            return [memoryview(part) for part in found]

        return self._persistently(request)

    def put(self, key: str, data: bytes) -> None:
        """Write one object, durable when this returns; above 5 MiB in parts, which appear together or not at all."""
        import obstore

        self._persistently(lambda: obstore.put(self.raw, key, data, max_concurrency=MULTIPART_CONCURRENCY))

    def size(self, key: str) -> int | None:
        """Return the bytes of one object; None for a missing one."""
        import obstore

        try:
            return self._persistently(lambda: int(obstore.head(self.raw, key)["size"]))
        except FileNotFoundError:
            return None

    def list_sizes(self, prefix: str = "") -> list[tuple[str, int]]:
        """Return the key and the bytes of every object below `prefix`, by one request a thousand."""
        import obstore

        def request() -> list[tuple[str, int]]:
            batches = obstore.list(self.raw, prefix or None)
            return [(item["path"], item["size"]) for batch in batches for item in batch]

        return self._persistently(request)

    def is_empty(self) -> bool:
        """Return True if there is no object at all, by one request."""
        import obstore

        return self._persistently(lambda: not len(next(iter(obstore.list(self.raw)), [])))

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, many by one request where the service can; a missing one is no error."""
        import obstore

        with suppress(FileNotFoundError):
            self._persistently(lambda: obstore.delete(self.raw, list(keys)))

    def _persistently(self, request: Callable[[], T]) -> T:
        """Return the result of `request`; repeat it if its answer broke off, which the client itself does not do."""
        from obstore.exceptions import BaseError

        until, pause = time.monotonic() + retry_seconds(), FIRST_PAUSE
        with client_errors_in_words(self.url):
            while True:
                try:
                    return request()
                except BaseError as error:
                    if "kind: Interrupted" not in str(error) or time.monotonic() + pause > until:
                        raise
                    time.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)


def _client_options(url: str, seconds: float) -> "ClientConfig":
    options: ClientConfig = {
        "connect_timeout": timedelta(seconds=min(5.0, seconds / 2)),
        "read_timeout": timedelta(seconds=seconds / 2),
        "timeout": WHOLE_REQUEST,
    }
    if endpoint_of(url).startswith("http://") or url.startswith("http:"):
        options["allow_http"] = True  # somebody wrote http:// on purpose
    return options


def _retries(seconds: float) -> "RetryConfig":
    return {
        "max_retries": 100,
        "retry_timeout": timedelta(seconds=seconds),
        "backoff": {
            "init_backoff": timedelta(seconds=FIRST_PAUSE),
            "max_backoff": timedelta(seconds=min(LONGEST_PAUSE, seconds / 4)),
            "base": 2,
        },
    }


@lru_cache
def _memory(url: str) -> "RawClient":
    """Return the store in memory that is called `url`, which lives as long as the process."""
    from obstore.store import MemoryStore

    return MemoryStore()
