"""Arrays of a run: plain zarr on disk, written so that they outlive a lost machine, and read with nothing trusted.

A chunk is a file: the packed elements, then their crc32c. zarr reads the same (a test compares the two), but it takes
twenty times as long for a chunk, believes the metadata, and returns the fill value for a file that is lost. Here the
metadata must be those of the array that is expected, and a chunk must have the size that they say. Whoever knows the
checksum that a chunk had when it was written (kcd_stores.runs.values) finds one in another's place, too.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import google_crc32c
import numpy as np
import zarr
from numcodecs import blosc, zstd
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import LocalStore

from kcd_stores.checked_blosc import decompress_blosc
from kcd_stores.checksums import CRC_BYTES, strip_checksum
from kcd_stores.errors import CorruptStoreError, Remedy
from kcd_stores.scratch import Scratch
from kcd_stores.storage.durable import flush_to_disk, write_whole

LARGEST_CHUNK = 1 << 20  # elements
LARGEST_METADATA = 1 << 22  # bytes; ours take less than a thousandth of it

# the names of the codecs as zarr.json holds them; format 1 kept plans as zstd without a checksum
Packing = Literal["plain", "lz4", "zstd"]
CODECS: dict[Packing, list[str]] = {
    "plain": ["bytes", "crc32c"],
    "lz4": ["bytes", "blosc", "crc32c"],
    "zstd": ["bytes", "zstd"],
}


@dataclass(frozen=True, kw_only=True)
class RunArray:
    """One array of a run, of one dimension, or of two with a row for each epoch.

    Attributes
    ----------
    folder
        Where it is, below the zarr group of which it is part.
    shape, dtype, fill
        As in zarr; `fill` is what is read where nothing was written.
    chunk
        Elements of the last dimension in one chunk.
    packing
        How chunks are compressed.
    """

    folder: Path
    shape: tuple[int, ...]
    dtype: str
    fill: float
    chunk: int
    packing: Packing

    @property
    def chunks(self) -> int:
        """The number of chunks in a row."""
        return -(-self.shape[-1] // self.chunk)

    def create(self, dimensions: tuple[str, ...]) -> None:
        """Write the metadata, durably."""
        zarr.create_array(
            LocalStore(self.folder),
            shape=self.shape,
            chunks=(*[1] * (len(self.shape) - 1), self.chunk),
            dtype=self.dtype,
            compressors=[
                *([BloscCodec(cname="lz4", shuffle="shuffle")] if self.packing == "lz4" else []),
                Crc32cCodec(),
            ],
            fill_value=self.fill,
            dimension_names=dimensions,
            zarr_format=3,
        )
        flush_to_disk(self.folder / "zarr.json")
        flush_to_disk(self.folder)

    def require_metadata(self) -> None:
        """Raise CorruptStoreError unless the metadata on disk are those of this array."""
        file = self.folder / "zarr.json"
        found = read_metadata(self.folder)
        fill: Any = "NaN" if np.isnan(self.fill) else self.fill
        expected = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.dtype,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": [*[1] * (len(self.shape) - 1), self.chunk]},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": fill,
        }
        for key, value in expected.items():
            if found.get(key) != value:
                raise damaged(f"{file}: {key} is {shortened(found.get(key))}, expected {value}")
        if codec_names(found) != CODECS[self.packing]:
            raise damaged(f"{file}: codecs are {shortened(found.get('codecs'))}, expected {CODECS[self.packing]}")

    def file(self, row: tuple[int, ...], number: int) -> Path:
        """Return the file of chunk `number` of a row, which is `()` for an array of one dimension."""
        return self.folder.joinpath("c", *map(str, row), str(number))

    def write(self, row: tuple[int, ...], elements: NDArray[Any]) -> list[int]:
        """Write a row of `elements`; return the crc32c of each chunk. All is durable when it returns."""
        return [self._write_chunk(row, number, elements) for number in range(self.chunks)]

    def _write_chunk(self, row: tuple[int, ...], number: int, elements: NDArray[Any]) -> int:
        part = elements[number * self.chunk : (number + 1) * self.chunk]
        padded = np.full(self.chunk, self.fill, self.dtype)
        padded[: len(part)] = part
        body = blosc.compress(padded, b"lz4", 5, blosc.SHUFFLE) if self.packing == "lz4" else padded.tobytes()
        crc = int(google_crc32c.value(body))
        write_durably(self.file(row, number), body + crc.to_bytes(CRC_BYTES, "little"))
        return crc

    def read(self, row: tuple[int, ...], number: int, *, crc: int | None = None) -> NDArray[Any] | None:
        """Read chunk `number` of a row, without what pads it; None if there is no such file.

        Parameters
        ----------
        crc
            The checksum that the chunk had when it was written, if it is known.

        Raises
        ------
        CorruptStoreError
            If the file cannot be what was written.
        """
        body = self._body(row, number, crc=crc)
        if body is None:
            return None
        chunk: NDArray[Any] = np.empty(self.chunk, self.dtype)
        wrong = damaged(f"{self.file(row, number)}: it does not hold {self.chunk} numbers")
        if self.packing == "lz4":
            decompress_blosc(body, chunk, wrong)
        elif self.packing == "zstd":
            _decompress_zstd(body, chunk, wrong)
        elif len(body) == chunk.nbytes:
            chunk = body.view(self.dtype)
        else:
            raise wrong
        return chunk[: min(self.chunk, self.shape[-1] - number * self.chunk)]

    def span(self, number: int) -> slice:
        """Return the elements of a row that are in chunk `number`."""
        return slice(number * self.chunk, min((number + 1) * self.chunk, self.shape[-1]))

    def read_row(self, chunks: Iterable[NDArray[Any]], scratch: Scratch) -> NDArray[Any]:
        """Return a row that is put together of its `chunks`, in an array of `scratch`."""
        row = scratch.empty(self.shape[-1], self.dtype)
        for number, chunk in enumerate(chunks):
            row[self.span(number)] = chunk
        return row

    def checksum(self, row: tuple[int, ...], number: int, *, crc: int | None = None) -> int | None:
        """Return the crc32c of chunk `number` of a row, after a look at all of it; None if there is no such file."""
        body = self._body(row, number, crc=crc)
        return None if body is None else int(google_crc32c.value(body))

    def _body(self, row: tuple[int, ...], number: int, *, crc: int | None) -> NDArray[np.uint8] | None:
        """Read the packed elements of a chunk, without the checksum behind them."""
        file = self.file(row, number)
        try:
            held = self.chunk * np.dtype(self.dtype).itemsize
            size, largest = file.stat().st_size, held + held // 128 + 1024  # what cannot be compressed grows a little
            if size > largest:
                raise damaged(f"{file}: it has {size:,} bytes, and at most {largest:,} are possible")
            stored = np.fromfile(file, np.uint8)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError:
            raise damaged(f"{file}: it is a folder") from None
        if self.packing == "zstd":
            return stored
        body = strip_checksum(stored, damaged(f"{file}: its checksum is wrong"))
        if crc is not None and int.from_bytes(stored[-CRC_BYTES:].tobytes(), "little") != crc:
            raise damaged(f"{file}: it is not the chunk that was written there")
        return body


def write_durably(path: Path, data: bytes) -> None:
    """Write a file whole, with the folders that lead to it, so that all of it is on the disk on return."""
    made = [folder for folder in path.parents if not folder.exists()]
    write_whole(path, data, durably=True)
    for folder in {path.parent, *(folder.parent for folder in made)}:
        flush_to_disk(folder)


def _decompress_zstd(body: NDArray[np.uint8], out: NDArray[Any], wrong: Exception) -> None:
    """Decompress one frame into `out`; raise `wrong` if it does not hold just that many bytes."""
    try:
        zstd.decompress(body, out.view(np.uint8))  # it refuses a frame that says that it holds more than fits
    except (RuntimeError, ValueError) as error:
        raise wrong from error


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return what the `zarr.json` in `folder` holds.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorruptStoreError
        If it is not a JSON object.
    """
    file = folder / "zarr.json"
    if file.stat().st_size > LARGEST_METADATA:
        raise damaged(f"{file}: it has {file.stat().st_size:,} bytes, and at most {LARGEST_METADATA:,} are possible")
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise damaged(f"{file}: it is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise damaged(f"{file}: it is not a JSON object")
    return found


def codec_names(metadata: dict[str, Any]) -> list[Any] | None:
    """Return the names of the codecs of an array; None unless they are a list, of little-endian elements."""
    codecs = metadata.get("codecs")
    if not isinstance(codecs, list) or not all(isinstance(codec, dict) for codec in codecs):
        return None
    if not codecs or codecs[0].get("configuration") != {"endian": "little"}:
        return None
    return [codec.get("name") for codec in codecs]


def shortened(value: object) -> str:
    """Return what was found in a file, short enough for a message."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 80 else f"{text[:77]}..."


def damaged(damage: str) -> CorruptStoreError:
    """Return the error of a run whose record is damaged; `damage` names the file."""
    return CorruptStoreError(f"the record of a run is damaged ({damage}).", damage=damage, remedy=Remedy.REPEAT_RUN)
