"""Blosc buffers are checked before they are decoded: sound ones give what was packed, all others the caller's error."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import blosc
from numpy.typing import NDArray

from kcd_stores.checked_blosc import HEADER, decompress_blosc, require_sound_blosc


class WrongError(Exception):
    """The error that the caller asks for."""


def packed(count: int, dtype: str, codec: str = "lz4", block: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.generic]]:
    numbers = np.random.default_rng(0).integers(0, 30, count).astype(dtype)
    return np.frombuffer(blosc.compress(numbers, codec.encode(), 5, blosc.SHUFFLE, block), np.uint8).copy(), numbers


def put(body: NDArray[np.uint8], at: int, number: int) -> NDArray[np.uint8]:
    """Write a 4-byte number into a copy of a buffer."""
    body = body.copy()
    body[at : at + 4] = np.frombuffer(np.array(number, "<u4").tobytes(), np.uint8)
    return body


@pytest.mark.parametrize("codec", blosc.list_compressors())
@pytest.mark.parametrize("dtype", ["u1", "f2", "f4", "f8"])
@pytest.mark.parametrize("count", [1, 40, 999, 300_000])
def test_a_sound_buffer_gives_what_was_packed(codec: str, dtype: str, count: int) -> None:
    body, numbers = packed(count, dtype, codec)
    out = np.empty_like(numbers)
    decompress_blosc(body, out, WrongError())
    np.testing.assert_array_equal(out, numbers)


def test_what_blosc_did_not_compress_is_read_too() -> None:
    numbers = np.random.default_rng(0).integers(0, 256, 4000).astype(np.uint8)
    body = np.frombuffer(blosc.compress(numbers, b"zstd", 1, blosc.NOSHUFFLE), np.uint8)
    assert len(body) == HEADER.size + 4000, "stored as it is"
    out = np.empty_like(numbers)
    decompress_blosc(body, out, WrongError())
    np.testing.assert_array_equal(out, numbers)
    with pytest.raises(WrongError):
        require_sound_blosc(put(body, 4, 3999), 3999, WrongError())


SEVERAL_BLOCKS = packed(300_000, "i4")[0]
STARTS = HEADER.size
FIRST_STREAM = int(SEVERAL_BLOCKS[STARTS : STARTS + 4].view("<u4")[0])
ONE_BLOCK = packed(2_000, "f4", "zstd", 8_000)[0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (put(ONE_BLOCK, 4, 10**9), 8_000),  # a size that is not the expected one
        (put(ONE_BLOCK, 4, 10**9), 10**9),  # that is expected, and makes more blocks than there are
        (put(ONE_BLOCK, 8, 0), 8_000),
        (put(ONE_BLOCK, 8, 8_001), 8_000),
        (put(ONE_BLOCK, 8, 1), 8_000),
        (put(ONE_BLOCK, 8, 2**32 - 1), 8_000),
        (put(ONE_BLOCK, 12, len(ONE_BLOCK) + 1), 8_000),
        (put(ONE_BLOCK, 12, 2**31), 8_000),
        (put(ONE_BLOCK, STARTS, len(ONE_BLOCK)), 8_000),
        (put(ONE_BLOCK, STARTS, len(ONE_BLOCK) - 3), 8_000),
        (put(ONE_BLOCK, STARTS, 4), 8_000),
        (put(ONE_BLOCK, STARTS, 2**32 - 8), 8_000),  # negative
        (put(ONE_BLOCK, STARTS + 4, len(ONE_BLOCK)), 8_000),
        (put(ONE_BLOCK, STARTS + 4, 2**32 - 1), 8_000),
        (put(SEVERAL_BLOCKS, STARTS + 4, len(SEVERAL_BLOCKS)), 1_200_000),
        (put(SEVERAL_BLOCKS, FIRST_STREAM, 2**31 - 1), 1_200_000),
        (ONE_BLOCK[:-1], 8_000),
        (ONE_BLOCK[: HEADER.size], 8_000),
        (ONE_BLOCK[:3], 8_000),
        (ONE_BLOCK[:0], 8_000),
    ],
)
def test_lengths_that_lie_are_found_before_anything_is_decoded(body: NDArray[np.uint8], expected: int) -> None:
    with pytest.raises(WrongError):
        require_sound_blosc(body, expected, WrongError())


@pytest.mark.parametrize(("at", "byte"), [(0, 1), (0, 3), (2, 0xE1), (2, 0x29), (3, 0)])
def test_a_header_of_another_kind_is_refused(at: int, byte: int) -> None:
    body = ONE_BLOCK.copy()
    body[at] = byte
    with pytest.raises(WrongError):
        decompress_blosc(body, np.empty(2_000, np.float32), WrongError())


@given(st.lists(st.tuples(st.integers(0, len(ONE_BLOCK) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_whatever_bytes_are_changed_the_end_is_the_callers_error_or_numbers(changes: list[tuple[int, int]]) -> None:
    body, guarded = ONE_BLOCK.copy(), np.full(2_200, 7, np.float32)
    for at, byte in changes:
        body[at] = byte
    with contextlib.suppress(WrongError):
        decompress_blosc(body, guarded[100:-100], WrongError())
    assert (guarded[:100] == 7).all(), "nothing is written outside"
    assert (guarded[-100:] == 7).all()


@given(st.binary(max_size=80))
def test_no_bytes_at_all_are_decoded_blindly(data: bytes) -> None:
    with contextlib.suppress(WrongError):
        decompress_blosc(np.frombuffer(data, np.uint8), np.empty(64, np.uint8), WrongError())
