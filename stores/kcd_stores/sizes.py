"""Sizes in memory and on disk, as people write and read them."""

import re

DEFAULT_MEMORY = "2GB"  # what streamed rows may take where nobody says

UNITS = {"": 1, "B": 1} | {
    f"{letter}{end}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for end, base in (("", 1000), ("B", 1000), ("iB", 1024))
}
_BY_NAME = {name.lower(): size for name, size in UNITS.items()}


def parse_bytes(text: str | int) -> int:
    """Bytes in `512MB`, `2 GiB`, `1.5gb` or `1000000`: kB, MB, GB, TB are powers of 1000, KiB, MiB, ... of 1024.

    Raises
    ------
    ValueError
        If that is no size, or less than one byte.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(text).lower())
    size = int(float(found[1]) * _BY_NAME[found[2]]) if found and found[2] in _BY_NAME else 0
    if size < 1:
        raise ValueError(f"{text!r} is no size: expected a number and a unit, such as 512MB, 2GiB, or bytes")
    return size


def human_bytes(size: float) -> str:
    """Such as `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
