"""ResNet-50 for small images (He et al., CVPR 2016, table 1), with RepDistiller's state-dict keys.

Two forms go by this name. Here the stem is a 3x3 convolution at full resolution and the last layer is `linear`.
`torchvision/resnet50` has ImageNet's stem (7x7 with stride 2, then pooling), a last layer `fc`, and other names for its
shortcuts.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from kcd_pipeline.models.zoo.blocks import Classifier, conv1x1, conv3x3, global_average_pool, initialise_weights

EXPANSION = 4  # output channels of a block for each channel of its 3x3 convolution


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut around them, which is a 1x1 convolution if the shape changes."""

    def __init__(self, inputs: int, width: int, *, stride: int) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.conv1 = conv1x1(inputs, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride=stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, outputs)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.extend([conv1x1(inputs, outputs, stride=stride), nn.BatchNorm2d(outputs)])

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        return F.relu(self.bn3(self.conv3(x)) + shortcut, inplace=True)


class BottleneckResNet(Classifier):
    """`images[B, K, H, W]` float -> `logits[B, C]`, for images of any size.

    Parameters
    ----------
    blocks
        Number of blocks in each stage.
    """

    last_layer = "linear"

    def __init__(self, *, blocks: tuple[int, int, int, int], channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels, 64)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, blocks[0], stride=1)
        self.layer2 = _stage(EXPANSION * 64, 128, blocks[1], stride=2)
        self.layer3 = _stage(EXPANSION * 128, 256, blocks[2], stride=2)
        self.layer4 = _stage(EXPANSION * 256, 512, blocks[3], stride=2)
        self.linear = nn.Linear(EXPANSION * 512, classes)
        initialise_weights(self)

    def features(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return global_average_pool(self.layer4(self.layer3(self.layer2(self.layer1(x)))))


def _stage(inputs: int, width: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = Bottleneck(inputs, width, stride=stride)
    return nn.Sequential(first, *(Bottleneck(EXPANSION * width, width, stride=1) for _ in range(blocks - 1)))


# name -> blocks in each stage
VARIANTS: dict[str, tuple[int, int, int, int]] = {"ResNet50": (3, 4, 6, 3)}


def build(name: str, *, channels: int, classes: int) -> BottleneckResNet:
    """Return a new `name` of VARIANTS; its initial weights come from torch's global generator."""
    return BottleneckResNet(blocks=VARIANTS[name], channels=channels, classes=classes)
