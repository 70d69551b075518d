"""Pictures that are mixed as a recipe says, but by hand: in floating point, from views that are not mixed."""

import numpy as np
import torch
from torch import Tensor

from kcd_pipeline.augmentation import build_augmentation, build_mixing
from kcd_pipeline.config import Config
from kcd_pipeline.data import load_dataset


def mixed_by_hand(config: Config, view: int) -> Tensor:
    """Return all training pictures as a model takes them, `[N, C, H, W]` float32, mixed and rounded to bytes."""
    dataset, mixing = load_dataset(config.data), build_mixing(config.augmentation)
    assert mixing is not None
    count, (height, width) = len(dataset.train), dataset.image_shape[1:]
    drawn = mixing.draw(np.arange(count), view, samples=count, height=height, width=width)
    images = torch.stack([dataset.train.image(sample) for sample in range(count)])
    alone = build_augmentation(config.augmentation)(images, np.arange(count), view).double()
    weight, top, bottom, left, right = drawn.parameters
    w = torch.from_numpy(weight / 2**16)[:, None, None, None]
    mixed = torch.floor(w * alone + (1 - w) * alone[drawn.partner] + 0.5)
    for k in range(count):
        rows, columns = slice(top[k], bottom[k]), slice(left[k], right[k])
        mixed[k, :, rows, columns] = alone[drawn.partner[k], :, rows, columns]
    mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in (dataset.mean, dataset.std))
    return ((mixed / 255 - mean) / std).float()
