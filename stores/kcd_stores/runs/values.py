"""What a student thinks of each sample, epoch by epoch: the run's own zarr group, one row an epoch.

    value     [E, N]   float64: V(i), running mean of the prediction entropy on sample i, in nats;
                       NaN where sample i was never visited
    frequency [E, N]   int32: F(i), how often sample i was trained on; -1 where the epoch was not run
    entropy   [E, N]   float32: the entropy at the latest visit of sample i, this epoch's or an earlier one's, in
                       nats; NaN where sample i was never visited

Row e is the state after epoch e and is written once, so a resumed run finds the state of whichever epoch it
goes on from. Letters: E epochs, N samples.

Both are plain zarr with a checksum in each chunk, and what a condensation reads is what is paid for: values are stored
as they are, since the bits of a mean are noise (zstd saves a tenth of them, and reading takes four times as long);
frequencies are few and small, and lz4 makes a sixth of them at no cost that shows. A row is cut into equal chunks, so
that the last one is not padded.
"""

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import blosc
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import LocalStore

from kcd_stores.checksums import strip_checksum
from kcd_stores.errors import CorruptStoreError, IncompleteStoreError, StoreUsageError

CHUNK = 1 << 20  # samples a chunk, at the most


class ValueStore:
    """Values, frequencies and latest entropies of one run."""

    def __init__(self, path: Path, group: zarr.Group) -> None:
        self.path = path
        self._arrays: dict[str, Any] = {name: group[name] for name in ("value", "frequency", "entropy")}
        self.epochs, self.samples = self._arrays["value"].shape

    @classmethod
    def create(cls, path: Path, *, epochs: int, samples: int) -> "ValueStore":
        """Make an empty one at `path`, replacing what a run that never finished an epoch left there."""
        group = zarr.create_group(LocalStore(path), zarr_format=3, overwrite=True, attributes={"kind": "values"})
        shape, names = (epochs, samples), ("epoch", "sample")
        chunks = (1, -(-samples // -(-samples // CHUNK)))
        group.create_array(
            "value",
            shape=shape,
            chunks=chunks,
            dtype="float64",
            compressors=[Crc32cCodec()],
            fill_value=float("nan"),
            dimension_names=names,
        )
        group.create_array(
            "frequency",
            shape=shape,
            chunks=chunks,
            dtype="int32",
            compressors=[BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec()],
            fill_value=-1,
            dimension_names=names,
        )
        group.create_array(
            "entropy",
            shape=shape,
            chunks=chunks,
            dtype="float32",
            compressors=[Crc32cCodec()],
            fill_value=float("nan"),
            dimension_names=names,
        )
        return cls(path, group)

    @classmethod
    def open(cls, path: Path, *, writable: bool = False) -> "ValueStore":
        """Open the values of a run, for reading unless `writable`.

        Raises
        ------
        StoreUsageError
            If there are none at `path`, or an array of theirs is not there.
        """
        try:
            store = LocalStore(path, read_only=not writable)
            return cls(path, zarr.open_group(store, mode="r+" if writable else "r"))
        except FileNotFoundError as error:
            raise StoreUsageError(f"there are no values of a run at {path} ({error})") from error
        except KeyError as error:
            raise StoreUsageError(
                f"the values of a run at {path} lack the array {error}: part of them was deleted, or they are of an "
                f"older version. Run it again with --overwrite."
            ) from error

    def write(
        self, epoch: int, value: NDArray[np.float64], frequency: NDArray[np.int32], entropy: NDArray[np.float32]
    ) -> None:
        """Write `value[N]`, `frequency[N]` and the latest `entropy[N]` as they stand after `epoch`."""
        self._arrays["value"][epoch] = value
        self._arrays["entropy"][epoch] = entropy
        self._arrays["frequency"][epoch] = frequency  # last: by it an epoch is known to have been written

    def read(self, epoch: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """`value[N]` float64 and `frequency[N]` int32 after `epoch`.

        Raises
        ------
        IncompleteStoreError
            If that epoch was never written.
        """
        frequency = np.asarray(self._arrays["frequency"][epoch])
        if frequency.min() < 0:
            raise IncompleteStoreError(f"the values of epoch {epoch} were never written to {self.path}")
        return np.asarray(self._arrays["value"][epoch]), frequency

    def read_entropy(self, epoch: int) -> NDArray[np.float32]:
        """The entropy of each sample at its latest visit up to `epoch`, `[N]` float32 in nats; NaN: never visited."""
        return np.asarray(self._arrays["entropy"][epoch])

    def read_part(self, name: str, epoch: int, number: int) -> NDArray[Any]:
        """Chunk `number` of row `epoch` of the array called `name`, `[n]`: what zarr reads, at the pace of the disk.

        A ranking reads a row chunk by chunk, again and again, and zarr takes twenty times as long for it.

        Raises
        ------
        CorruptStoreError
            If its checksum is wrong.
        """
        array = self._arrays[name]
        count = min(array.chunks[1], self.samples - number * array.chunks[1])
        file = self.path / name / "c" / str(epoch) / str(number)
        if not file.is_file():
            return np.full(count, array.fill_value, array.dtype)
        what = f"{file}: its checksum is wrong"
        wrong = CorruptStoreError(f"values of a run are damaged ({what}). Run it again with --overwrite.", what=what)
        body = strip_checksum(np.fromfile(file, np.uint8), wrong)
        if name == "frequency":
            body = np.frombuffer(blosc.decompress(body), np.uint8)
        part: NDArray[Any] = body.view(array.dtype)[:count]
        return part

    def part_sizes(self) -> list[int]:
        """Samples in each chunk of a row."""
        size = self._arrays["value"].chunks[1]
        return [min(size, self.samples - first) for first in range(0, self.samples, size)]
