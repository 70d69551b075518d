"""Sizes in memory and on disk: how people write and read them, and those that several modules share."""

import os
import re

DEFAULT_MEMORY = "2GB"  # budget of streamed rows, where none is given
PIECE_BYTES = 4 * 1024 * 1024  # decoded rows that are worked on at a time, beside the memory of the result

UNITS = {"": 1, "B": 1} | {
    f"{letter}{end}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for end, base in (("", 1000), ("B", 1000), ("iB", 1024))
}
_BY_NAME = {name.lower(): size for name, size in UNITS.items()}


def parse_bytes(text: str | int) -> int:
    """Return the bytes of `512MB`, `2 GiB`, `1.5gb` or `1000000`.

    kB, MB, GB and TB are powers of 1000; KiB, MiB, GiB and TiB are powers of 1024.

    Raises
    ------
    ValueError
        If the text is not a size, or the size is less than one byte.
    """
    found = re.fullmatch(r"\s*([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([a-z]*)\s*", str(text).lower())
    size = int(float(found[1]) * _BY_NAME[found[2]]) if found and found[2] in _BY_NAME else 0
    if size < 1:
        raise ValueError(
            f"{text!r} is not a size: expected a number and a unit such as 512MB or 2GiB, or a number of bytes"
        )
    return size


def human_bytes(size: float) -> str:
    """Return a number of bytes as people read it, such as `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def machine_memory() -> int:
    """Return the bytes of memory that this machine has."""
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 1 << 40  # Windows does not say; it refuses what is too much when it is asked for
