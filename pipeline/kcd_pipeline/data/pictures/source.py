"""The contract of what holds the pictures of a split: folders of files, a table, an archive.

Letters: N samples, K chosen samples.
"""

from pathlib import Path
from typing import BinaryIO, Protocol, Self

import numpy as np
from numpy.typing import NDArray

PictureFile = Path | BinaryIO  # an encoded picture, as Pillow opens it


class PictureSource(Protocol):
    """Encoded pictures of one split, in order and with their labels.

    Equal pictures, labels and classes in the same order are the same data, whatever kind of source they are kept in.
    A source is handed to the processes that decode: it must be picklable, and what it opens must not be shared by
    processes that were forked (a position in a file is).
    """

    @property
    def labels(self) -> NDArray[np.int64]:
        """`[N]` places in the classes of the data set."""
        ...

    @property
    def place(self) -> str:
        """Folder, file or pattern that holds the pictures, for messages."""
        ...

    def __len__(self) -> int: ...

    def open(self, sample: int) -> PictureFile:
        """Return the file of `sample`: its path, or an object to read and seek in, which the caller closes.

        Raises
        ------
        UserError
            If what holds it cannot be read, or is damaged.
        """
        ...

    def name(self, sample: int) -> str:
        """Return how messages call the picture of `sample`, such as its path."""
        ...

    def subset(self, samples: NDArray[np.int64]) -> Self:
        """Return the pictures of `samples[K]`, in that order."""
        ...

    def stamp(self) -> bytes | None:
        """Return bytes that differ if a picture may have changed, as told by places, sizes and times of change.

        None if this cannot be told: the fingerprint of the pictures is then taken anew each time.

        Raises
        ------
        UserError
            If a file is gone, or may not be looked at.
        """
        ...
