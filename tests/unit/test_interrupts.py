"""Signals that end a command are deferred to the end of a block, and are not lost."""

import os
import signal
import threading

import pytest

from kcd_pipeline.signals import ENDING_SIGNALS, EndedBySignalError, raised_as_errors
from kcd_pipeline.training.interrupts import interrupts_deferred


@pytest.mark.parametrize("number", ENDING_SIGNALS)
def test_a_signal_comes_after_the_block_and_once(number: int) -> None:
    done = []

    def work() -> None:
        with interrupts_deferred():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            done.append("the rest of the block")
        done.append("never")

    with raised_as_errors(), pytest.raises(EndedBySignalError) as caught:
        work()
    assert caught.value.number == number
    assert done == ["the rest of the block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_one_nothing_happens_and_errors_pass() -> None:
    with interrupts_deferred():
        pass
    with pytest.raises(ValueError, match="mine"), interrupts_deferred():
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_thread_has_no_interrupts_to_put_off() -> None:
    seen = []

    def work() -> None:
        with interrupts_deferred():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
