"""The student of the committed runs: small, so that weights and checkpoints take a few kB."""

from torch.nn import BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential


def tiny(channels: int, classes: int) -> Sequential:
    """`[B, channels, 8, 8]` to `[B, classes]`."""
    return Sequential(
        Conv2d(channels, 4, 3, padding=1), BatchNorm2d(4), ReLU(), MaxPool2d(2), Flatten(), Linear(64, classes)
    )
