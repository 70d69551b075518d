"""An augmentation: a square of each image is black, in another place in each view."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_stores.philox import below, draws


class Erase:
    """Black out a square of `size` pixels a side, as DeVries & Taylor do, "Improved regularization with Cutout" (2017).

    Letters: B samples of a batch, C channels, H and W pixels.
    """

    def __init__(self, seed: int, size: int = 3) -> None:
        self.seed, self.size = seed, size

    def parameters(
        self, index: NDArray[np.int64], view: NDArray[np.int64], height: int, width: int
    ) -> NDArray[np.int64]:
        """Draw top and left of the square in view `view[B]` of samples `index[B]`: `[2, B]`."""
        words = draws(self.seed, index, view, 2)
        return np.stack([below(words[0], height - self.size + 1), below(words[1], width - self.size + 1)])

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Return the views of `images[B, C, H, W]` uint8 that `parameters[2, B]` describe."""
        top, left = parameters[:, :, None]
        y = torch.arange(images.shape[2], device=images.device)
        x = torch.arange(images.shape[3], device=images.device)
        rows, columns = (y >= top) & (y < top + self.size), (x >= left) & (x < left + self.size)
        return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)
