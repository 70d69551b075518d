"""Memory that is freed is kept while a teacher computes, and given back afterwards."""

import resource
import sys
from pathlib import Path

import numpy as np
import pytest

from kcd_pipeline.freed_memory import give_back_freed_memory, memory_is_kept

LARGE = 48 * 2**20  # bytes, which glibc would fetch from the system each time
PAGE = resource.getpagesize()

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the settings are glibc's")


def faults_of_use() -> int:
    """Return how many pages the system had to provide for memory that is written to and freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(LARGE, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_freed_memory_is_used_again_within_the_block() -> None:
    with memory_is_kept():
        with memory_is_kept():
            faults_of_use()
        assert faults_of_use() < LARGE / PAGE / 100  # the inner block's end changes nothing
        assert faults_of_use() < LARGE / PAGE / 100


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def test_memory_is_given_back_at_the_end() -> None:
    with memory_is_kept():
        faults_of_use()
        within = resident()
    assert within - resident() > LARGE / 2


def test_memory_is_given_back_before_a_fork() -> None:
    with memory_is_kept():
        faults_of_use()
        within = resident()
        give_back_freed_memory()
        assert within - resident() > LARGE / 2
