"""Elements of an array as the whole objects that hold them, coded by zarr in memory.

Left to itself, zarr asks for the index of a shard and then for each of its chunks wherever a shard is not filled to
its end, and it reads a shard before it replaces it. Over a network every request costs more than the bytes saved.
"""

from typing import Any

import zarr
from numpy.typing import NDArray
from zarr.core.buffer import Buffer
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import MemoryStore, StorePath


def object_name(array: str, view: int, block: int, *, ndim: int) -> str:
    """Return the name of the file that holds one block of an array `[V, ...]` of `ndim` dimensions.

    The file is a shard of knowledge; of a ledger, block 0 is the only chunk of a view.
    """
    return "/".join([array, "c", str(view), str(block), *["0"] * (ndim - 2)])


def encode_elements(array: "zarr.Array[Any]", view: int, start: int, values: NDArray[Any]) -> list[tuple[str, bytes]]:
    """Return name and content of each file that `array[view, start:start + len(values)] = values` makes.

    The values must fill whole files, but for the last of a view. A chunk is there even if all of its values are the
    fill value of the array, which bytes of `int8` may have.
    """
    coded: dict[str, Buffer] = {}
    place = StorePath(MemoryStore(coded), array.path)
    metadata = array.metadata
    assert isinstance(metadata, ArrayV3Metadata)
    in_memory: zarr.Array[Any] = zarr.Array(
        zarr.AsyncArray(metadata=metadata, store_path=place, config={"write_empty_chunks": True})
    )
    in_memory[view, start : start + len(values)] = values
    return [(name, data.to_bytes()) for name, data in coded.items()]
