"""Several stores of the same views of the same samples, read as one: each row is the blend of theirs.

A student that is taught by several teachers learns from their mean. The teachers' stores stay as they are, each made by
itself; rows are blended while they are read, in the background of the training.

Letters: K stores, V views, N samples, B blocks in a view, C classes, n rows of a piece, T temperature.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings import Packing, make_encoding
from kcd_stores.errors import StoreMismatchError, StoreUsageError
from kcd_stores.knowledge.layout import Layout
from kcd_stores.knowledge.store import KnowledgeStore
from kcd_stores.sizes import PIECE_BYTES

Blend = Literal["probabilities", "logits"]
BLENDS: tuple[Blend, ...] = ("probabilities", "logits")
CACHED_BYTES = 128 * 1024  # float32 logits that are blended at a time: what a core's own cache holds
SMALLEST = np.finfo(np.float32).tiny  # a smaller probability would become 0, whose logarithm is no logit


class BlendedStores:
    """A `RowSource` of K stores: row (i, v) is the blend of their rows (i, v), C logits in float32, of mean 0.

    With weights w that are divided by their sum, and logits z_k of store k:

    - `probabilities`: logits whose softmax at T is the weighted mean of the softmaxes at T,
      `z = T log(sum_k w_k softmax(z_k / T))` plus a constant. This is the target of You et al., "Learning from multiple
      teacher networks" (KDD 2017), and the arithmetic mean of an ensemble in Hinton et al., "Distilling the knowledge
      in a neural network" (2015).
    - `logits`: the weighted mean of the centred logits, `z = sum_k w_k (z_k - mean(z_k))`: the geometric mean of the
      distributions, which is Hinton's other mean of an ensemble. It does not depend on T.

    A probability below 1.2e-38, which float32 does not hold, counts as that.

    Parameters
    ----------
    stores
        Two or more stores, opened without features.
    weights
        K positive numbers.
    blend
        The space in which rows are blended.
    temperature
        T; `logits` does not use it.

    Raises
    ------
    StoreMismatchError
        If the stores differ in samples or classes; the message names both sides.
    StoreUsageError
        If there are less than two stores, weights or temperature are not positive, a store's rows have features, or
        logits are blended of a store that holds draws of classes.

    Examples
    --------
    >>> both = BlendedStores([first, second], weights=[2, 1], temperature=4)        # doctest: +SKIP
    >>> for index, rows in kcd_stores.batches(both, view=0, batch_size=64):         # doctest: +SKIP
    ...     ...
    """

    def __init__(
        self,
        stores: Sequence[KnowledgeStore],
        *,
        weights: Sequence[float],
        blend: Blend = "probabilities",
        temperature: float = 1.0,
    ) -> None:
        _require_usable(stores, weights, blend, temperature)
        self.stores = tuple(stores)
        self._shares = np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64)
        self._blend, self._temperature = blend, np.float32(temperature)
        # the largest chunks decide how the view is cut, so that no store decodes a chunk for a part of it
        widest = max(self.stores, key=lambda store: store.layout.chunk_rows).layout
        self.layout = Layout(
            views=min(store.layout.views for store in self.stores),
            samples=widest.samples,
            classes=widest.classes,
            block_rows=widest.block_rows,
            chunk_rows=widest.chunk_rows,
        )
        self.packing = Packing(encoding=make_encoding("float32"), classes=widest.classes)  # of blended rows

    @property
    def location(self) -> str:
        """The places of all stores."""
        return " and ".join(str(store.location) for store in self.stores)

    @property
    def columns(self) -> int:
        """C."""
        return self.packing.columns

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32, whatever the stores hold."""
        return self.packing.dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of one row in memory."""
        return self.packing.row_bytes

    @property
    def concurrent_reads(self) -> int:
        """The reads that are worth making at once: those of the store that wants most."""
        return max(store.concurrent_reads for store in self.stores)

    @property
    def bytes_read(self) -> int:
        """Bytes that were read from all stores."""
        return sum(store.bytes_read for store in self.stores)

    def complete(self) -> NDArray[np.bool_]:
        """Return `[V, B]` bool: True for each block whose rows are complete in every store."""
        views, blocks = self.layout.views, [self.layout.rows(block) for block in range(self.layout.blocks)]
        found = np.ones((views, len(blocks)), dtype=bool)
        for store in self.stores:
            of_store, rows = store.complete()[:views], store.layout.block_rows
            for block, span in enumerate(blocks):
                found[:, block] &= of_store[:, span.start // rows : (span.stop - 1) // rows + 1].all(axis=1)
        return found

    def read_rows(self, view: int, start: int, stop: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Read and blend rows `[start, stop)` of one view, `[stop - start, C]` float32, into `out` if it is given.

        Raises
        ------
        IncompleteStoreError, CorruptStoreError, StoreReplacedError
            As `KnowledgeStore.read_rows` does, for the store that is damaged.
        IndexError
            If a store has no such view or rows.
        ValueError
            If `out` is not of that shape and dtype.
        """
        wanted = (stop - start, self.columns)
        rows = np.empty(wanted, self.dtype) if out is None else out
        if rows.shape != wanted or rows.dtype != self.dtype:
            raise ValueError(f"rows go into an array of {wanted} {self.dtype}, got {rows.shape} {rows.dtype}")
        for first in range(start, stop, step := max(PIECE_BYTES // self.row_bytes, 1)):
            piece = rows[first - start : first - start + step]
            self._read_piece(view, first, piece)
        return rows

    def read_packed(self, view: int, start: int, stop: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Read and blend rows as `read_rows` does, and return them as bytes, `[stop - start, W]`."""
        rows = None if out is None else out.view(self.dtype)
        return self.read_rows(view, start, stop, rows).view(np.uint8)

    def _read_piece(self, view: int, first: int, piece: NDArray[np.float32]) -> None:
        """Fill `piece[n, C]` with the blended rows from sample `first` on."""
        step = max(CACHED_BYTES // self.row_bytes, 1)
        parts = [slice(start, start + step) for start in range(0, len(piece), step)]
        temperature = self._temperature if self._blend == "probabilities" else None
        piece[...] = 0
        for store, share in zip(self.stores, self._shares.tolist(), strict=True):
            stored = store.read_rows(view, first, first + len(piece))
            for part in parts:
                piece[part] += _weighted(stored[part].astype(np.float32), share, temperature)
        for part in parts:
            _make_logits(piece[part], temperature)


def _weighted(logits: NDArray[np.float32], share: float, temperature: np.float32 | None) -> NDArray[np.float32]:
    """Return `logits[n, C]` centred, or with a temperature their softmax at it, times `share`; overwrites `logits`."""
    if temperature is None:
        logits -= logits.mean(axis=1, keepdims=True)
        logits *= np.float32(share)
        return logits
    logits -= logits.max(axis=1, keepdims=True)
    logits /= temperature
    np.exp(logits, out=logits)
    logits *= np.float32(share) / logits.sum(axis=1, keepdims=True)
    return logits


def _make_logits(blend: NDArray[np.float32], temperature: np.float32 | None) -> None:
    """Turn the sum of weighted rows `blend[n, C]` into logits of mean 0, in place."""
    if temperature is not None:
        np.maximum(blend, SMALLEST, out=blend)
        np.log(blend, out=blend)
        blend *= temperature
    blend -= blend.mean(axis=1, keepdims=True)


def _require_usable(stores: Sequence[KnowledgeStore], weights: Sequence[float], blend: str, temperature: float) -> None:
    if len(stores) < 2 or len(stores) != len(weights):
        raise StoreUsageError(f"two or more stores are blended, each with a weight: got {len(stores)}, {len(weights)}")
    if not all(0 < weight < float("inf") for weight in weights) or not 0 < temperature < float("inf"):
        raise StoreUsageError(f"weights and temperature must be positive, got {list(weights)} and {temperature}")
    if blend not in BLENDS:
        raise StoreUsageError(f"stores are blended as {' or '.join(BLENDS)}, not as {blend!r}")
    first = stores[0]
    for store in stores:
        if store.encoding.feature_columns:
            raise StoreUsageError(
                f"the store at {store.location} was opened with features. Those of different teachers mean different "
                f"things, so only logits are blended: open it without."
            )
        if blend == "logits" and store.encoding.name == "sample":
            raise StoreUsageError(
                f"the store at {store.location} holds draws of classes (encoding sample), whose shares estimate "
                f"probabilities and have no logits for what was never drawn. Blend probabilities instead."
            )
        for name in ("samples", "classes"):
            mine, theirs = getattr(first.layout, name), getattr(store.layout, name)
            if mine != theirs:
                raise StoreMismatchError(
                    f"stores are blended sample by sample, but the one at {first.location} has {mine:,} {name} and the "
                    f"one at {store.location} has {theirs:,}. Give stores of the same data set."
                )
