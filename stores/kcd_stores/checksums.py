"""The checksum that ends every stored chunk and index: crc32c, four bytes, little-endian."""

import google_crc32c
import numpy as np
from numpy.typing import NDArray

CRC_BYTES = 4


def strip_checksum(stored: NDArray[np.uint8], wrong: Exception) -> NDArray[np.uint8]:
    """Return `stored` without the crc32c at its end; raise `wrong` if that is not the checksum of the rest."""
    body, crc = stored[:-CRC_BYTES], stored[-CRC_BYTES:]
    if len(stored) <= CRC_BYTES or google_crc32c.value(body) != int.from_bytes(crc.tobytes(), "little"):
        raise wrong
    return body
