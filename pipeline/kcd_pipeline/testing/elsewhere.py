"""The part of a check that a child process does as well: views of an augmentation, and their digests.

As a program it reads a pickle of (sys.path, pickled augmentation, images, views) and prints the digests. It imports
nothing of kcd_pipeline, so that a child starts fast.
"""

import hashlib
import pickle
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def parameters_and_views(
    augmentation: Any, images: Tensor, samples: NDArray[np.int64], view: int
) -> tuple[NDArray[Any], Tensor]:
    """Return the parameters `[P, B]` of `samples[B]` of `images[N, C, H, W]`, and their views `[B, C, H, W]`."""
    parameters = augmentation.parameters(samples.copy(), np.full(len(samples), view), *images.shape[2:])
    on_device = torch.from_numpy(np.array(parameters)).to(images.device)
    return parameters, augmentation.apply(images[torch.from_numpy(samples)], on_device)


def digest_of(augmentation: Any, images: Tensor, views: Iterable[int]) -> list[str]:
    """Return the SHA-256, in hex, of the pixels of each of `views` of `images[N, C, H, W]`."""
    index = np.arange(len(images))
    made = (parameters_and_views(augmentation, images, index, view)[1] for view in views)
    return [hashlib.sha256(pixels.cpu().numpy().tobytes()).hexdigest() for pixels in made]


if __name__ == "__main__":
    path, augmentation, images, views = pickle.load(sys.stdin.buffer)
    sys.path[:] = path
    print(*digest_of(pickle.loads(augmentation), torch.from_numpy(images), views))
