"""Fingerprints of picture files, kept in a cache because reading every byte of a large set takes minutes."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kcd_pipeline.augmentation import CentreCrop
from kcd_pipeline.data.folders.listing import Listing
from kcd_pipeline.errors import UserError
from kcd_pipeline.files import write_whole


def fingerprint_files(listing: Listing, crop: CentreCrop, classes: Sequence[str]) -> str:
    """Return the SHA-256 over crop, class names and, of each file in order, its label and the SHA-256 of its bytes.

    Names and places of files do not count. The result is kept in `$XDG_CACHE_HOME/kcd-pipeline` (or in
    `~/.cache/kcd-pipeline`), until a file's path, size or time of change differs.

    Raises
    ------
    UserError
        If a file cannot be read.
    """
    kept = _cache_folder() / f"fingerprint-{_cache_key(listing, crop, classes)}"
    if kept.is_file():
        return kept.read_text(encoding="ascii").strip()
    fingerprint = _digest_files(listing, crop, classes)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, fingerprint)
    except OSError:  # without a cache that can be written, every start takes longer, and nothing else changes
        pass
    return fingerprint


def _digest_files(listing: Listing, crop: CentreCrop, classes: Sequence[str]) -> str:
    image_shape = [3, crop.size, crop.size]
    digest = hashlib.sha256(repr((image_shape, crop.resize, list(classes))).encode())
    with ThreadPoolExecutor() as pool:  # reading and hashing happen outside the interpreter lock
        digests = pool.map(_digest_file, map(listing.path, range(len(listing))))
        for label, of_file in zip(listing.labels.tolist(), digests, strict=True):
            digest.update(label.to_bytes(8, "little") + of_file)
    return digest.hexdigest()


def _digest_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}. Mend or remove the file.") from error


def _cache_key(listing: Listing, crop: CentreCrop, classes: Sequence[str]) -> str:
    """Return the SHA-256 over path, size and time of change of each file, and over all else in the fingerprint."""
    digest = hashlib.sha256(repr((str(listing.root.resolve()), crop, list(classes))).encode())
    for sample, label in enumerate(listing.labels.tolist()):
        path = listing.path(sample)
        stat = path.stat()
        digest.update(f"{label} {path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kcd-pipeline"
