"""Random erasing: a box of the image is replaced by one value or by noise.

Zhong et al., "Random Erasing Data Augmentation" (AAAI 2020).

Letters: B samples of a batch, b of them that are erased.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.boxes import SIZE_WORDS, draw_sizes
from kcd_pipeline.augmentation.operations.noise import noise, noise_of_one
from kcd_pipeline.device_moves import to_device
from kcd_stores.philox import below, uniform

NOISE = "noise"


@dataclass(frozen=True, kw_only=True)
class Erasing:
    """Erase a random box with a `probability`: torchvision's RandomErasing, on bytes before they are normalised.

    Attributes
    ----------
    scale
        Smallest and largest area of the box, as a fraction of the image.
    ratio
        Smallest and largest aspect of the box, height over width, as torchvision has it.
    value
        The byte that every erased pixel becomes in each channel, or `noise`: a byte of its own, uniform in 0..255.
    """

    probability: float
    scale: tuple[float, float]
    ratio: tuple[float, float]
    value: int | str

    words = SIZE_WORDS + 5

    def describe(self) -> dict[str, Any]:
        return {"name": "erasing", **asdict(self), "scale": list(self.scale), "ratio": list(self.ratio)}

    def parameters(self, words: NDArray[np.uint32], height: int, width: int) -> NDArray[np.int64]:
        """Draw top, left, height and width of the box in pixels, and the two words of the noise's key: `[6, B]`.

        The first of ten boxes that is smaller than the image both ways is taken. Height and width are 0 if nothing is
        erased, because none fits or by chance.
        """
        # the aspect that is drawn is width over height, of an image that lies on its side
        w, h = draw_sizes(words, width, height, scale=self.scale, ratio=self.ratio)
        fits = (h < height) & (w < width)
        erased = fits.any(axis=0) & (uniform(words[SIZE_WORDS]) < self.probability)
        first, columns = fits.argmax(axis=0), np.arange(words.shape[1])
        h, w = (np.where(erased, size[first, columns], 0) for size in (h, w))
        top, left = below(words[SIZE_WORDS + 1], height - h + 1), below(words[SIZE_WORDS + 2], width - w + 1)
        return np.stack([top, left, h, w, *words[SIZE_WORDS + 3 :].astype(np.int64)])

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any]) -> Tensor:
        places = np.flatnonzero(drawn[2] * drawn[3])
        if len(places) == 0:
            return images
        there = to_device(places, images.device)
        largest = int((drawn[2] * drawn[3]).max())
        erased = self._erased(images[there], parameters[:, there], images.shape[1] * largest)
        return images.index_copy(0, there, erased)

    def _erased(self, images: Tensor, parameters: Tensor, largest: int) -> Tensor:
        """Return `images[b, C, H, W]`, all of which have a box, without what is in it.

        The `largest` box has so many bytes in all channels. Noise fills a box channel by channel, and row by row.
        """
        _, channels, height, width = images.shape
        top, left, h, w = parameters[:4, :, None]
        y, x = torch.arange(height, device=images.device) - top, torch.arange(width, device=images.device) - left
        inside = ((y >= 0) & (y < h))[:, None, :, None] & ((x >= 0) & (x < w))[:, None, None, :]
        if self.value != NOISE:
            return images.masked_fill(inside, int(self.value))
        channel = torch.arange(channels, device=images.device)[:, None, None]
        within = channel * (h * w)[..., None, None] + (y * w)[:, None, :, None] + x[:, None, None, :]
        made = noise(parameters[4:], largest).gather(1, within.clamp(0, largest - 1).flatten(1))
        return torch.where(inside, made.view_as(images), images)

    def apply_picture(self, picture: Image.Image, parameters: NDArray[Any]) -> Image.Image:
        top, left, h, w = map(int, parameters[:4])
        if not h * w:
            return picture
        box = (left, top, left + w, top + h)
        picture = picture.copy()
        if self.value != NOISE:
            picture.paste((int(self.value),) * 3, box)
            return picture
        low, high = map(int, parameters[4:])
        made = noise_of_one(low | high << 32, 3 * h * w).reshape(3, h, w)
        picture.paste(Image.fromarray(made.transpose(1, 2, 0).copy()), box)
        return picture
