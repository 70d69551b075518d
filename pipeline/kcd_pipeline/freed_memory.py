"""Memory that was freed: kept for the next layers of a model, or given back to the system (where there is glibc).

By default glibc fetches every block above 32 MiB from the system and gives it back when it is freed, and the system
clears each page that is touched for the first time. A teacher on images of 224 x 224 pixels can spend half of its CPU
seconds on that, and a student that is trained on them a third, for the activations of the first layers are so large.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

# of mallopt, from glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
# what glibc begins with and, of the two thresholds, what it raises them to by itself
MMAP_MAX, MMAP_THRESHOLD, TRIM_THRESHOLD = 65_536, 32 * 2**20, 64 * 2**20
LARGEST = 2**31 - 1

_lock = Lock()
_users = 0  # of the block below, in any thread


@contextmanager
def memory_is_kept() -> Iterator[None]:
    """Keep freed memory for the next use while the block lasts; give it back to the system at its end."""
    library = _glibc()
    if library is None:
        yield
        return
    _count(library, 1)
    try:
        yield
    finally:
        _count(library, -1)


def _count(library: ctypes.CDLL, change: int) -> None:
    """Count one user more or less, and let the first one switch the library over and the last one switch it back."""
    global _users
    with _lock:
        before, _users = _users, _users + change
        if not before:
            library.mallopt(M_MMAP_MAX, 0)
            library.mallopt(M_TRIM_THRESHOLD, LARGEST)
        elif not _users:
            library.mallopt(M_MMAP_MAX, MMAP_MAX)
            library.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
            library.mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)
            library.malloc_trim(0)


def give_back_freed_memory() -> None:
    """Give memory that is not in use back to the system, as is wise before a fork.

    Of memory that a process shares with one that was forked from it, the system copies each page at the first write: of
    a gigabyte in which activations lay that takes three seconds, and the other process holds the old pages.
    """
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """Return the C library of this process if it is glibc, whose allocator has these settings."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt") else None
