"""Settings of remote stores, read from environment variables.

Clients read the variables that every tool of their kind reads: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_SKIP_SIGNATURE (a public bucket), AWS_ALLOW_HTTP, and likewise those that
begin with GOOGLE_ and AZURE_. KCD_STORE_PATIENCE is the one of this package: the number of seconds for which a failing
request is tried again.
"""

import os

from kcd_stores.errors import StoreUsageError

RETRY_SECONDS = 20.0
RETRY_VARIABLE = "KCD_STORE_PATIENCE"
LONGEST_RETRY_SECONDS = 86400
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between attempts
COALESCED = 256 * 1024  # bytes between two ranges: reading them for nothing costs less than another request
LARGEST_METADATA = 64 * 1024**2  # bytes of a file that describes a group or an array
LARGEST_OBJECT = 16 * 1024**3  # bytes of any other: as much as the logits of a block may have


def largest(name: str) -> int:
    """Return the number of bytes that a file of a store has at most, so that a stranger's takes no more memory."""
    return LARGEST_METADATA if name.endswith("zarr.json") else LARGEST_OBJECT


def retry_seconds() -> float:
    """Return the number of seconds for which a failing request is tried again.

    Raises
    ------
    StoreUsageError
        If KCD_STORE_PATIENCE is not a number of seconds above zero and below a day.
    """
    text = os.environ.get(RETRY_VARIABLE, "")
    try:
        seconds = float(text or RETRY_SECONDS)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < LONGEST_RETRY_SECONDS:
        raise StoreUsageError(
            f"{RETRY_VARIABLE} is '{text}', but must be a number of seconds above 0: how long requests to a remote "
            f"store are tried again. Set it so, or unset it for {RETRY_SECONDS:g}."
        )
    return seconds


def endpoint_of(url: str) -> str:
    """Return the server that the environment names for `url`, or "" if it names none."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT") if url.startswith("s3") else ()
    return next((os.environ[name] for name in names if os.environ.get(name)), "")
