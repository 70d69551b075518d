"""Ctrl-C, SIGTERM and SIGHUP end a command alike: one line that says how to go on, and the exit code of the signal."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import click
import pytest
from tests.support.commands import run_command

from kcd_pipeline.signals import ENDING_SIGNALS, EndedBySignalError, raised_as_errors

CODES: dict[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in ENDING_SIGNALS]


def plain(number: int) -> None:
    os.kill(os.getpid(), number)


def turned_into_another_error(number: int) -> None:
    """Do with the signal's exception what an import that it interrupts may do."""
    try:
        plain(number)
    except KeyboardInterrupt as error:
        raise ImportError("numpy could not be imported") from error


@pytest.mark.parametrize("how", [plain, turned_into_another_error])
@pytest.mark.parametrize("number", CODES)
def test_a_command_that_is_asked_to_end(
    monkeypatch: pytest.MonkeyPatch, number: int, how: Callable[[int], None]
) -> None:
    before = handlers()
    monkeypatch.setattr("kcd_pipeline.inspection.inspect", lambda *_, **__: how(number))
    ended = run_command("inspect", "store.zarr")
    assert ended.exit_code == CODES[number]
    assert "What was complete is kept; the same command goes on from there." in ended.stderr
    assert len(ended.output.splitlines()) == 1
    assert handlers() == before


def test_while_the_words_of_the_command_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Group, "parse_args", lambda *_: plain(signal.SIGINT))
    ended = run_command("inspect", "store.zarr")
    assert (ended.exit_code, "Aborted" in ended.output) == (130, False)


EARLY = """
import importlib.abc, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "kcd_pipeline.cli":
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
import kcd_pipeline.__main__
kcd_pipeline.__main__.main()
"""


@pytest.mark.parametrize("number", CODES)
def test_while_the_program_is_still_imported(number: int) -> None:
    ended = subprocess.run([sys.executable, "-c", EARLY.format(number=int(number))], capture_output=True, text=True)
    assert ended.returncode == CODES[number], ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_what_the_process_was_started_to_ignore_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with raised_as_errors() as received:
            plain(signal.SIGHUP)
        assert received == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_forked_process_does_not_end_as_the_command_does() -> None:
    with raised_as_errors() as received:
        child = os.fork()
        if not child:
            try:
                plain(signal.SIGTERM)
            finally:
                os._exit(7)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
    assert received == []


def test_another_thread_changes_nothing() -> None:
    before, seen = handlers(), []

    def work() -> None:
        with raised_as_errors():
            seen.append(handlers())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_the_first_signal_is_the_one_that_counts() -> None:
    with raised_as_errors() as received:
        for number in (signal.SIGTERM, signal.SIGINT):
            with pytest.raises(EndedBySignalError) as caught:
                plain(number)
            assert caught.value.number == number
    assert received == [signal.SIGTERM, signal.SIGINT]
