"""Requests to an object store through obstore: time limits, retries, errors in words."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from kcd_stores.errors import Remedy, StoreError, StoreUsageError
from kcd_stores.storage.conditional import Version, knows_no_conditions, version_of
from kcd_stores.storage.location import masked, quoted
from kcd_stores.storage.remote_errors import (
    client_errors_in_words,
    explained,
    first_line,
    require_no_page,
    without_secrets,
)
from kcd_stores.storage.settings import COALESCED, FIRST_PAUSE, LONGEST_PAUSE, endpoint_of, largest, retry_seconds

if TYPE_CHECKING:  # an extra, loaded only for a remote store
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import ObjectStore as RawClient

AZURE = ("az:", "azure:", "abfs", "adl:")
PART = 5 * 1024 * 1024  # bytes that must get through within the time that is allowed for one answer
LARGEST_PUT = 4 * 1024**3  # bytes by one request; S3 takes 5 GiB
MULTIPART_CONCURRENCY = 2  # parts of one object under way at once
VERSIONS_KEPT = 1024
REPLACEMENTS = 50  # attempts to replace an object that others replace meanwhile
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

    def __init__(self, raw: "RawClient", url: str, slower: "Callable[[int], RawClient] | None" = None) -> None:
        self.raw, self.url = raw, url
        self._slower = slower or (lambda times: raw)
        self._versions: dict[str, Version] = {}  # of objects that were read or written, which saves asking for them
        self._conditional = True  # until the service turns out to know no conditional writes

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

        @lru_cache
        def client(times: int) -> "RawClient":
            options = _client_options(url, seconds, times)
            return from_url(quoted(url), client_options=options, retry_config=_retries(seconds))

        try:
            raw = client(1)
        except (BaseError, ValueError) as error:
            raise StoreUsageError(
                f"{shown} cannot be used as a store: {first_line(error)}.",
                remedy=Remedy.CHECK_URL,
            ) from without_secrets(error)
        return cls(raw, shown, client)

    def get(self, key: str) -> bytes | None:
        """Read one object by one request; None stands for a missing one."""
        return self._get(key)[0]

    def _get(self, key: str) -> tuple[bytes | None, Version]:
        """Read one object, and return its version too."""
        import obstore

        def request() -> tuple[bytes, Version]:
            found = obstore.get(self.raw, key)
            if found.meta["size"] > largest(key):
                raise StoreError(
                    f"{self.url} cannot be used: {key} has {found.meta['size']:,} bytes, and no object of a store that "
                    f"is called so has more than {largest(key):,}."
                )
            return bytes(found.bytes()), version_of(found.meta)

        try:
            data, version = self._persistently(request, key)
        except FileNotFoundError:
            return None, "create"
        require_no_page(data, self.url, key)
        return data, self._keep(key, version)

    def get_end(self, key: str, size: int) -> memoryview:
        """Read the last `size` bytes of one object by one request (two at Azure, which knows no suffix ranges)."""
        import obstore

        def request() -> memoryview:
            if not self.url.startswith(AZURE):
                return memoryview(obstore.get(self.raw, key, options={"range": {"suffix": size}}).bytes())
            length = int(obstore.head(self.raw, key)["size"])
            return memoryview(obstore.get_range(self.raw, key, start=max(length - size, 0), end=length))

        return self._persistently(request, key)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Read ranges (offset, bytes) of one object; those less than COALESCED apart by one request."""
        import obstore

        starts, lengths = [offset for offset, _ in ranges], [size for _, size in ranges]

        def request() -> list[memoryview]:
            found = obstore.get_ranges(self.raw, key, starts=starts, lengths=lengths, coalesce=COALESCED)
            return [memoryview(part) for part in found]

        return self._persistently(request, key)

    def put(self, key: str, data: bytes, *, check: Callable[[], object] | None = None) -> None:
        """Write one object, durable when this returns: it appears whole or not at all.

        Where the service knows conditional writes, this one takes effect only if nothing has changed since it was sent.

        Parameters
        ----------
        check
            Called before an object is replaced that is neither what this client wrote nor what it read; it may raise.

        Raises
        ------
        StoreError
            If other processes replace the object as often as this one tries to.
        """
        version = self._versions.get(key, "create")
        for _ in range(REPLACEMENTS):
            if self._put_if(key, data, version):
                return
            version = self._version(key)
            if check is not None:
                check()
        raise self._contended(key)

    def update(self, key: str, change: Callable[[bytes | None], bytes | None]) -> None:
        """Replace an object by `change(data)`, where None stands for a missing object, and as a result for no change.

        Where the service knows conditional writes, `change` is called again if the object was replaced meanwhile.

        Raises
        ------
        StoreError
            As `put` does.
        """
        for _ in range(REPLACEMENTS):
            before, version = self._get(key)
            after = change(before)
            if after is None or self._put_if(key, after, version):
                return
        raise self._contended(key)

    def _put_if(self, key: str, data: bytes, version: Version) -> bool:
        """Write one object if `version` is there; return False if another one is, or none."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        plain = not self._conditional or len(data) > LARGEST_PUT  # a write in parts knows no conditions
        mode: Version = "overwrite" if plain else version
        raw = self.raw if plain else self._slower(2 ** max(0, math.ceil(math.log2(max(len(data), 1) / PART))))

        def request() -> bool:
            try:
                found = obstore.put(raw, key, data, mode=mode, max_concurrency=MULTIPART_CONCURRENCY)
            except (AlreadyExistsError, PreconditionError):
                return False
            except (BaseError, NotImplementedError) as error:
                if mode == "overwrite" or not knows_no_conditions(error):
                    raise
                self._conditional = False
                return self._put_if(key, data, version)
            self._keep(key, version_of(found))
            return True

        try:
            return self._persistently(request, key)
        except FileNotFoundError as error:
            if isinstance(mode, str):
                raise explained(self.url, error, key) from without_secrets(error)
            return False  # what some services say of a missing object that should have had a version

    def _version(self, key: str) -> Version:
        """Return the version of an object that is there now; 'create' if none is."""
        import obstore

        try:
            return version_of(self._persistently(lambda: obstore.head(self.raw, key), key))
        except FileNotFoundError:
            return "create"

    def _keep(self, key: str, version: Version) -> Version:
        if len(self._versions) >= VERSIONS_KEPT:
            self._versions.clear()
        self._versions[key] = version
        return version

    def _contended(self, key: str) -> StoreError:
        return StoreError(
            f"{self.url} cannot be written to at this moment: {key} was replaced by others each of the {REPLACEMENTS} "
            f"times that this process tried to replace it. Let one command at a time write a store, then try again."
        )

    def size(self, key: str) -> int | None:
        """Return the bytes of one object; None for a missing one."""
        import obstore

        try:
            return self._persistently(lambda: int(obstore.head(self.raw, key)["size"]), key)
        except FileNotFoundError:
            return None

    def list_sizes(self, prefix: str = "") -> list[tuple[str, int]]:
        """Return the key and the bytes of every object below `prefix`, by one request a thousand."""
        import obstore

        def request() -> list[tuple[str, int]]:
            batches = obstore.list(self.raw, prefix or None)
            return [(item["path"], item["size"]) for batch in batches for item in batch]

        return self._listed(request)

    def is_empty(self) -> bool:
        """Return True if there is no object at all, by one request."""
        import obstore

        return self._listed(lambda: not len(next(iter(obstore.list(self.raw)), [])))

    def _listed(self, request: Callable[[], T]) -> T:
        try:
            return self._persistently(request)
        except FileNotFoundError as error:  # a list of nothing is an empty one
            raise explained(self.url, error) from without_secrets(error)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, many by one request where the service can; a missing one is no error."""
        import obstore

        with suppress(FileNotFoundError):
            self._persistently(lambda: obstore.delete(self.raw, list(keys)))

    def _persistently(self, request: Callable[[], T], key: str = "") -> T:
        """Return the result of `request` for the object `key`.

        It is repeated if its answer broke off, which the client itself does not do.
        """
        from obstore.exceptions import BaseError

        until, pause = time.monotonic() + retry_seconds(), FIRST_PAUSE
        with client_errors_in_words(self.url, key):
            while True:
                try:
                    return request()
                except BaseError as error:
                    if "kind: Interrupted" not in str(error) or time.monotonic() + pause > until:
                        raise
                    time.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)


def _client_options(url: str, seconds: float, times: int) -> "ClientConfig":
    """Return the options of a client that waits `times` as long for an answer: sending much takes its time too."""
    answer = timedelta(seconds=seconds / 2 * times)
    options: ClientConfig = {
        "connect_timeout": timedelta(seconds=min(5.0, seconds / 2)),
        "read_timeout": answer,
        "timeout": max(WHOLE_REQUEST, answer),
    }
    if endpoint_of(url).startswith("http://"):
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
