"""Fingerprints of picture files."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from kcd_pipeline.augmentation import CentreCrop
from kcd_pipeline.data.pictures.fingerprint_cache import cache_file, keep, kept
from kcd_pipeline.data.pictures.picture import Reading, deep_mark, reading_bytes
from kcd_pipeline.data.pictures.source import PictureSource

JPEG_MAGIC = b"\xff\xd8\xff"  # most pictures of large sets are such, and none of them is deep


def fingerprint_files(source: PictureSource, crop: CentreCrop, classes: Sequence[str], reading: Reading) -> str:
    """Return the SHA-256 over crop, class names and, of each file in order, its label and the SHA-256 of its bytes.

    Names and places of files do not count. Settings of `reading` do, where they change pixels. The result is kept, as
    reading every byte of a large set takes minutes, until the stamp of the source differs.

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
    file = cache_file(source, (described, reading.describe()))
    found = kept(file)
    if found is None:
        found = _digest_files(source, repr(described), reading)
        keep(file, found)
    return found


def _digest_files(source: PictureSource, described: str, reading: Reading) -> str:
    def of(sample: int) -> bytes:
        return _digest_file(source, sample, reading)

    digest = hashlib.sha256(described.encode())
    with ThreadPoolExecutor() as pool:  # reading and hashing happen outside the interpreter lock
        for label, of_file in zip(source.labels.tolist(), pool.map(of, range(len(source))), strict=True):
            digest.update(label.to_bytes(8, "little") + of_file)
    return digest.hexdigest()


def _digest_file(source: PictureSource, sample: int, reading: Reading) -> bytes:
    """Return the SHA-256 of the bytes of a picture, and of a deep grey one the range in which it is read."""
    name = source.name(sample)
    with reading_bytes(source.open(sample), name) as file:
        is_jpeg = file.read(len(JPEG_MAGIC)) == JPEG_MAGIC
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]  # BinaryIO lacks readinto
    return digest if is_jpeg else digest + deep_mark(source.open(sample), reading, name=name)
