"""Decompressing blosc buffers that anybody may have written: every length in one is checked before it is used.

numcodecs hands a buffer to c-blosc without saying how long it is, and c-blosc believes the lengths that stand in it:
one that lies makes it read beyond the buffer, return memory that holds something else, or crash. A buffer is

    header   16 bytes: version, version of the compressor, flags, bytes of an element; then, as 4 bytes each, the bytes
             that it holds, those of a block, and those of the buffer itself
    starts   4 bytes a block: where its streams start in the buffer
    streams  of each block one, or one for each byte of an element: 4 bytes, its length, then so many bytes

or, with the flag STORED, the header and then what it holds, uncompressed.
"""

import struct
from typing import Any

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

HEADER = struct.Struct("<BBBBIII")
LENGTH = struct.Struct("<i")
VERSION = 2
STORED, UNSPLIT = 0x02, 0x10  # flags
RESERVED = 0x08


def decompress_blosc(body: NDArray[np.uint8], out: NDArray[Any], wrong: Exception) -> None:
    """Decompress `body`, one blosc buffer, into `out` (contiguous); raise `wrong` if it does not hold just that."""
    require_sound_blosc(body, out.nbytes, wrong)
    try:
        blosc.decompress(body, out.reshape(-1).view(np.uint8))
    except (RuntimeError, ValueError) as error:
        raise wrong from error


def require_sound_blosc(body: NDArray[np.uint8], expected_bytes: int, wrong: Exception) -> None:
    """Raise `wrong` unless `body` is a blosc buffer that holds `expected_bytes`, with all of its parts inside it."""
    buffer = body.data
    if len(buffer) < HEADER.size:
        raise wrong
    version, _, flags, element, held, block, stored = HEADER.unpack_from(buffer)
    if version != VERSION or flags & RESERVED or not element or held != expected_bytes or stored != len(buffer):
        raise wrong
    if flags & STORED:
        if stored != HEADER.size + held:
            raise wrong
        return
    if not 0 < block <= held:
        raise wrong
    blocks = -(-held // block)
    if HEADER.size + blocks * LENGTH.size > stored:
        raise wrong
    whole_blocks = held // block
    for number in range(blocks):
        streams = element if number < whole_blocks and not flags & UNSPLIT else 1
        if not _streams_fit(buffer, HEADER.size + number * LENGTH.size, blocks, streams):
            raise wrong


def _streams_fit(buffer: memoryview, entry: int, blocks: int, streams: int) -> bool:
    """Return True if the streams of one block, whose start stands at `entry`, lie behind the starts and in `buffer`."""
    (at,) = LENGTH.unpack_from(buffer, entry)
    if at < HEADER.size + blocks * LENGTH.size:
        return False
    for _ in range(streams):
        if at + LENGTH.size > len(buffer):
            return False
        (length,) = LENGTH.unpack_from(buffer, at)
        at += LENGTH.size + length
        if length <= 0 or at > len(buffer):
            return False
    return True
