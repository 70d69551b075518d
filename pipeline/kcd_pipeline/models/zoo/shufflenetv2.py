"""ShuffleNet V2 for small images (Ma et al., ECCV 2018, table 5, 1x), with RepDistiller's state-dict keys.

Several forms go by `ShuffleV2`. This is the one of the distillation tables: width 1x, and a stem that is a 1x1
convolution at full resolution. Others have a 3x3 stem; `torchvision/shufflenet_v2_x1_0` is the ImageNet form.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kcd_pipeline.models.zoo.blocks import Classifier, channel_shuffle, conv1x1, conv3x3, global_average_pool

STEM = 24  # channels of the first convolution


class ShuffleUnit(nn.Module):
    """Keep half of the channels, send the others through 1x1, 3x3 on each channel and 1x1; shuffle all (figure 3c)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1 = conv1x1(half, half)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = conv3x3(half, half, groups=half)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = conv1x1(half, half)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        kept, x = x.chunk(2, dim=1)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn3(self.conv3(self.bn2(self.conv2(x)))))
        return channel_shuffle(torch.cat([kept, x], dim=1), 2)


class DownsamplingUnit(nn.Module):
    """Send all channels through both branches, which halve the resolution; shuffle their outputs (figure 3d)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.conv1 = conv3x3(inputs, inputs, stride=2, groups=inputs)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv2 = conv1x1(inputs, half)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = conv1x1(inputs, half)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = conv3x3(half, half, stride=2, groups=half)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = conv1x1(half, half)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        left = F.relu(self.bn2(self.conv2(self.bn1(self.conv1(x)))))
        right = F.relu(self.bn3(self.conv3(x)))
        right = F.relu(self.bn5(self.conv5(self.bn4(self.conv4(right)))))
        return channel_shuffle(torch.cat([left, right], dim=1), 2)


class ShuffleNetV2(Classifier):
    """`images[B, K, H, W]` float -> `logits[B, C]`, for images of any size.

    Parameters
    ----------
    widths
        Channels of each stage and of the last convolution.
    """

    last_layer = "linear"

    def __init__(self, *, widths: tuple[int, int, int, int], channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = conv1x1(channels, STEM)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.layer1 = _stage(STEM, widths[0], 4)
        self.layer2 = _stage(widths[0], widths[1], 8)
        self.layer3 = _stage(widths[1], widths[2], 4)
        self.conv2 = conv1x1(widths[2], widths[3])
        self.bn2 = nn.BatchNorm2d(widths[3])
        self.linear = nn.Linear(widths[3], classes)  # initial weights stay torch's own

    def features(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return global_average_pool(F.relu(self.bn2(self.conv2(x))))


def _stage(inputs: int, outputs: int, units: int) -> nn.Sequential:
    return nn.Sequential(DownsamplingUnit(inputs, outputs), *(ShuffleUnit(outputs) for _ in range(units - 1)))


# name -> widths of the stages and of the last convolution
VARIANTS: dict[str, tuple[int, int, int, int]] = {"ShuffleV2": (116, 232, 464, 1024)}


def build(name: str, *, channels: int, classes: int) -> ShuffleNetV2:
    """Return a new `name` of VARIANTS; its initial weights come from torch's global generator."""
    return ShuffleNetV2(widths=VARIANTS[name], channels=channels, classes=classes)
