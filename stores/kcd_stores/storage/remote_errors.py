"""Turn the errors of an object store's client into errors that a person understands."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from kcd_stores.errors import Remedy, StoreError, StoreUsageError
from kcd_stores.storage.location import is_web, masked
from kcd_stores.storage.settings import endpoint_of, retry_seconds

# requests by which a client asks the machine that it runs on for credentials, after it has found none elsewhere
NO_CREDENTIALS = ("/latest/api/token", "/latest/meta-data/", "computeMetadata", "TokenRequest", "token request")
REFUSED = re.compile(r"(3|4(?!29))\d\d")  # HTTP statuses that trying again does not change: all 3xx and 4xx but 429
CONNECTION_TROUBLE = {
    "Timeout": "no answer in time",
    "Connect": "no connection",
    "Interrupted": "the connection was lost",
}


@contextmanager
def client_errors_in_words(url: str) -> Iterator[None]:
    """Turn errors that the client raises inside into StoreErrors; a missing object stays a FileNotFoundError.

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
            raise explained(url, error) from without_secrets(error)
        raise
    except BaseError as error:
        raise explained(url, error) from without_secrets(error)


def explained(url: str, error: Exception) -> StoreError:
    """Return the error to raise in place of the client's `error` about the store at `url`: one paragraph."""
    text = str(error)
    reason = _reason(text)
    if is_web(url) and REFUSED.match(reason):
        return StoreUsageError(
            f"{url} cannot be used: the web server refused the request ({reason}). A store is read there object "
            f"by object and in ranges of bytes, without credentials. Check the address, and that the server allows it."
        )
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
            f"{url} cannot be used: {endpoint} refused the request ({reason}). Check AWS_ACCESS_KEY_ID, "
            f"AWS_SECRET_ACCESS_KEY and AWS_REGION, and that they may list, read and write there; then try again."
        )
    return StoreError(
        f"{url} cannot be used at this moment: {endpoint} failed or could not be reached, and requests were tried "
        f"again for {retry_seconds():g} s ({reason}). What is recorded complete is kept.",
        remedy=Remedy.TRY_AGAIN,
    )


def first_line(error: object) -> str:
    """Return the first line of an error, without the secrets of URLs in it and the full stop at its end."""
    return masked(next(iter(str(error).splitlines()), "")).rstrip(".")


def without_secrets(error: Exception) -> Exception | None:
    """Return `error` to be shown as the cause of another; None if a URL in its text has a password or a token."""
    return error if masked(str(error)) == str(error) else None


def _reason(text: str) -> str:
    """Return the finding of the client, out of its long message, in a few words."""
    code = re.search(r"<Code>(\w+)</Code>", text)
    status = re.search(r"status code: (\d+[ \w]*)", text)
    if status:
        return f"{status[1].strip()}, {code[1]}" if code else status[1].strip()
    kind = re.search(r"kind: (Timeout|Connect|Interrupted|Request|Decode)\b", text)
    return CONNECTION_TROUBLE.get(kind[1], "the connection was lost") if kind else first_line(text)
