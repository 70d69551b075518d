"""Stores in a training loop that is not the pipeline's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from kcd_stores import (
    IncompleteStoreError,
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    StoreMismatchError,
    StoreUsageError,
    batches,
    make_encoding,
)
from kcd_stores.torch_dataset import KnowledgeDataset

LAYOUT = Layout(views=3, samples=100, classes=4, block_rows=32, chunk_rows=8)


@pytest.fixture
def store(tmp_path: Path) -> KnowledgeStore:
    """Every logit of sample i in view v is i + 1000 v; the last view is not finished."""
    made = KnowledgeWriter.create(
        tmp_path / "store.zarr", layout=LAYOUT, encoding=make_encoding("float32"), made_from={}
    )
    for view, block in LAYOUT.all_blocks():
        if (view, block) != (2, 3):
            samples = np.array(LAYOUT.rows(block), dtype=np.float32)
            made.write_block(view, block, np.repeat(samples[:, None], 4, axis=1) + 1000 * view, seconds=0)
    return KnowledgeStore.open(tmp_path / "store.zarr")


@pytest.mark.parametrize("memory", ["1MB", 3000])  # whole views; a block shuffle
@pytest.mark.parametrize("kept", [None, np.arange(0, 100, 3)])
def test_batches_are_each_samples_own_rows_once_an_epoch(
    store: KnowledgeStore, memory: str | int, kept: np.ndarray | None
) -> None:
    def epoch_of(number: int) -> list[int]:
        seen: list[int] = []
        for index, rows in batches(store, view=1, batch_size=8, seed=5, epoch=number, kept=kept, memory=memory):
            assert rows.shape == (len(index), 4)
            assert (rows == index[:, None] + 1000).all()
            seen += index.tolist()
        return seen

    first = epoch_of(0)
    assert sorted(first) == (np.arange(100) if kept is None else kept).tolist()
    assert first == epoch_of(0) != epoch_of(1)


def test_a_loop_that_is_left_early_leaves_no_thread(store: KnowledgeStore) -> None:
    import threading

    iterator = batches(store, view=0, batch_size=8, memory=3000)
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]  # a generator
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("block-shuffle")]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"view": 3}, "has views 0 to 2, not 3"),
        ({"view": -1}, "has views 0 to 2, not -1"),
        ({"memory": "10"}, "memory budget is 10 B"),
        ({"memory": "much"}, "is not a size"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"kept": np.array([3, 2])}, "kept must be ascending"),
        ({"kept": np.array([100])}, "kept must be ascending"),
    ],
)
def test_wrong_arguments_are_refused_before_the_first_batch(
    store: KnowledgeStore, wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises(StoreUsageError, match=says):
        batches(store, **({"view": 0, "batch_size": 8} | wrong))


def test_an_unfinished_view_is_refused(store: KnowledgeStore) -> None:
    with pytest.raises(IncompleteStoreError, match=r"view 2 .* 3 of 4 blocks"):
        batches(store, view=2, batch_size=8)
    with pytest.raises(IncompleteStoreError):
        KnowledgeDataset(pictures(), store, 2)


# --- torch ---------------------------------------------------------------------------------------------------


def pictures() -> Dataset[Any]:
    """Image i is one pixel of i, its label is i mod 7."""
    index = torch.arange(100)
    return TensorDataset(index.float().view(100, 1, 1, 1), index % 7)


def brighter(image: torch.Tensor, index: int, view: int) -> torch.Tensor:
    """Return an image that tells which sample and view this was called for, as a stand-in for an augmentation."""
    return image + 0.5 * view + index


@pytest.mark.parametrize("workers", [None, "fork", "spawn"])
def test_a_dataset_gives_image_label_and_row_with_any_workers(store: KnowledgeStore, workers: str | None) -> None:
    dataset = KnowledgeDataset(pictures(), store, view=0, augmentation=brighter)
    assert len(dataset) == 100
    loader = DataLoader(
        dataset,
        batch_size=16,
        shuffle=True,
        num_workers=2 if workers else 0,
        multiprocessing_context=workers,
        persistent_workers=bool(workers),
    )
    for view in (0, 1, 1, 0):
        dataset.set_view(view)
        seen = []
        for image, label, rows in loader:
            assert rows.dtype == torch.float32
            index = rows[:, 0] - 1000 * view
            assert torch.equal(rows, (index + 1000 * view)[:, None].expand(-1, 4))
            assert torch.equal(image.flatten(), 2 * index + 0.5 * view)
            assert torch.equal(label, index.long() % 7)
            seen += index.tolist()
        assert sorted(seen) == list(range(100))


def test_without_an_augmentation_images_come_as_they_are(store: KnowledgeStore) -> None:
    image, label, row = KnowledgeDataset(pictures(), store, 1)[42]
    assert (image.item(), int(label), row.tolist()) == (42, 0, [1042.0] * 4)


def test_another_data_set_and_a_view_too_large_are_refused(store: KnowledgeStore) -> None:
    with pytest.raises(StoreMismatchError, match="holds 100 samples, but the data set has 3 images"):
        KnowledgeDataset(TensorDataset(torch.zeros(3), torch.zeros(3)), store)
    with pytest.raises(StoreUsageError, match=r"takes 1\.6 kB in memory, more than the 1\.0 kB"):
        KnowledgeDataset(pictures(), store, memory="1kB")
