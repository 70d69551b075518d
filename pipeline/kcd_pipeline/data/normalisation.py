"""Mean and standard deviation of the pixels of a data set."""

import torch
from torch import Tensor

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation of each channel, for 0..1

# the field's numbers (RepDistiller's for CIFAR-100), so that published teachers see the pixels they were trained on
FIELDS_OWN: dict[str, Normalisation] = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}


def measure_normalisation(images: Tensor) -> Normalisation:
    """Return mean and standard deviation per channel of `images[N, C, H, W]` uint8 scaled to 0..1, to four digits.

    They are computed from exact integer histograms, so that no order of summation and no number of threads changes
    them.
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten().long(), minlength=256).double()
        mean = float((counts * levels).sum() / counts.sum())
        variance = float((counts * (levels - mean) ** 2).sum() / counts.sum())
        means.append(round(mean, 4))
        deviations.append(max(round(variance**0.5, 4), 1e-4))  # a constant channel must not divide by zero
    return tuple(means), tuple(deviations)
