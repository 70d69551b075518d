"""Turn the errors of an object store's client into errors that a person understands."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from kcd_stores.errors import Remedy, StoreError, StoreUsageError
from kcd_stores.storage.location import masked
from kcd_stores.storage.settings import endpoint_of, retry_seconds

# requests by which a client asks the machine that it runs on for credentials, after it has found none elsewhere
NO_CREDENTIALS = ("/latest/api/token", "/latest/meta-data/", "computeMetadata", "TokenRequest", "token request")
REFUSED = re.compile(r"(3|4(?!29))\d\d")  # HTTP statuses that trying again does not change: all 3xx and 4xx but 429
KIND = re.compile(r"kind: (Timeout|Connect|Interrupted|Request|Decode)\b")
PAGES = (b"<!doctype html", b"<html")
CONNECTION_TROUBLE = {
    "Timeout": "no answer in time",
    "Connect": "no connection",
    "Interrupted": "the connection was lost",
}


@contextmanager
def client_errors_in_words(url: str, key: str = "") -> Iterator[None]:
    """Turn errors that the client raises inside into StoreErrors; a missing object stays a FileNotFoundError.

    Parameters
    ----------
    url, key
        The store and the object in it, for messages.

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
            raise explained(url, error, key) from without_secrets(error)
        raise
    except (BaseError, NotImplementedError) as error:
        raise explained(url, error, key) from without_secrets(error)


def explained(url: str, error: Exception, key: str = "") -> StoreError:
    """Return the error to raise in place of the client's `error` about an object of the store: one paragraph."""
    text = str(error)
    reason = _reason(text)
    about = f" for {key}" if key else ""
    bucket, endpoint = (
        url.split("/")[2],
        masked(endpoint_of(url)) or "the default endpoint (no AWS_ENDPOINT_URL is set)",
    )
    if not url.startswith("s3"):
        endpoint = "its service"
    if "NoSuchBucket" in text:
        return StoreUsageError(
            f"{url} cannot be used: there is no bucket '{bucket}' at {endpoint}. Nothing was written.",
            remedy=Remedy.MAKE_BUCKET,
        )
    if any(mark in text for mark in NO_CREDENTIALS):
        return StoreUsageError(
            f"{url} cannot be used: no credentials were found for it. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            f"(and AWS_SESSION_TOKEN where they are temporary), or AWS_SKIP_SIGNATURE=true to read a public bucket; "
            f"for gs:// and az:// their own variables. Then try again."
        )
    if REFUSED.match(reason) or "redirect" in text:
        return StoreUsageError(
            f"{url} cannot be used: {endpoint} refused the request{about} ({reason}). Check AWS_ACCESS_KEY_ID, "
            f"AWS_SECRET_ACCESS_KEY and AWS_REGION, and that they may list, read and write there; then try again."
        )
    if _is_trouble(text):
        return unreachable(url, endpoint, reason)
    return StoreError(
        f"{url} cannot be used: the answer of {endpoint}{about} is not that of an object store ({reason[:200]}). What "
        f"is recorded complete is kept.",
        remedy=Remedy.TRY_AGAIN,
    )


def unreachable(url: str, server: str, reason: str) -> StoreError:
    """Return the error of a server that was not there, or in trouble, for as long as requests were tried again."""
    return StoreError(
        f"{url} cannot be used at this moment: {server} failed or could not be reached, and requests were tried "
        f"again for {retry_seconds():g} s ({reason}). What is recorded complete is kept.",
        remedy=Remedy.TRY_AGAIN,
    )


def require_no_page(data: bytes, url: str, key: str) -> None:
    """Raise StoreError if an object is a web page: that of a proxy, or one to log in, sent as if all were well."""
    if data[:200].lstrip().lower().startswith(PAGES):
        raise StoreError(
            f"{url} cannot be used: in place of {key} came a web page, as a proxy or a page to log in sends it. Open "
            f"the address in a browser to see what it says.",
            remedy=Remedy.TRY_AGAIN,
        )


def first_line(error: object) -> str:
    """Return the first line of an error, without the secrets of URLs in it and the full stop at its end."""
    return masked(next(iter(str(error).splitlines()), "")).rstrip(".")


def without_secrets(error: Exception) -> Exception | None:
    """Return `error` to be shown as the cause of another; None if a URL in its text has a password or a token."""
    return error if masked(str(error)) == str(error) else None


def _is_trouble(text: str) -> bool:
    """Return True if the client told of a server that it did not reach, or that said that it failed."""
    return "status code:" in text or KIND.search(text) is not None


def _reason(text: str) -> str:
    """Return the finding of the client, out of its long message, in a few words."""
    code = re.search(r"<Code>(\w+)</Code>", text)
    status = re.search(r"status code: (\d+[ \w]*)", text)
    if status:
        return f"{status[1].strip()}, {code[1]}" if code else status[1].strip()
    kind = KIND.search(text)
    return CONNECTION_TROUBLE.get(kind[1], "the connection was lost") if kind else first_line(text)
