"""Decoded pictures that are kept, so that the next command over the same files starts without decoding them.

A file holds the pixels of one split: its shape, a checksum, and the bytes. It lies where fingerprints are kept too.
"""

import math
import shutil
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.augmentation import CentreCrop
from kcd_pipeline.data.pictures.fingerprint_cache import cache_file
from kcd_pipeline.data.pictures.picture import Reading
from kcd_pipeline.data.pictures.source import PictureSource
from kcd_pipeline.files import write_whole

KIND = "pixels"
FORM = 1  # raised when this package comes to decode, turn or crop pictures otherwise
SHAPE = struct.Struct("<4Q")  # N, channels, H, W
CHECKSUM = struct.Struct("<I")  # crc32 of the file's name, the shape and the pixels
MOST_BYTES = 2 * 2**30  # of all files of this kind together: those that were not used for longest go first
SPARE = 4  # a disk with less room than so many times the pixels is left alone


def pixels_file(source: PictureSource, crop: CentreCrop | None, reading: Reading) -> Path | None:
    """Return the file for the pixels of `source`, or None if there is no place for it.

    Its name depends on all that the pixels depend on: the stamp of the source, how pictures are read and cropped, the
    decoder, and this package.

    Raises
    ------
    UserError
        If a picture is gone, or in a folder that may not be read.
    """
    cropped = None if crop is None else (crop.size, crop.resize)
    return cache_file(source, (FORM, cropped, reading, PIL.__version__), KIND)


def kept_pixels(file: Path | None, count: int) -> Tensor | None:
    """Return the pixels of `count` pictures in `file`, uint8 [N, C, H, W]; None if it is not whole, or not there."""
    if file is None:
        return None
    try:
        with file.open("rb") as opened:
            shape = SHAPE.unpack(opened.read(SHAPE.size))
            (checksum,) = CHECKSUM.unpack(opened.read(CHECKSUM.size))
            pixels = np.fromfile(opened, np.uint8)
    except (OSError, struct.error):
        return None
    if shape[0] != count or pixels.size != math.prod(shape) or _checksum(file, shape, pixels) != checksum:
        return None
    with suppress(OSError):
        file.touch()  # it was used now
    return torch.from_numpy(pixels.reshape(shape))


def keep_pixels(file: Path | None, pixels: Tensor) -> None:
    """Write `pixels`, uint8 [N, C, H, W], to `file`; where they find no place the next start takes longer, no more."""
    if file is None or pixels.nbytes > MOST_BYTES:
        return
    array = np.ascontiguousarray(pixels.numpy())
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(file.parent).free < SPARE * array.nbytes:
            return
        _make_room(file.parent, array.nbytes)
        head = SHAPE.pack(*array.shape) + CHECKSUM.pack(_checksum(file, array.shape, array))
        write_whole(file, head, array.data)


def _checksum(file: Path, shape: tuple[int, ...], pixels: NDArray[np.uint8]) -> int:
    return zlib.crc32(pixels.data, zlib.crc32(file.name.encode() + SHAPE.pack(*shape)))


def _make_room(folder: Path, wanted: int) -> None:
    """Remove the files that were not used for longest, until `wanted` more bytes stay within MOST_BYTES."""
    # one that another process is writing has an ending
    files = [(file, file.stat()) for file in folder.glob(f"{KIND}-*") if not file.suffix]
    files.sort(key=lambda entry: entry[1].st_mtime)
    total = sum(status.st_size for _, status in files)
    for file, status in files:
        if total + wanted + SHAPE.size + CHECKSUM.size <= MOST_BYTES:
            return
        file.unlink(missing_ok=True)
        total -= status.st_size
