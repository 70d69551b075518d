"""Reading and changing stores and runs by zarr alone, without any code of this project."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray


def open_array(group: str | Path, name: str, mode: Literal["r", "r+"] = "r") -> zarr.Array[Any]:
    """Open the array `name` of the zarr group at `group`."""
    return zarr.open_array(f"{group}/{name}", mode=mode)


def read_array(group: str | Path, name: str) -> NDArray[Any]:
    """Return the whole array `name` of the zarr group at `group`."""
    return np.asarray(open_array(group, name)[:])


def read_attributes(group: str | Path) -> dict[str, Any]:
    """Return the attributes of the zarr group at `group`."""
    return dict(zarr.open_group(group, mode="r").attrs)
