"""Settings that hold for every test."""

import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# no deadline: on two cores that other work shares, the time of a single example means nothing
settings.register_profile("kcd", deadline=None, max_examples=60)
settings.load_profile("kcd")

# a program that a shell runs in the background ignores Ctrl-C, and so do its children; tests of Ctrl-C pass there too
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _console_that_speaks() -> Iterator[None]:
    """Let messages be printed again after a test in which this process was a worker or a further rank."""
    yield
    if (progress := sys.modules.get("kcd_pipeline.progress")) is not None:
        progress.console.quiet = False


@pytest.fixture(autouse=True)
def _seeded_torch() -> None:
    """Seed torch before each test that has it loaded, so that its numbers do not depend on the tests before it."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)
