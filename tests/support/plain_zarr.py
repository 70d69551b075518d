"""Reading and changing stores and runs by zarr alone, without any code of this project."""

from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import zarr
from numpy.typing import NDArray


def open_array(group: str | Path, name: str, mode: Literal["r", "r+"] = "r") -> zarr.Array[Any]:
    """Open the array `name` of the zarr group at `group`."""
    return zarr.open_array(f"{group}/{name}", mode=mode)


def read_array(group: str | Path, name: str) -> NDArray[Any]:
    """Return the whole array `name` of the zarr group at `group`."""
    return np.asarray(open_array(group, name)[:])


def read_numbers(group: str | Path, name: str) -> NDArray[Any]:
    """Return the array `name`, decoded by the CF conventions if its attributes have a scale and an offset, as float32.

    The decoding is xarray's (`decode_cf`): scale times element plus offset, in float64.
    """
    array = open_array(group, name)
    elements, facts = np.asarray(array[:]), cast(dict[str, float], dict(array.attrs))
    if "scale_factor" not in facts:
        return elements
    return (elements * np.float64(facts["scale_factor"]) + facts["add_offset"]).astype(np.float32)


def read_attributes(group: str | Path) -> dict[str, Any]:
    """Return the attributes of the zarr group at `group`."""
    return dict(zarr.open_group(group, mode="r").attrs)
