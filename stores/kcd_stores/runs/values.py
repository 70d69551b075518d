"""Values of a run: what each sample's knowledge is worth to the student, epoch by epoch, in a group of the run's own.

    value     [E, N]  float64: V(i), the value of sample i, such as the running mean of its worths; NaN if sample i was
                      never visited
    frequency [E, N]  int32: F(i), how many times sample i was trained on; -1 if the epoch was not run
    latest    [E, N]  float32: the worth at the latest visit of sample i, in this epoch or an earlier one; NaN if sample
                      i was never visited

The attribute `measure` of the group names how a visit is measured. Values without it are entropies of the student's
predictions, in nats, and have the array `entropy` in place of `latest`: so earlier versions wrote them.

Row e is the state after epoch e. It is written once, so a run that is resumed finds the state of the epoch that it goes
on from. Letters: E epochs, N samples, n samples of one chunk.

The arrays are plain zarr, with a checksum in each chunk. They are compressed so that a condensation reads them fast:
values and worths not at all, since the low bits of a mean are noise (zstd would save a tenth of the bytes, and
reading would take four times as long); frequencies by lz4, which packs them to a sixth in no time that can be measured.
A row is cut into equal chunks, since zarr would pad a shorter one.

The checksums of a row are recorded elsewhere, with a checkpoint of the run or its summary: 8 hex digits for each chunk
of `value`, then of `frequency`, then of `latest`. With them, a chunk that is lost, or in another's place, is found.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from kcd_stores.errors import CorruptStoreError, IncompleteStoreError, Remedy, StoreUsageError
from kcd_stores.runs.arrays import Packing, RunArray, damaged, read_metadata, shortened
from kcd_stores.scratch import IN_MEMORY, Scratch, pieces
from kcd_stores.sizes import machine_memory
from kcd_stores.storage.durable import flush_to_disk

LARGEST_CHUNK = 1 << 20  # samples
LONGEST_MEASURE = 200  # characters
ENTROPY = "entropy"  # what values measure that do not say it, and their array of the latest worths

NAN = float("nan")
# dtype, value that is read where nothing was written, packing
ARRAYS: dict[str, tuple[str, float, Packing]] = {
    "value": ("float64", NAN, "plain"),
    "frequency": ("int32", -1, "lz4"),
    "latest": ("float32", NAN, "plain"),
}
CRC_DIGITS = 8


class ValueStore:
    """Values, frequencies and latest worths of one run; made by `create` or `open`.

    Attributes
    ----------
    path
        Folder of the zarr group.
    epochs, samples
        E and N.
    measure
        Name of the value function that measured the visits.
    """

    def __init__(
        self, path: Path, *, epochs: int, samples: int, measure: str | None = ENTROPY, recorded: Sequence[str] = ()
    ) -> None:
        self.path, self.epochs, self.samples, self.measure = path, epochs, samples, measure or ENTROPY
        folders = {"latest": ENTROPY} if measure is None else {}
        chunk = -(-samples // -(-samples // LARGEST_CHUNK))
        self._arrays = {
            name: RunArray(
                folder=path / folders.get(name, name),
                shape=(epochs, samples),
                dtype=dtype,
                fill=fill,
                chunk=chunk,
                packing=packing,
            )
            for name, (dtype, fill, packing) in ARRAYS.items()
        }
        self._recorded = dict(enumerate(recorded))  # checksums by epoch

    @classmethod
    def create(cls, path: Path, *, epochs: int, samples: int, measure: str = ENTROPY) -> "ValueStore":
        """Make empty values at `path`, in place of those of a run that never finished an epoch.

        Parameters
        ----------
        measure
            Name of the value function.
        """
        if path.is_dir():
            shutil.rmtree(path)
        zarr.create_group(LocalStore(path), zarr_format=3, attributes={"kind": "values", "measure": measure})
        values = cls(path, epochs=epochs, samples=samples, measure=measure)
        for array in values._arrays.values():
            array.create(("epoch", "sample"))
        flush_to_disk(path / "zarr.json")
        flush_to_disk(path)
        flush_to_disk(path.parent)
        return values

    @classmethod
    def open(cls, path: str | Path, *, recorded: Sequence[str] = ()) -> "ValueStore":
        """Open the values of a run.

        Parameters
        ----------
        recorded
            The checksums of the rows of the first epochs, as `checksums` returned them. None are known of a run of
            the first format, or of a run under way.

        Raises
        ------
        StoreUsageError
            If there are no values at `path`.
        CorruptStoreError
            If part of them is missing or cannot be what was written.
        """
        path = Path(path)
        if not path.is_dir() and recorded:
            raise damaged(f"{path}: it is missing")
        if not path.is_dir():
            raise StoreUsageError(f"there are no values of a run at {path}.")
        epochs, samples = _read_shape(path)
        values = cls(path, epochs=epochs, samples=samples, measure=_read_measure(path), recorded=recorded)
        for array in values._arrays.values():
            try:
                array.require_metadata()
            except FileNotFoundError as error:
                raise CorruptStoreError(
                    f"the values of a run at {path} lack the array '{array.folder.name}': part of them was "
                    f"deleted, or they are of an older version.",
                    damage=f"{array.folder}: it is missing",
                    remedy=Remedy.REPEAT_RUN,
                ) from error
        digits = CRC_DIGITS * len(ARRAYS) * values._arrays["value"].chunks
        if len(recorded) > epochs or any(len(row) != digits for row in recorded):
            raise damaged(f"{path}: it has {epochs} epochs of {samples:,} samples, which are not those of the run")
        return values

    def write(
        self, epoch: int, value: NDArray[np.float64], frequency: NDArray[np.int32], latest: NDArray[np.float32]
    ) -> None:
        """Write `value[N]`, `frequency[N]` and the `latest[N]` worths, as they are after `epoch`, durably."""
        # the last one tells that the epoch was written
        rows: dict[str, NDArray[Any]] = {"value": value, "latest": latest, "frequency": frequency}
        checksums = {name: self._arrays[name].write((epoch,), row) for name, row in rows.items()}
        self._recorded[epoch] = _in_hex(checksums)

    def read(self, epoch: int, scratch: Scratch = IN_MEMORY) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Read `value[N]` float64 and `frequency[N]` int32, as they were after `epoch`, into arrays of `scratch`.

        Raises
        ------
        IncompleteStoreError
            If the epoch was never written.
        CorruptStoreError
            If a chunk is missing, or is not what was written.
        StoreUsageError
            If they take more memory than there is and must be in memory.
        """
        frequency = self._read_row("frequency", epoch, scratch)
        if any(frequency[piece].min() < 0 for piece in pieces(self.samples)):
            raise IncompleteStoreError(f"the values of epoch {epoch} were never written to {self.path}")
        value = self._read_row("value", epoch, scratch)
        self._require_visited("value", epoch, value, frequency)
        return value, frequency

    def read_latest(self, epoch: int, scratch: Scratch = IN_MEMORY) -> NDArray[np.float32]:
        """Read the worth of each sample at its latest visit up to `epoch`, `[N]` float32; NaN: no visit."""
        latest = self._read_row("latest", epoch, scratch)
        self._require_visited("latest", epoch, latest, self._read_row("frequency", epoch, scratch))
        return latest

    def read_chunk(self, name: str, epoch: int, number: int) -> NDArray[Any]:
        """Read chunk `number` of the row of `epoch`, `[n]`, from the array called `name`.

        A ranking reads rows chunk by chunk, many times over.

        Raises
        ------
        CorruptStoreError
            If the chunk is not what was written.
        """
        array, crc = self._arrays[name], self._crc(name, epoch, number)
        chunk = array.read((epoch,), number, crc=crc)
        if chunk is not None:
            return chunk
        if crc is not None:
            raise damaged(f"{array.file((epoch,), number)}: it is missing")
        return np.full(self.chunk_sizes()[number], array.fill, array.dtype)

    def chunk_sizes(self) -> list[int]:
        """Return the number of samples in each chunk of a row."""
        size = self._arrays["value"].chunk
        return [min(size, self.samples - first) for first in range(0, self.samples, size)]

    def checksums(self, epochs: int) -> list[str]:
        """Return the checksums of the rows of the first `epochs` epochs; see the top of the module.

        Raises
        ------
        CorruptStoreError
            If a row whose checksums are not known yet is damaged.
        """
        for epoch in range(epochs):
            if epoch not in self._recorded:
                self._recorded[epoch] = self._read_checksums(epoch)
        return [self._recorded[epoch] for epoch in range(epochs)]

    def require_as_recorded(self) -> None:
        """Read every row whose checksums are known; raise CorruptStoreError if a chunk is not what was written."""
        for epoch in self._recorded:
            self._read_checksums(epoch)

    def _read_checksums(self, epoch: int) -> str:
        found: dict[str, list[int]] = {}
        for name, array in self._arrays.items():
            found[name] = []
            for number in range(array.chunks):
                crc = array.checksum((epoch,), number, crc=self._crc(name, epoch, number))
                if crc is None:
                    raise damaged(f"{array.file((epoch,), number)}: it is missing")
                found[name].append(crc)
        return _in_hex(found)

    def _crc(self, name: str, epoch: int, number: int) -> int | None:
        """Return the checksum that a chunk had when it was written; None if it is not known."""
        row = self._recorded.get(epoch)
        if row is None:
            return None
        at = (list(ARRAYS).index(name) * self._arrays[name].chunks + number) * CRC_DIGITS
        return int(row[at : at + CRC_DIGITS], 16)

    def _read_row(self, name: str, epoch: int, scratch: Scratch) -> NDArray[Any]:
        array = self._arrays[name]
        if not scratch.uses_files:
            self._require_memory()
        return array.read_row((self.read_chunk(name, epoch, number) for number in range(array.chunks)), scratch)

    def _require_memory(self) -> None:
        """Raise StoreUsageError if an epoch takes more memory than there is."""
        row = self.samples * sum(np.dtype(dtype).itemsize for dtype, _, _ in ARRAYS.values())
        if row > machine_memory():
            raise StoreUsageError(
                f"the values at {self.path} are of {self.samples:,} samples by {self.path / 'value' / 'zarr.json'}, "
                f"which take {row:,} bytes; this machine has {machine_memory():,} bytes of memory.",
                remedy=Remedy.REPEAT_RUN,
            )

    def _require_visited(self, name: str, epoch: int, row: NDArray[Any], frequency: NDArray[np.int32]) -> None:
        """Raise CorruptStoreError unless `row[N]` has a number for each sample that was visited, and for no other.

        It finds a chunk that is lost where no checksums are known.
        """
        for piece in pieces(self.samples):
            wrong = np.isnan(row[piece]) != (frequency[piece] == 0)
            if wrong.any():
                sample = piece.start + int(np.argmax(wrong))
                file = self._arrays[name].file((epoch,), sample // self._arrays[name].chunk)
                raise damaged(f"{file}: it is missing, or does not fit the visits of sample {sample}")


def _read_measure(path: Path) -> str | None:
    """Return the name of the value function from the attributes of the group; None if they do not have it."""
    file = path / "zarr.json"
    try:
        attributes = read_metadata(path).get("attributes", {})
    except FileNotFoundError:
        raise damaged(f"{file}: it is missing") from None
    measure = attributes.get("measure") if isinstance(attributes, dict) else ""
    if measure is None or (isinstance(measure, str) and 0 < len(measure) <= LONGEST_MEASURE):
        return measure
    raise damaged(f"{file}: measure is {shortened(measure)}, expected the name of a value")


def _read_shape(path: Path) -> tuple[int, int]:
    """Return E and N from the metadata of `value`."""
    file = path / "value" / "zarr.json"
    try:
        shape = read_metadata(path / "value").get("shape")
    except (FileNotFoundError, NotADirectoryError):
        raise damaged(f"{file}: it is missing") from None
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(size) is int and size > 0 for size in shape)):
        raise damaged(f"{file}: shape is {shortened(shape)}, expected two numbers above 0")
    epochs, samples = shape
    return epochs, samples


def _in_hex(checksums: dict[str, list[int]]) -> str:
    return "".join(f"{crc:0{CRC_DIGITS}x}" for name in ARRAYS for crc in checksums[name])
