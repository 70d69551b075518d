"""Signals that ask a command to end: Ctrl-C, a scheduler's or a container's SIGTERM, a lost terminal's SIGHUP.

All of them end it in the same way: by an exception in the main thread, on whose way files are closed and locks freed.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP
ENDS_WITH_INPUT = "KCD_ENDS_WITH_INPUT"  # variable: the process that starts this one holds the other end of its input
PATIENCE_SECONDS = 60  # for an end by the exception, after which the process ends all the same
FIRST_WORDS = {"SIGINT": "Interrupted", "SIGTERM": "Terminated (SIGTERM)", "SIGHUP": "Hung up (SIGHUP)"}


class EndedBySignalError(KeyboardInterrupt):
    """The process was asked to end by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_code(number: int) -> int:
    """Return the exit code of a program that ended because of the signal `number`, as shells count."""
    return 128 + number


def first_words(number: int) -> str:
    """Return the beginning of the message about an end by the signal `number`."""
    return FIRST_WORDS[signal.Signals(number).name]


@contextmanager
def raised_as_errors() -> Iterator[list[int]]:
    """Raise `EndedBySignalError` for an ending signal; yield the list of those that came.

    The list tells an end by a signal even where the exception was turned into another one on its way, as happens in the
    middle of an import. What the process was started to ignore, it goes on to ignore: a shell's `nohup` and `&` rely on
    that. Outside the main thread, which alone receives signals, nothing changes.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked process, such as one that decodes pictures
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        received.append(number)
        raise EndedBySignalError(number)

    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, end)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_at_once() -> None:
    """Let an ending signal end the process with one line: nothing was begun, so there is nothing to close."""

    def leave(number: int, frame: FrameType | None) -> None:
        os.write(2, f"{first_words(number)}.\n".encode())
        os._exit(exit_code(number))

    for number in ENDING_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


def end_with_input() -> None:
    """End this process as SIGTERM does once its standard input ends.

    The other end of the input is held by the process that started this one, so that however that one dies, on any
    system, this one follows.
    """

    def follow() -> None:
        while os.read(0, 1024):  # not sys.stdin, whose lock an interpreter that shuts down would wait for
            pass
        main = threading.main_thread().ident
        if hasattr(signal, "pthread_kill") and main is not None:
            signal.pthread_kill(main, signal.SIGTERM)  # to the main thread, so that what it waits for is interrupted
        else:
            signal.raise_signal(signal.SIGTERM)
        time.sleep(PATIENCE_SECONDS)
        os._exit(exit_code(signal.SIGTERM))

    threading.Thread(target=follow, daemon=True).start()
