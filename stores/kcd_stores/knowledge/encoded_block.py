"""One block while it is made: its rows are encoded piece by piece, so that their float32 numbers are never held whole.

A block of a sparse encoding may stand for a thousand times as many bytes of logits as it has itself.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings import Encoding
from kcd_stores.errors import OutOfRangeError


class EncodedBlock:
    """The encoded rows of one block, which `add` collects in order; `KnowledgeWriter.begin_block` makes it.

    Attributes
    ----------
    view, block
        The place of the block.
    samples
        Its samples.
    """

    def __init__(self, encoding: Encoding, *, view: int, block: int, samples: range, columns: int) -> None:
        self.view, self.block, self.samples = view, block, samples
        self._encoding, self._columns = encoding, columns
        self._pieces: list[dict[str, NDArray[Any]]] = []
        self._added = 0

    @property
    def full(self) -> bool:
        """True once all rows of the block were added."""
        return self._added == len(self.samples)

    def add(self, rows: NDArray[np.float32]) -> None:
        """Encode the next `rows[n, C]` (`[n, C + D]` with features) float32 of the block.

        Raises
        ------
        ValueError
            If the shape does not fit the rest of the block, or a number is not finite or does not fit the encoding.
        """
        left = len(self.samples) - self._added
        if rows.ndim != 2 or rows.shape[1] != self._columns or not 0 < len(rows) <= left:
            behind = f" behind {self._added} others" if self._added else ""
            raise ValueError(f"{self._wanted()}, got {rows.shape}{behind}")
        if not np.isfinite(rows).all():
            raise ValueError(f"block ({self.view}, {self.block}) holds a number that is not finite")
        first = self.samples.start + self._added
        try:
            self._pieces.append(self._encoding.encode(rows, view=self.view, first=first))
        except OutOfRangeError as error:
            if not self._added:
                raise
            raise OutOfRangeError(f"in the rows from sample {first} on, {error}") from error
        self._added += len(rows)

    def parts(self) -> dict[str, NDArray[Any]]:
        """Return the elements `[n, *row_shape]` of each array, by its name; ValueError is raised if rows lack."""
        if not self.full:
            raise ValueError(f"{self._wanted()}, got {(self._added, self._columns)}")
        if len(self._pieces) == 1:
            return self._pieces[0]
        return {name: np.concatenate([piece[name] for piece in self._pieces]) for name in self._pieces[0]}

    def _wanted(self) -> str:
        return f"block ({self.view}, {self.block}) takes rows of shape {(len(self.samples), self._columns)}"
