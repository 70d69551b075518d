"""Commands of kcd-pipeline as processes of their own, which end when the process that started them does."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kcd_pipeline.signals import ENDS_WITH_INPUT

LAST_LINES = 60  # of the messages of a command that are kept in memory: a log may be on a full disk
PATIENCE_SECONDS = 90.0  # that a command may take to end by itself; longer than it waits for its own end
MESSAGE = re.compile(r"(Error|Failed|Usage|Interrupted|Terminated|Hung up)\b")  # beginnings of a last message


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The end of a command.

    Attributes
    ----------
    code
        Its exit code; -N if the signal N killed it.
    line
        Its last message, in one line.
    """

    code: int
    line: str

    @classmethod
    def of(cls, code: int, lines: Sequence[str]) -> Self:
        """Return the end with `code` of a command whose last lines are `lines`."""
        said = [line.strip() for line in lines if line.strip()]
        begun = [number for number, line in enumerate(said) if MESSAGE.match(line)]
        message = " ".join(said[begun[-1] :] if begun and code else said[-1:])
        if code < 0:
            message = f"killed by {_signal_name(-code)}, most often for a lack of memory. {message}".strip()
        return cls(code=code, line=message or f"it ended with exit code {code} and no message")


class Command:
    """A command that is running.

    Parameters
    ----------
    words
        The command and its arguments, such as `["distill", "digits"]`.
    folder
        The folder that it runs in.
    log
        File that its messages are added to; None lets it speak on standard error, where it may draw its bar.
    variables
        Environment variables that it finds beside those of this process.
    when_ended
        Called, by another thread, once it has ended.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        folder: Path,
        log: Path | None,
        variables: Mapping[str, str] | None = None,
        when_ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._log, self._when_ended = log, when_ended
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self.ended: Ended | None = None
        self._process = subprocess.Popen(
            # -P: a file of the working folder must not be imported for a module of Python's own
            [sys.executable, "-P", "-m", "kcd_pipeline", *words],
            cwd=folder,
            env={**os.environ, **(variables or {}), ENDS_WITH_INPUT: "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if log else sys.__stderr__,
            stderr=subprocess.STDOUT if log else None,
            start_new_session=True,  # Ctrl-C is for this process, which stops its commands itself
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def ask_to_end(self) -> None:
        """Ask the command to end as SIGTERM would: it keeps what is complete."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def wait(self, seconds: float | None = None) -> Ended | None:
        """Wait until it has ended, at most so many seconds; return its end, or None if it goes on."""
        self._watcher.join(seconds)
        return self.ended

    def stop(self) -> None:
        """Ask the command to end, and kill it if it does not."""
        self.ask_to_end()
        if self.wait(PATIENCE_SECONDS) is None:
            self._process.kill()
            self.wait()

    def _watch(self) -> None:
        """Keep the last lines and write the log, until the command ends."""
        if self._process.stdout is not None:
            self._keep_messages()
        code = self._process.wait()
        self.ask_to_end()  # closes this end of its input
        self.ended = Ended.of(code, self._lines)
        self._when_ended()

    def _keep_messages(self) -> None:
        assert self._process.stdout is not None
        assert self._log is not None
        with self._process.stdout as messages:
            for line in messages:
                self._lines.append(line.decode(errors="replace"))
                with suppress(OSError), self._log.open("ab") as log:  # a full disk is reported by what the command says
                    log.write(line)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
