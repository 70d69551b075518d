"""A bound on the pixels that are decoded at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class PixelBudget:
    """Lets threads decode pictures at once as long as all of them together have at most `total` pixels.

    A picture that is larger than that is decoded alone.
    """

    def __init__(self, total: int) -> None:
        self._total = self._left = total
        self._freed = Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Wait until `pixels` fit, and keep them until the block ends."""
        pixels = min(pixels, self._total)
        with self._freed:
            self._freed.wait_for(lambda: self._left >= pixels)
            self._left -= pixels
        try:
            yield
        finally:
            with self._freed:
                self._left += pixels
                self._freed.notify_all()
