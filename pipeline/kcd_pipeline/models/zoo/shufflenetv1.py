"""ShuffleNet for small images (Zhang et al., CVPR 2018, table 1, g = 3), with RepDistiller's state-dict keys.

Several forms go by `ShuffleV1`. This is the one of the distillation tables: the stem is a 1x1 convolution at full
resolution, where the paper has a strided 3x3 convolution and pooling.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kcd_pipeline.models.zoo.blocks import Classifier, channel_shuffle, conv1x1, conv3x3, global_average_pool

STEM = 24  # channels of the first convolution


class ShuffleUnit(nn.Module):
    """Grouped 1x1, channel shuffle, 3x3 on each channel, grouped 1x1 (figure 2b and 2c).

    With stride 1 the input is added to the result. With stride 2 the input is pooled and concatenated to it, so the
    convolutions make only the channels that are still needed. The 1x1 convolution after the stem is not grouped.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, groups: int) -> None:
        super().__init__()
        made = outputs - inputs if stride == 2 else outputs
        hidden = made // 4
        self._groups = 1 if inputs == STEM else groups
        self._stride = stride
        self.conv1 = conv1x1(inputs, hidden, groups=self._groups)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = conv3x3(hidden, hidden, stride=stride, groups=hidden)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.conv3 = conv1x1(hidden, made, groups=groups)
        self.bn3 = nn.BatchNorm2d(made)

    def forward(self, x: Tensor) -> Tensor:
        out = channel_shuffle(F.relu(self.bn1(self.conv1(x))), self._groups)
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self._stride == 1:
            return F.relu(out + x)
        return F.relu(torch.cat([out, F.avg_pool2d(x, 3, stride=2, padding=1)], dim=1))


class ShuffleNetV1(Classifier):
    """`images[B, K, H, W]` float -> `logits[B, C]`, for images of any size.

    Parameters
    ----------
    widths
        Channels of each stage.
    groups
        Groups of the 1x1 convolutions.
    """

    last_layer = "linear"

    def __init__(self, *, widths: tuple[int, int, int], groups: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = conv1x1(channels, STEM)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.layer1 = _stage(STEM, widths[0], 4, groups=groups)
        self.layer2 = _stage(widths[0], widths[1], 8, groups=groups)
        self.layer3 = _stage(widths[1], widths[2], 4, groups=groups)
        self.linear = nn.Linear(widths[2], classes)  # initial weights stay torch's own

    def features(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return global_average_pool(self.layer3(self.layer2(self.layer1(x))))


def _stage(inputs: int, outputs: int, units: int, *, groups: int) -> nn.Sequential:
    first = ShuffleUnit(inputs, outputs, stride=2, groups=groups)
    return nn.Sequential(first, *(ShuffleUnit(outputs, outputs, stride=1, groups=groups) for _ in range(units - 1)))


# name -> widths of the stages, and groups of the 1x1 convolutions
VARIANTS: dict[str, tuple[tuple[int, int, int], int]] = {"ShuffleV1": ((240, 480, 960), 3)}


def build(name: str, *, channels: int, classes: int) -> ShuffleNetV1:
    """Return a new `name` of VARIANTS; its initial weights come from torch's global generator."""
    widths, groups = VARIANTS[name]
    return ShuffleNetV1(widths=widths, groups=groups, channels=channels, classes=classes)
