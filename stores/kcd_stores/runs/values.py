"""Values of a run: how uncertain the student was about each sample, epoch by epoch, in a zarr group of the run's own.

    value     [E, N]  float64: V(i), the running mean of the entropy of the student's prediction for sample i, in nats;
                      NaN if sample i was never visited
    frequency [E, N]  int32: F(i), how many times sample i was trained on; -1 if the epoch was not run
    entropy   [E, N]  float32: the entropy at the latest visit of sample i, in this epoch or an earlier one, in nats;
                      NaN if sample i was never visited

Row e is the state after epoch e. It is written once, so a run that is resumed finds the state of the epoch that it goes
on from. Letters: E epochs, N samples, n samples of one chunk.

The arrays are plain zarr, with a checksum in each chunk. They are compressed so that a condensation reads them fast:
values and entropies not at all, since the low bits of a mean are noise (zstd would save a tenth of the bytes, and
reading would take four times as long); frequencies by lz4, which packs them to a sixth in no time that can be measured.
A row is cut into equal chunks, since zarr would pad a shorter one.
"""

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import LocalStore

from kcd_stores.checked_blosc import decompress_blosc
from kcd_stores.checksums import strip_checksum
from kcd_stores.errors import CorruptStoreError, IncompleteStoreError, Remedy, StoreUsageError

LARGEST_CHUNK = 1 << 20  # samples

NAN = float("nan")
# dtype, value that is read where nothing was written, codecs before the checksum
ARRAYS: dict[str, tuple[str, float, tuple[Any, ...]]] = {
    "value": ("float64", NAN, ()),
    "frequency": ("int32", -1, (BloscCodec(cname="lz4", shuffle="shuffle"),)),
    "entropy": ("float32", NAN, ()),
}


class ValueStore:
    """Values, frequencies and latest entropies of one run; made by `create` or `open`."""

    def __init__(self, path: Path, group: zarr.Group) -> None:
        self.path = path
        self._arrays: dict[str, Any] = {name: group[name] for name in ARRAYS}
        self.epochs, self.samples = self._arrays["value"].shape

    @classmethod
    def create(cls, path: Path, *, epochs: int, samples: int) -> "ValueStore":
        """Make empty values at `path`, in place of those of a run that never finished an epoch."""
        group = zarr.create_group(LocalStore(path), zarr_format=3, overwrite=True, attributes={"kind": "values"})
        chunks_in_row = -(-samples // LARGEST_CHUNK)
        for name, (dtype, fill, codecs) in ARRAYS.items():
            group.create_array(
                name,
                shape=(epochs, samples),
                chunks=(1, -(-samples // chunks_in_row)),
                dtype=dtype,
                compressors=[*codecs, Crc32cCodec()],
                fill_value=fill,
                dimension_names=("epoch", "sample"),
            )
        return cls(path, group)

    @classmethod
    def open(cls, path: Path, *, writable: bool = False) -> "ValueStore":
        """Open the values of a run, for reading unless `writable`.

        Raises
        ------
        StoreUsageError
            If there are no values at `path`, or one of their arrays is missing.
        """
        try:
            store = LocalStore(path, read_only=not writable)
            return cls(path, zarr.open_group(store, mode="r+" if writable else "r"))
        except FileNotFoundError as error:
            raise StoreUsageError(f"there are no values of a run at {path} ({error})") from error
        except KeyError as error:
            raise StoreUsageError(
                f"the values of a run at {path} lack the array {error}: part of them was deleted, or they are of an "
                f"older version.",
                remedy=Remedy.REPEAT_RUN,
            ) from error

    def write(
        self, epoch: int, value: NDArray[np.float64], frequency: NDArray[np.int32], entropy: NDArray[np.float32]
    ) -> None:
        """Write `value[N]`, `frequency[N]` and the latest `entropy[N]`, as they are after `epoch`."""
        self._arrays["value"][epoch] = value
        self._arrays["entropy"][epoch] = entropy
        self._arrays["frequency"][epoch] = frequency  # last, since it tells that the epoch was written

    def read(self, epoch: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Read `value[N]` float64, in nats, and `frequency[N]` int32, as they were after `epoch`.

        Raises
        ------
        IncompleteStoreError
            If the epoch was never written.
        """
        frequency = np.asarray(self._arrays["frequency"][epoch])
        if frequency.min() < 0:
            raise IncompleteStoreError(f"the values of epoch {epoch} were never written to {self.path}")
        return np.asarray(self._arrays["value"][epoch]), frequency

    def read_entropy(self, epoch: int) -> NDArray[np.float32]:
        """Read the entropy of each sample at its latest visit up to `epoch`, `[N]` float32 in nats; NaN: no visit."""
        return np.asarray(self._arrays["entropy"][epoch])

    def read_chunk(self, name: str, epoch: int, number: int) -> NDArray[Any]:
        """Read chunk `number` of the row of `epoch`, `[n]`, from the array called `name`.

        A ranking reads rows chunk by chunk, many times over. zarr returns the same, but takes twenty times as long.

        Raises
        ------
        CorruptStoreError
            If the checksum of the chunk is wrong.
        """
        array = self._arrays[name]
        count = min(array.chunks[1], self.samples - number * array.chunks[1])
        file = self.path / name / "c" / str(epoch) / str(number)
        if not file.is_file():
            return np.full(count, array.fill_value, array.dtype)
        body = strip_checksum(np.fromfile(file, np.uint8), _damaged(f"{file}: its checksum is wrong"))
        chunk = np.empty(array.chunks[1], array.dtype)
        wrong = _damaged(f"{file}: it does not hold {len(chunk)} numbers")
        if name == "frequency":
            decompress_blosc(body, chunk, wrong)
        elif len(body) == chunk.nbytes:
            chunk = body.view(array.dtype)
        else:
            raise wrong
        return chunk[:count]

    def chunk_sizes(self) -> list[int]:
        """Return the number of samples in each chunk of a row."""
        size = self._arrays["value"].chunks[1]
        return [min(size, self.samples - first) for first in range(0, self.samples, size)]


def _damaged(damage: str) -> CorruptStoreError:
    return CorruptStoreError(f"values of a run are damaged ({damage}).", damage=damage, remedy=Remedy.REPEAT_RUN)
