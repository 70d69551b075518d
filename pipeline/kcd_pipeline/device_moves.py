"""Moves from the host's memory to a device's that do not wait for the device's pending work."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return `array` as a tensor on `device`; on the CPU it shares the array's memory.

    A GPU copies it from pinned memory after the work that is queued before it; the host does not wait.
    """
    return tensor_to_device(torch.from_numpy(np.ascontiguousarray(array)), device)


def tensor_to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a CPU tensor on `device`, copied in the way of `to_device`."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def is_resident(size: int, device: torch.device, resident: str) -> bool:
    """Return True if `size` bytes that are looked up again and again should be kept on `device`.

    `resident` is `run.resident`: `device`, `host`, or `auto`, which keeps them there if they fill at most half of the
    GPU's free memory. Always True for other devices.
    """
    if device.type != "cuda":
        return True
    if resident != "auto":
        return resident == "device"
    free, _ = torch.cuda.mem_get_info(device)
    return size <= free / 2
