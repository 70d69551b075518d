"""Requests to a web server that publishes a store: time limits, retries, no way to another host, errors in words."""

import re
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from kcd_stores.errors import Remedy, StoreError, StoreUsageError
from kcd_stores.storage.location import masked, quoted
from kcd_stores.storage.remote_errors import first_line, require_no_page, unreachable
from kcd_stores.storage.settings import COALESCED, FIRST_PAUSE, LONGEST_PAUSE, largest, retry_seconds

if TYPE_CHECKING:  # loaded only for a store on the web
    from urllib3 import BaseHTTPResponse, PoolManager

CONNECTIONS = 8
REDIRECTS = 5
ANSWERS = (200, 206)
MISSING = (404, 410)
BEYOND_THE_END = 416
TROUBLE = (408, 429, *range(500, 600))  # statuses that another attempt may change
DEFAULT_PORTS = {"http": 80, "https": 443}


class WebClient:
    """A client of the objects below one address; see `ObjectClient` for what its methods raise.

    Attributes
    ----------
    url
        The address that messages name.
    """

    def __init__(self, url: str) -> None:
        self.url, self._base = masked(url), quoted(url)

    def get(self, key: str) -> bytes | None:
        """Read one object by one request; None stands for a missing one."""
        try:
            return self._request("GET", key)[1]
        except FileNotFoundError:
            return None

    def get_end(self, key: str, size: int) -> memoryview:
        """Read the last `size` bytes of one object, or all of a shorter one."""
        first, data, total = self._range(key, f"-{size}")
        if first + len(data) != total or len(data) < min(size, total):
            raise self._wrong(key, f"it sent {len(data):,} bytes from {first:,} on for the last {size:,} of {total:,}")
        return memoryview(data)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Read ranges (offset, bytes) of one object; those that are close together by one request."""
        found: list[memoryview] = []
        for parts in _close_together(ranges):
            start, stop = parts[0][0], max(offset + size for offset, size in parts)
            first, data, total = self._range(key, f"{start}-{stop - 1}")
            if len(data) != max(min(stop, total) - start, 0) or (data and first != start):
                raise self._wrong(key, f"it sent {len(data):,} bytes from {first:,} on for {start:,} to {stop:,}")
            view = memoryview(data)
            found += [view[offset - start : offset - start + size] for offset, size in parts]
        return found

    def size(self, key: str) -> int | None:
        """Return the bytes of one object; None for a missing one."""
        try:
            response, _ = self._request("HEAD", key)
        except FileNotFoundError:
            return None
        length = response.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise self._wrong(key, "it does not say how large the object is")
        return int(length)

    # --- one request --------------------------------------------------------------------------------------

    def _range(self, key: str, wanted: str) -> tuple[int, bytes, int]:
        """Read a range; return the offset of what came, what came, and the size of the whole object."""
        response, data = self._request("GET", key, wanted=wanted)
        if response.status == BEYOND_THE_END:
            return 0, b"", 0
        found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", response.headers.get("Content-Range", ""))
        if response.status != 206 or found is None:
            raise StoreUsageError(
                f"{self.url} cannot be used: asked for a range of bytes of {key}, the web server sent something else "
                f"({response.status}). A store is read there in ranges; publish it by a server that knows them.",
            )
        first, last, total = (int(number) for number in found.groups())
        if last + 1 - first != len(data):
            raise self._wrong(key, f"it sent {len(data):,} bytes and called them {found[0]}")
        return first, data, total

    def _request(self, method: str, key: str, *, wanted: str | None = None) -> tuple["BaseHTTPResponse", bytes]:
        """Return the answer to one request, and its body; repeat it while the server is in trouble."""
        from urllib3.exceptions import HTTPError, LocationValueError

        until, pause = time.monotonic() + retry_seconds(), FIRST_PAUSE
        while True:
            try:
                response = self._follow(method, key, wanted)
                if response.status not in TROUBLE:
                    return response, self._checked(response, key)
                response.close()
                trouble = f"{response.status} {response.reason or ''}".strip()
            except LocationValueError as error:
                problem = f"{self.url} is no address that can be used: {first_line(error)}."
                raise StoreUsageError(problem, remedy=Remedy.CORRECT_LOCATION) from error
            except HTTPError as error:
                trouble = _in_words(error)
            if time.monotonic() + pause > until:
                raise unreachable(self.url, "the web server", trouble)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _follow(self, method: str, key: str, wanted: str | None) -> "BaseHTTPResponse":
        """Send one request, and follow redirections that stay on the host."""
        address = f"{self._base}/{quote(key)}"
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={wanted}"} if wanted else {})
        for _ in range(REDIRECTS):
            response = self._pool.request(
                method, address, headers=headers, redirect=False, retries=False, preload_content=False
            )
            if not 300 <= response.status < 400:
                return response
            response.close()
            target = urljoin(address, response.headers.get("Location", ""))
            if not _same_host(address, target):
                raise StoreUsageError(
                    f"{self.url} cannot be used: for {key} the web server points to another host, "
                    f"{masked(target)}, which is not followed. If you trust that place, give its address.",
                    remedy=Remedy.CORRECT_LOCATION,
                )
            address = target
        raise self._wrong(key, f"it points from place to place, {REDIRECTS} times and more")

    def _checked(self, response: "BaseHTTPResponse", key: str) -> bytes:
        """Return the body of an answer that is one."""
        if response.status not in ANSWERS:
            response.close()
        if response.status in MISSING:
            raise FileNotFoundError(f"{self.url}/{key}")
        if response.status == BEYOND_THE_END:
            return b""
        if response.status not in ANSWERS:
            raise StoreUsageError(
                f"{self.url} cannot be used: the web server refused the request for {key} ({response.status} "
                f"{response.reason or ''}). A store is read there object by object and in ranges of bytes, without "
                f"credentials. Check the address, and that the server allows it."
            )
        data = response.read(largest(key) + 1)
        if len(data) > largest(key):
            response.close()
            raise self._wrong(key, f"it is longer than {largest(key):,} bytes")
        response.release_conn()
        require_no_page(data, self.url, key)
        return data

    @cached_property
    def _pool(self) -> "PoolManager":
        from urllib3 import PoolManager, ProxyManager, Timeout

        seconds = retry_seconds()
        limit = Timeout(connect=min(5.0, seconds / 2), read=seconds / 2)
        parts = urlsplit(self._base)
        proxy = getproxies().get(parts.scheme)
        if proxy and not proxy_bypass(parts.hostname or ""):
            return ProxyManager(proxy, timeout=limit, maxsize=CONNECTIONS)
        return PoolManager(timeout=limit, maxsize=CONNECTIONS)

    def _wrong(self, key: str, what: str) -> StoreError:
        return StoreError(
            f"{self.url} cannot be used: the web server's answer for {key} is not what was asked for: {what}.",
            remedy=Remedy.TRY_AGAIN,
        )


def _close_together(ranges: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield neighbouring ranges (offset, bytes) that are best read by one request: ascending, with little between."""
    group: list[tuple[int, int]] = []
    for offset, size in ranges:
        if group and not 0 <= offset - sum(group[-1]) <= COALESCED:
            yield group
            group = []
        group.append((offset, size))
    if group:
        yield group


def _same_host(address: str, target: str) -> bool:
    """Return True if a redirection stays on the host: the same port, or from http to https."""
    here, there = urlsplit(address), urlsplit(target)
    if here.hostname != there.hostname or there.scheme not in DEFAULT_PORTS:
        return False
    if (here.scheme, there.scheme) == ("http", "https"):
        return here.port is None and there.port is None
    return here.scheme == there.scheme and here.port == there.port


def _in_words(error: Exception) -> str:
    from urllib3.exceptions import NewConnectionError, ProtocolError, SSLError, TimeoutError

    reasons = {
        NewConnectionError: "no connection",
        TimeoutError: "no answer in time",
        ProtocolError: "the connection was lost",
        SSLError: "its certificate cannot be trusted, or it does not speak TLS",
    }
    return next((words for kind, words in reasons.items() if isinstance(error, kind)), first_line(error))
