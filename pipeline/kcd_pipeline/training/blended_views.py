"""Images as a plan blends them: what a student sees of a blended sample, and what a teacher is asked to judge.

Letters: B batch, b members of it that are blended; images are `[B, C, H, W]`.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from kcd_pipeline.augmentation import ViewSource
from kcd_pipeline.condensation import Perturbation
from kcd_pipeline.device_moves import to_device


class BlendedViews:
    """A `ViewSource` that gives `(1 - eps) * x1 + eps * x0` for a sample with a partner, both as the same view.

    The images are normalised already: normalisation is affine, so blending pixels first would give the same.

    Parameters
    ----------
    views
        The images that are blended, on `device`.
    """

    def __init__(self, views: ViewSource, perturbation: Perturbation, device: torch.device) -> None:
        self._views, self._perturbation, self._device = views, perturbation, device

    def __len__(self) -> int:
        return len(self._views)

    def batch(self, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        return self._blended(self._views.batch(index, view), index, view)

    def batches(
        self, index_batches: Sequence[NDArray[np.int64]], view: int
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        for index, images in self._views.batches(index_batches, view):
            yield index, self._blended(images, index, view)

    def _blended(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Return `images[B]` of samples `index[B]`, in which those that have partners are replaced by their blends."""
        blend = self._perturbation.lookup(index)
        if len(blend.places):
            partners_view = view if np.ndim(view) == 0 else np.asarray(view)[blend.places]
            places = to_device(blend.places, self._device)
            epsilon = to_device(blend.epsilon, self._device)[:, None, None, None]
            images[places] = torch.lerp(images[places], self._views.batch(blend.partners, partners_view), epsilon)
        return images
