"""From the host's memory to a device's, without waiting for what the device is doing."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """`array` as a tensor on `device`; on the CPU it shares the array's memory.

    A GPU gets it through pinned memory, in its turn among what it has been told to do: the host goes on at once.
    """
    return tensor_to_device(torch.from_numpy(np.ascontiguousarray(array)), device)


def tensor_to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The same for a tensor on the CPU."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def is_resident(size: int, device: torch.device, resident: str) -> bool:
    """Whether `size` bytes that are looked up again and again are to lie on `device`, by `run.resident`."""
    if device.type != "cuda":
        return True
    if resident != "auto":
        return resident == "device"
    free, _ = torch.cuda.mem_get_info(device)
    return size <= free / 2
