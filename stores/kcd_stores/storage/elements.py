"""Elements of an array as the whole objects that hold them, coded by zarr in memory.

Left to itself, zarr asks for the index of a shard and then for each of its chunks wherever a shard is not filled to
its end, and it reads a shard before it replaces it. Over a network every request costs more than the bytes saved.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore, StorePath


def object_name(array: str, view: int, block: int, *, ndim: int) -> str:
    """Return the name of the file that holds one block of an array `[V, ...]` of `ndim` dimensions.

    The file is a shard of knowledge; of a ledger, block 0 is the only chunk of a view.
    """
    return "/".join([array, "c", str(view), str(block), *["0"] * (ndim - 2)])


def object_names(array: "zarr.Array[Any]", view: int, start: int, stop: int) -> list[str]:
    """Return the names of the files that hold `array[view, start:stop]`."""
    rows = (array.shards or array.chunks)[1]
    blocks = range(start // rows, (stop - 1) // rows + 1)
    return [object_name(array.path, view, block, ndim=array.ndim) for block in blocks]


def encode_elements(array: "zarr.Array[Any]", view: int, start: int, values: NDArray[Any]) -> list[tuple[str, bytes]]:
    """Return name and content of each file that `array[view, start:start + len(values)] = values` makes.

    The values must fill whole files, but for the last of a view.
    """
    coded: dict[str, Buffer] = {}
    _in_memory(array, coded)[view, start : start + len(values)] = values
    return [(name, data.to_bytes()) for name, data in coded.items()]


def decode_elements(
    array: "zarr.Array[Any]", view: int, start: int, stop: int, files: Mapping[str, bytes | None]
) -> NDArray[Any]:
    """Return `array[view, start:stop]`, given its files by name; those missing or None hold the array's fill value."""
    make = default_buffer_prototype().buffer.from_bytes
    coded = {name: make(data) for name, data in files.items() if data}
    return np.array(_in_memory(array, coded)[view, start:stop])


def _in_memory(array: "zarr.Array[Any]", objects: dict[str, Buffer]) -> "zarr.Array[Any]":
    """Return the same array over `objects` by name."""
    place = StorePath(MemoryStore(objects), array.path)
    return zarr.Array(zarr.AsyncArray(metadata=array.metadata, store_path=place))
