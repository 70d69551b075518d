"""A torch `Dataset` of (image, label, knowledge row). No other module of kcd_stores needs torch or imports this one.

>>> from kcd_stores.torch_dataset import KnowledgeDataset        # doctest: +SKIP
"""

from collections.abc import Callable, Sized
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import Dataset

from kcd_stores.errors import StoreMismatchError, StoreUsageError
from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.sizes import DEFAULT_MEMORY, human_bytes, parse_bytes
from kcd_stores.streaming.batches import require_view


class KnowledgeDataset(Dataset[tuple[Any, Any, torch.Tensor]]):
    """Data set of `(image, label, row)`: image and label of another data set, and the sample's knowledge row.

    A row is `[C]` float32, of the current view. The whole view is held in shared memory, as it is stored, and each row
    is decoded when it is asked for. All workers of a `DataLoader`, forked or spawned, persistent or not, read the same
    rows, and `set_view` between epochs reaches all of them. A view that is larger than `memory` is refused; for stores
    of any size there is `kcd_stores.batches`.

    Parameters
    ----------
    images
        A data set of (image, label), whose order of samples is that of the store.
    view
        The first view.
    augmentation
        Function that returns the image as the teacher saw it: `augmentation(image, index, view)`. Without it, `images`
        must be as the teacher saw them. Workers that are spawned need one that can be pickled.
    memory
        The memory that a view may take, in bytes or as text such as `512MB`.

    Raises
    ------
    StoreMismatchError
        If the numbers of images and of samples in the store differ.
    StoreUsageError
        If the store has no such view, or the view is larger than `memory`.
    IncompleteStoreError
        If a block of the view was never recorded complete.
    """

    def __init__(
        self,
        images: Dataset[Any],
        store: KnowledgeStore,
        view: int = 0,
        augmentation: Callable[[Any, int, int], Any] | None = None,
        *,
        memory: str | int = DEFAULT_MEMORY,
    ) -> None:
        layout, count = store.layout, len(cast(Sized, images))
        if count != layout.samples:
            raise StoreMismatchError(
                f"the store at {store.location} holds {layout.samples} samples, but the data set has {count} images. "
                f"Use the data set that the store was made from."
            )
        self._packing = store.packing
        taken = layout.samples * self._packing.row_bytes
        if taken > parse_bytes(memory):
            raise StoreUsageError(
                f"one view of the store at {store.location} takes {human_bytes(taken)} in memory, more than the "
                f"{human_bytes(parse_bytes(memory))} that it may. Raise memory, or iterate kcd_stores.batches."
            )
        self._images, self._augmentation = images, augmentation
        self._store: KnowledgeStore | None = store
        require_view(store, view)
        self._rows = _shared(torch.empty((layout.samples, self._packing.row_bytes), dtype=torch.uint8))
        self._view = _shared(torch.full((1,), -1))
        self.set_view(view)

    @property
    def view(self) -> int:
        """The view whose rows are returned."""
        return int(self._view)

    def set_view(self, view: int) -> None:
        """Read another view, for the next epoch. Call it in the main process while no worker is reading.

        Raises
        ------
        StoreUsageError
            If the store has no such view, or this is a worker of a `DataLoader`.
        IncompleteStoreError, CorruptStoreError
            If the view was never finished, or is damaged.
        """
        if self._store is None:
            raise StoreUsageError("set_view is for the main process, not for a worker of a DataLoader")
        require_view(self._store, view)
        if view == self.view:
            return
        self._view[0] = -1  # until all rows are read they are of no view
        self._store.read_packed(view, 0, len(self), out=self._rows.numpy())
        self._view[0] = view

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Any, Any, torch.Tensor]:
        image, label = self._images[index]
        if self._augmentation is not None:
            image = self._augmentation(image, int(index), self.view)
        row = self._packing.decode(self._rows[index].numpy()[None])[0]
        return image, label, torch.from_numpy(np.array(row, np.float32))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_store": None}  # workers need rows, and no open files


def _shared(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.share_memory_()
