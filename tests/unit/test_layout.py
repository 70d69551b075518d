"""The division of stores of real sizes into blocks and chunks."""

from typing import Any

import pytest

from kcd_stores import Layout, choose_layout

SIZES = [
    # N, C, bytes an element: digits, CIFAR-100 twice, ImageNet, 100M images of 20,000 classes
    (1_437, 10, 2),
    (50_000, 100, 2),
    (50_000, 100, 4),
    (1_281_167, 1_000, 2),
    (100_000_000, 20_000, 2),
]


@pytest.mark.parametrize(("samples", "classes", "itemsize"), SIZES)
def test_blocks_cover_every_sample_once(samples: int, classes: int, itemsize: int) -> None:
    layout = choose_layout(views=1, samples=samples, classes=classes, row_bytes=classes * itemsize)
    edges = [layout.rows(block) for block in (0, layout.blocks - 1)]
    assert edges[0].start == 0
    assert edges[1].stop == samples
    assert (layout.blocks - 1) * layout.block_rows < samples <= layout.blocks * layout.block_rows


@pytest.mark.parametrize(("samples", "classes", "itemsize"), SIZES)
def test_chunks_divide_blocks_and_have_a_sensible_size(samples: int, classes: int, itemsize: int) -> None:
    layout = choose_layout(views=1, samples=samples, classes=classes, row_bytes=classes * itemsize)
    assert layout.block_rows % layout.chunk_rows == 0
    assert layout.chunk_rows * classes * itemsize < 1_000_000
    assert layout.block_rows * classes * 4 <= 256 * 1024 * 1024


def test_files_stay_in_the_tens_a_view_at_imagenet_size() -> None:
    assert 16 <= choose_layout(views=1, samples=1_281_167, classes=1_000, row_bytes=2_000).blocks < 100


@pytest.mark.parametrize("row_bytes", [36, 100, 400])  # topk(8), sample(50), topk(98)
def test_a_sparse_view_of_100_million_samples_has_few_files_and_chunks_that_are_cheap_to_read(row_bytes: int) -> None:
    layout = choose_layout(views=1, samples=100_000_000, classes=20_000, row_bytes=row_bytes)
    assert 16e6 < layout.block_rows * row_bytes <= 32 * 1024 * 1024
    assert layout.objects(3) < 5_000
    assert layout.chunk_rows == 2_048 or layout.chunk_rows * row_bytes >= 500_000
    assert layout.chunk_rows * 20_000 * 4 <= 256 * 1024 * 1024


def test_a_block_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="a block has at most 17,179,869,184 bytes, not 80,000,000,000"):
        choose_layout(views=1, samples=10**8, classes=20_000, row_bytes=80_000, block_rows=10**6)


def test_a_block_size_of_ones_own_is_kept() -> None:
    layout = choose_layout(views=1, samples=1000, classes=10, row_bytes=40, block_rows=96)
    assert layout.block_rows == 96
    assert 96 % layout.chunk_rows == 0


@pytest.mark.parametrize("change", [{"views": 0}, {"block_rows": 0}, {"chunk_rows": 3}])
def test_a_layout_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least 1|not whole chunks"):
        Layout(**({"views": 1, "samples": 8, "classes": 2, "block_rows": 4, "chunk_rows": 2} | change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"views": 10**8}, "at most 65,536 views, not 100,000,000"),
        ({"views": 65_536, "samples": 10**9}, "at most 4,194,304 blocks in all views"),
        ({"samples": 10**40}, "at most 4,194,304 blocks in all views"),
        ({"block_rows": 2**40}, "at most 4,294,967,296 rows in a block"),
        ({"classes": 2**40}, "at most 17,179,869,184 bytes of float32 in a chunk"),
    ],
)
def test_a_layout_that_no_machine_holds_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Layout(**({"views": 1, "samples": 8, "classes": 2, "block_rows": 4, "chunk_rows": 2} | change))
