"""Lines that must finish before Ctrl-C takes effect, because the code they call does not survive an interrupt."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Defer SIGINT to the end of the block; do nothing outside the main thread, which alone receives it.

    TensorBoard's writer hands events to a thread through a queue. If it is interrupted after it has put an event there
    and before it has woken the thread, closing it waits for ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    deferred: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: deferred.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if deferred and callable(before):
            before(*deferred[0])
