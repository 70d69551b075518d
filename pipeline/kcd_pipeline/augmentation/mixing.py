"""Mixup and CutMix of samples: the partner, the weight and the box of a view are drawn from (seed, sample, view).

Zhang et al., "mixup: beyond empirical risk minimization" (ICLR 2018); Yun et al., "CutMix: regularization strategy to
train strong classifiers with localizable features" (ICCV 2019). There the samples of a batch are mixed with each other,
so that a picture depends on its batch. Here any sample of the data set may be the partner, and the same picture can be
made again: by the teacher for the stored row, and by every student.

Letters: N samples of the data set, B of a batch, C channels, H and W pixels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv
from torch import Tensor

from kcd_pipeline.config import AugmentationConfig
from kcd_stores.philox import MIX_STREAM, below, draws, uniform

ONE = 1 << 16  # the weights of pixels are whole multiples of 1 / ONE, so that a mixed byte is exact on every device
WORDS = 6  # whether, how, weight, partner, row and column of the box


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixes:
    """The way in which each view of a batch is mixed.

    Attributes
    ----------
    partner
        `[B]` int64: the sample that each is mixed with.
    parameters
        `[5, B]` int64: the weight of its own pixels in units of 1 / ONE, and top, bottom, left and right of the box
        that shows the partner alone, in pixels; bottom and right are the first outside. A view that is not mixed has
        the weight ONE and an empty box.
    weight
        `[B]` float32, 0..1: the weight of its own label; the exact area outside of the box for CutMix.
    """

    partner: NDArray[np.int64]
    parameters: NDArray[np.int64]
    weight: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """Mixup, CutMix, or one of the two for each view.

    Attributes
    ----------
    seed
        `augmentation.seed`.
    alpha, cutmix_alpha
        Parameters of the Beta distributions of both weights.
    cutmix
        Probability that a mixed view is mixed by CutMix, 0 to 1.
    probability
        Probability that a view is mixed.
    """

    seed: int
    alpha: float
    cutmix_alpha: float
    cutmix: float
    probability: float

    def describe(self) -> dict[str, Any]:
        """Return all settings that the pixels depend on, as a store records them."""
        described: dict[str, Any] = {"name": "mixup-cutmix", "probability": self.probability}
        if self.cutmix < 1:
            described["alpha"] = self.alpha
        if self.cutmix > 0:
            described["cutmix_alpha"] = self.cutmix_alpha
        if self.cutmix in (0, 1):
            return described | {"name": "cutmix" if self.cutmix else "mixup"}
        return described | {"switch_probability": self.cutmix}

    def draw(self, index: NDArray[np.int64], view: ArrayLike, *, samples: int, height: int, width: int) -> Mixes:
        """Draw how the views of samples `index[B]` are mixed, for images of this height and width.

        A partner is another sample, each with the same probability. A box is torchvision's: `sqrt(1 - lambda)` of
        either side, with a centre anywhere in the image, and cut at its edges.

        Parameters
        ----------
        view
            The view of all samples, or their views `[B]`.
        samples
            N.
        """
        words = draws(self.seed, index, view, WORDS, stream=MIX_STREAM)
        is_mixed = uniform(words[0]) < self.probability
        is_cut = is_mixed & (uniform(words[1]) < self.cutmix)
        drawn = uniform(words[2]) + 2.0**-33  # within (0, 1), symmetric around one half
        weight = np.where(is_mixed, _beta(drawn, np.where(is_cut, self.cutmix_alpha, self.alpha)), ONE)
        half = np.where(is_cut, 0.5 * np.sqrt(1 - weight / ONE), 0)
        top, bottom = _span(below(words[4], height), half, height)
        left, right = _span(below(words[5], width), half, width)
        weight[is_cut] = ONE
        outside = 1 - (bottom - top) * (right - left) / (height * width)
        return Mixes(
            partner=(index + 1 + below(words[3], max(samples - 1, 1))) % samples,
            parameters=np.stack([weight, top, bottom, left, right]),
            weight=(weight / ONE * outside).astype(np.float32),
        )

    def apply(self, images: Tensor, partners: Tensor, parameters: Tensor) -> Tensor:
        """Mix `images[B, C, H, W]` uint8 with their `partners`, as `parameters[5, B]` say: same shape and dtype.

        A pixel is `w * own + (1 - w) * partner`, rounded to the nearest byte, or the partner's inside of the box.
        """
        weight, top, bottom, left, right = parameters
        mixed = images if self.cutmix == 1 else _blended(images, partners, weight[:, None, None, None])
        if self.cutmix == 0:
            return mixed
        y = torch.arange(images.shape[2], device=images.device)
        x = torch.arange(images.shape[3], device=images.device)
        rows = (y >= top[:, None]) & (y < bottom[:, None])
        columns = (x >= left[:, None]) & (x < right[:, None])
        return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], partners, mixed)

    def apply_alone(self, image: Tensor, partner: Tensor, parameters: NDArray[np.int64]) -> Tensor:
        """Mix one `image[C, H, W]` uint8 with its `partner`, as `apply` does: same shape and dtype."""
        weight, top, bottom, left, right = parameters.tolist()
        mixed = image.clone() if weight == ONE else _blended(image, partner, torch.tensor(weight))
        mixed[:, top:bottom, left:right] = partner[:, top:bottom, left:right]
        return mixed


def build_mixing(config: AugmentationConfig) -> Mixing | None:
    """Return how the section `augmentation` of a recipe mixes samples; None if it does not."""
    mix = config.mix
    if mix is None:
        return None
    cutmix = {"mixup": 0.0, "cutmix": 1.0}.get(mix.name, mix.switch_probability)
    return Mixing(
        seed=config.seed,
        alpha=mix.alpha,
        cutmix_alpha=mix.cutmix_alpha,
        cutmix=cutmix,
        probability=mix.probability,
    )


def _beta(drawn: NDArray[np.float64], alpha: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the quantiles `drawn[B]` of Beta(alpha, alpha), `[B]`, in units of 1 / ONE.

    Rounding to these units leaves nothing of the last bits, in which versions of scipy may differ.
    """
    quantile, other = drawn.copy(), alpha != 1  # the quantiles of Beta(1, 1) are the draws
    quantile[other] = betaincinv(alpha[other], alpha[other], drawn[other])
    return np.rint(ONE * quantile).astype(np.int64)


def _blended(images: Tensor, partners: Tensor, weights: Tensor) -> Tensor:
    """Return `w * own + (1 - w) * partner` of uint8, rounded to the nearest byte; weights are in units of 1 / ONE.

    Each step is exact in float32: a byte and 16 bits of a weight are 24 bits, and so are a byte and 16 binary places.
    """
    others = partners.to(torch.float32)
    blended = (images.to(torch.float32) - others).mul_(weights.to(torch.float32) / ONE).add_(others)
    return blended.add_(0.5).to(torch.uint8)


def _span(
    centre: NDArray[np.int64], half: NDArray[np.float64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first and end of the pixels within `half * size` of each `centre[B]`, cut at the edges: `[B]` each."""
    reach = (half * size).astype(np.int64)
    return np.maximum(centre - reach, 0), np.minimum(centre + reach, size)
