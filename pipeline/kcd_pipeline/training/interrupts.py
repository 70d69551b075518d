"""A few lines that Ctrl-C waits for, because what they call does not survive it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Put off SIGINT to the end of the block; outside the main thread, where none arrives, do nothing.

    tensorboard's writer hands events to a thread through a queue: interrupted between putting one there and waking the
    thread, it waits for ever when it is closed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held and callable(before):
            before(*held[0])
