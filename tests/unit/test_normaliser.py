"""Pixels are normalised by the arithmetic of numpy's float32, bit by bit, and lie in memory as before."""

import numpy as np
import pytest
import torch

from kcd_pipeline.augmentation import Normaliser

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


@pytest.mark.parametrize("shape", [(5, 3, 8, 6), (1, 3, 1, 1), (2, 1, 4, 4), (0, 3, 4, 4)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_each_pixel_is_scaled_and_then_shifted(shape: tuple[int, ...], memory_format: torch.memory_format) -> None:
    channels = shape[1]
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    mean, std = np.array(MEAN[:channels]), np.array(STD[:channels])
    scale, shift = (part.astype(np.float32).reshape(-1, 1, 1) for part in (1 / (255 * std), -mean / std))
    normalise = Normaliser(mean=MEAN[:channels], std=STD[:channels], device=torch.device("cpu"))
    given = torch.from_numpy(pixels).contiguous(memory_format=memory_format)
    found = normalise(given)
    np.testing.assert_array_equal(found.numpy(), pixels * scale + shift)
    # a convolution chooses its arithmetic by the strides
    assert found.stride() == given.to(torch.float32, memory_format=torch.channels_last).stride()
