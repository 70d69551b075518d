"""A torch `Dataset` of (image, label, knowledge row); the only module here that needs torch, imported by nothing else.

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
    """`(image, label)` of another data set, and the knowledge row `[C]` float32 of the sample's current view.

    One whole view lies in shared memory: all workers of a `DataLoader`, forked or spawned, persistent or not, read the
    same rows, and `set_view` between epochs reaches them all. A view that is larger than `memory` is refused: for
    stores of any size there is `kcd_stores.batches`.

    Parameters
    ----------
    images
        A data set of (image, label) in the store's own order of samples.
    view
        The view to begin with.
    augmentation
        `augmentation(image, index, view)`: the image as the teacher saw it in that view. Without one, images must
        come as they were taught. To be spawned, it must be picklable.
    memory
        What a view may take, in bytes or such as `512MB`.

    Raises
    ------
    StoreMismatchError
        If there are more or fewer images than samples in the store.
    StoreUsageError
        If the view is not there, not complete, or larger than `memory`.
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
        taken = layout.samples * store.row_bytes
        if taken > parse_bytes(memory):
            raise StoreUsageError(
                f"one view of the store at {store.location} takes {human_bytes(taken)} in memory, more than the "
                f"{human_bytes(parse_bytes(memory))} that it may. Raise memory, or iterate kcd_stores.batches."
            )
        self._images, self._augmentation = images, augmentation
        self._store: KnowledgeStore | None = store
        require_view(store, view)
        dtype = torch.from_numpy(np.empty(0, store.dtype)).dtype
        self._rows = _shared(torch.empty((layout.samples, store.columns), dtype=dtype))
        self._view = _shared(torch.full((1,), -1))
        self.set_view(view)

    @property
    def view(self) -> int:
        """The view that rows are of."""
        return int(self._view)

    def set_view(self, view: int) -> None:
        """Read another view, for the next epoch; in the main process, while no worker is at work on an epoch."""
        if self._store is None:
            raise StoreUsageError("set_view is for the main process, not for a worker of a DataLoader")
        require_view(self._store, view)
        if view == self.view:
            return
        self._view[0] = -1  # half of one view and half of another are neither
        self._store.read_rows(view, 0, len(self), out=self._rows.numpy())
        self._view[0] = view

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Any, Any, torch.Tensor]:
        image, label = self._images[index]
        if self._augmentation is not None:
            image = self._augmentation(image, int(index), self.view)
        return image, label, self._rows[index].float()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_store": None}  # workers need the rows, not the files


def _shared(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.share_memory_()
