"""Parse the places that people write: a path, `file:///path`, `s3://bucket/key`, `https://host/key`, ..."""

import posixpath
import re
from pathlib import Path
from urllib.parse import quote, unquote

from kcd_stores.errors import Remedy, StoreUsageError

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "http", "https", "memory")
OTHER_NAMES = {"s3a": "s3", "azure": "az", "abfss": "abfs"}  # of one and the same service
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
CONTAINER_FIRST = ("abfs", "abfss")  # abfs://container@account/key: what stands before the @ is no secret

# a user and password before the host, the password with whatever characters people forget to encode; the lengths are
# bounded because texts of strangers are searched too
USER = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]{0,20})://([^/\s?#]{0,500}|[^/\s:@\[]{0,100}:(?!\d+(?:[/?#\s]|$))\S{0,500})@"
)
QUERY = re.compile(r"[?#][^\s=]{0,200}=\S*")


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
    scheme, shown = found[1].lower(), masked(text)
    if not text.startswith(f"{found[1]}://"):
        if scheme in (*SCHEMES, "file"):
            problem = f"'{shown}' lacks a slash: a URL is written {scheme}://bucket/key."
            raise StoreUsageError(problem, remedy=Remedy.CORRECT_LOCATION)
        return Path(where)  # a path with a colon in it
    if scheme == "file":
        return _file_path(text)
    if scheme not in SCHEMES:
        raise StoreUsageError(
            f"'{shown}' is a URL of a kind that cannot hold a store; what can: a path, file://, "
            f"{', '.join(f'{known}://' for known in SCHEMES)}.",
            remedy=Remedy.CORRECT_LOCATION,
        )
    bucket, _, key = text.partition("://")[2].partition("/")
    key = _plain_key(key)
    if not bucket or (not key and scheme != "memory"):
        raise StoreUsageError(
            f"'{shown}' names no place for a store: give a bucket and a key of its own in it, such as "
            f"{scheme}://{bucket.rpartition('@')[2] or 'bucket'}/store.zarr.",
            remedy=Remedy.CORRECT_LOCATION,
        )
    url = f"{scheme}://{bucket}" + (f"/{key}" if key else "")
    _require_usable_secrets(url)
    return url


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
    return f"{scheme}://{quote(host, safe='@:%[]')}{slash}{quote(key, safe='/@')}"


def resolved_url(url: str) -> str:
    """Return one name for every way to write the URL of a remote store; it holds no user and no password."""
    scheme, _, rest = url.partition("://")
    host, slash, key = rest.partition("/")
    scheme = OTHER_NAMES.get(scheme, scheme)
    host = host if scheme in CONTAINER_FIRST else host.rpartition("@")[2]
    if is_web(url):
        host = host.lower().removesuffix(DEFAULT_PORTS[scheme])
    return f"{scheme}://{host}{slash}{key}"


def masked(text: str) -> str:
    """Return a URL, or a text that has URLs in it, without their users, passwords and queries.

    A query is where signed URLs carry their token. Text without `://` is returned as it is.
    """
    if "://" not in text:
        return text
    return QUERY.sub(_mask_query, USER.sub(_mask_user, text))


def _mask_user(found: re.Match[str]) -> str:
    scheme, user = found[1], found[2]
    return found[0] if scheme.lower() in CONTAINER_FIRST and ":" not in user else f"{scheme}://***@"


def _mask_query(found: re.Match[str]) -> str:
    return f"{found[0][0]}***"


def _plain_key(key: str) -> str:
    """Return `key` without slashes at its ends, empty parts and `.` and `..`, which no client sends as they stand."""
    return posixpath.normpath(f"/{key}").strip("/")


def _require_usable_secrets(url: str) -> None:
    """Raise StoreUsageError if a URL carries a user, a password or a query that no client would use."""
    shown = masked(url)
    if is_web(url) and QUERY.search(url):
        raise StoreUsageError(
            f"'{shown}' has a query, as a signed URL has. A signature opens one object, and a store is many: publish "
            f"the store without one, or read it through its object store.",
            remedy=Remedy.CORRECT_LOCATION,
        )
    if "***@" in shown:
        raise StoreUsageError(
            f"'{shown}' has a user or a password in it, which would not be used. Object stores take credentials from "
            f"environment variables (AWS_..., GOOGLE_..., AZURE_...), and a store on the web is read without any.",
            remedy=Remedy.CORRECT_LOCATION,
        )


def _file_path(url: str) -> Path:
    host, _, path = url.partition("://")[2].partition("/")  # `?` and `#` are characters of a file's name
    if host not in ("", "localhost"):
        raise StoreUsageError(
            f"'{masked(url)}' names a file on another machine; three slashes are meant: file:///path."
        )
    return Path(unquote(f"/{path}"))
