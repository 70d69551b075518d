"""Lines that must finish before an ending signal takes effect, because the code they call does not survive it."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from kcd_pipeline.signals import ENDING_SIGNALS


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Defer ending signals to the end of the block; do nothing outside the main thread, which alone receives them.

    TensorBoard's writer hands events to a thread through a queue. If it is interrupted after it has put an event there
    and before it has woken the thread, closing it waits for ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    deferred: list[tuple[int, FrameType | None]] = []
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    for number, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(number, lambda number, frame: deferred.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        if deferred:
            _deliver(*deferred[0], before[deferred[0][0]])


def _deliver(number: int, frame: FrameType | None, handler: object) -> None:
    """Do with a signal what would have been done with it, had it not been deferred."""
    if callable(handler):
        handler(number, frame)
    else:
        os.kill(os.getpid(), number)
