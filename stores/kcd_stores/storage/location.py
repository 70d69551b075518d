"""Parse the places that people write: a path, `file:///path`, `s3://bucket/key`, `https://host/key`, ..."""

import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from kcd_stores.errors import Remedy, StoreUsageError

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "http", "https", "memory")


def parse_location(where: str | Path) -> Path | str:
    """Return the folder that `where` names, or the URL of a remote store, without a slash at its end.

    `memory://name` is a store of this process, for trials.

    Raises
    ------
    StoreUsageError
        If it looks like a URL, but not like one that can hold a store.
    """
    text = str(where)
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):/", text)
    if found is None:
        return Path(where)
    scheme = found[1].lower()
    if not text.startswith(f"{found[1]}://"):
        if scheme in (*SCHEMES, "file"):
            problem = f"'{text}' lacks a slash: a URL is written {scheme}://bucket/key."
            raise StoreUsageError(problem, remedy=Remedy.CORRECT_LOCATION)
        return Path(where)  # a path with a colon in it
    if scheme == "file":
        return _file_path(text)
    if scheme not in SCHEMES:
        raise StoreUsageError(
            f"'{text}' is a URL of a kind that cannot hold a store; what can: a path, file://, "
            f"{', '.join(f'{known}://' for known in SCHEMES)}.",
            remedy=Remedy.CORRECT_LOCATION,
        )
    bucket, _, key = text.partition("://")[2].partition("/")
    key = key.strip("/")
    if not bucket or (not key and scheme != "memory"):
        raise StoreUsageError(
            f"'{text}' names no place for a store: give a bucket and a key of its own in it, such as "
            f"{scheme}://{bucket or 'bucket'}/store.zarr.",
            remedy=Remedy.CORRECT_LOCATION,
        )
    return f"{scheme}://{bucket}" + (f"/{key}" if key else "")


def is_web(url: str) -> bool:
    """Return True if the URL is one of a web server, which serves objects but takes and lists none."""
    return url.startswith(("http:", "https:"))


def parent_and_name(url: str) -> tuple[str, str]:
    """Return the URL one level up and the last part of the key; the parent of a URL without a key is "memory:/"."""
    parent, _, name = url.rpartition("/")
    return parent, name


def quoted(url: str) -> str:
    """Return `url` percent-encoded, so that a client takes every character of the key as it stands."""
    scheme, _, rest = url.partition("://")
    host, slash, key = rest.partition("/")
    return f"{scheme}://{quote(host, safe='@:')}{slash}{quote(key, safe='/@')}"


def _file_path(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise StoreUsageError(f"'{url}' names a file on another machine; three slashes are meant: file:///path.")
    return Path(unquote(parts.path))
