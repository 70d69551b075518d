"""Elements of an array in and out of a remote store: whole objects, one request each, coded by zarr in memory.

Left to itself zarr asks for the index of a shard and then for each of its chunks, wherever a shard is not filled to
its end, and reads a shard before it replaces it. Over a network every request costs more than the bytes saved.
"""

from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore, StorePath

from kcd_stores.storage.location import Location


def object_name(array: "zarr.Array[Any]", view: int, block: int) -> str:
    """The name in the store of what holds one block of `array[V, ...]`: one shard, or one chunk of a ledger."""
    return "/".join([array.path, "c", str(view), str(block), *["0"] * (array.ndim - 2)])


def read(location: Location, array: "zarr.Array[Any]", view: int, start: int, stop: int) -> NDArray[Any]:
    """`array[view, start:stop]` of a remote store; what is not there reads as the array's fill value."""
    rows = (array.shards or array.chunks)[1]
    names = [object_name(array, view, block) for block in range(start // rows, (stop - 1) // rows + 1)]
    found = zip(names, location.fetch(names), strict=True)
    make = default_buffer_prototype().buffer.from_bytes
    return np.asarray(_in_memory(array, {name: make(data) for name, data in found if data})[view, start:stop])


def write(location: Location, array: "zarr.Array[Any]", view: int, start: int, values: NDArray[Any]) -> None:
    """`array[view, start:start + len(values)] = values` in a remote store, durable when this returns.

    The values must fill whole objects, but for the last of a view.

    Raises
    ------
    ValueError
        If the store was opened for reading only.
    """
    if array.read_only:
        raise ValueError(f"the store at {location} was opened for reading only")
    coded: dict[str, Buffer] = {}
    _in_memory(array, coded)[view, start : start + len(values)] = values
    for name, data in coded.items():
        location.send(name, data.to_bytes())


def _in_memory(array: "zarr.Array[Any]", objects: dict[str, Buffer]) -> "zarr.Array[Any]":
    """The same array over `objects` by name."""
    place = StorePath(MemoryStore(objects), array.path)
    return zarr.Array(zarr.AsyncArray(metadata=array.metadata, store_path=place))
