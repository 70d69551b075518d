"""Fingerprints of picture files."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from kcd_pipeline.augmentation import CentreCrop
from kcd_pipeline.data.folders.fingerprint_cache import cache_file, keep, kept
from kcd_pipeline.data.folders.listing import Listing
from kcd_pipeline.data.folders.picture import Reading, deep_mark
from kcd_pipeline.data.folders.unreadable import cannot_be_read

JPEG_MAGIC = b"\xff\xd8\xff"  # most pictures of large sets are such, and none of them is deep


def fingerprint_files(listing: Listing, crop: CentreCrop, classes: Sequence[str], reading: Reading) -> str:
    """Return the SHA-256 over crop, class names and, of each file in order, its label and the SHA-256 of its bytes.

    Names and places of files do not count. Settings of `reading` do, where they change pixels. The result is kept, as
    reading every byte of a large set takes minutes, until a file's path, size or time of change differs.

    Raises
    ------
    UserError
        If a file cannot be read.
    """
    described = (
        [3, crop.size, crop.size],
        crop.resize,
        list(classes),
        *([reading.describe()] if reading.exif else []),
    )
    file = cache_file(listing, (described, reading.describe()))
    found = kept(file)
    if found is None:
        found = _digest_files(listing, repr(described), reading)
        keep(file, found)
    return found


def _digest_files(listing: Listing, described: str, reading: Reading) -> str:
    digest = hashlib.sha256(described.encode())
    with ThreadPoolExecutor() as pool:  # reading and hashing happen outside the interpreter lock
        digests = pool.map(_digest_file, map(listing.path, range(len(listing))), repeat(reading))
        for label, of_file in zip(listing.labels.tolist(), digests, strict=True):
            digest.update(label.to_bytes(8, "little") + of_file)
    return digest.hexdigest()


def _digest_file(path: Path, reading: Reading) -> bytes:
    """Return the SHA-256 of the bytes of `path`, and of a deep grey picture the range in which it is read."""
    try:
        with path.open("rb") as file:
            is_jpeg = file.read(len(JPEG_MAGIC)) == JPEG_MAGIC
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise cannot_be_read(path, error) from error
    return digest if is_jpeg else digest + deep_mark(path, reading)
