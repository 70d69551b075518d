"""ResNets for small images (He et al., CVPR 2016, section 4.2), with RepDistiller's names and state-dict keys.

`resnetD` has depth D = 6n + 2: three stages of n blocks, at full, half and quarter resolution. The stages have 16, 32
and 64 channels after a stem of 16; with `x4` they have 64, 128 and 256 after a stem of 32.

Two forms go by these names. Here a shortcut whose shape changes is a 1x1 convolution and a batch norm (He's option B).
The other form pads it with zeros (option A) and is smaller: its resnet20 has 269,722 parameters for 10 classes.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from kcd_pipeline.models.zoo.blocks import Classifier, conv1x1, conv3x3, global_average_pool, initialise_weights


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them, which is a 1x1 convolution if the shape changes."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, stride=stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv1x1(inputs, outputs, stride=stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)) + shortcut, inplace=True)


class CifarResNet(Classifier):
    """`images[B, K, H, W]` float -> `logits[B, C]`, for images of any size.

    Parameters
    ----------
    depth
        6n + 2, for n blocks in each stage.
    widths
        Channels of the stem and of each stage.
    """

    last_layer = "fc"

    def __init__(self, *, depth: int, widths: tuple[int, int, int, int], channels: int, classes: int) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest:
            raise ValueError(f"depth must be 6n + 2, got {depth}")
        stem, *stages = widths
        self.conv1 = conv3x3(channels, stem)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = _stage(stem, stages[0], blocks, stride=1)
        self.layer2 = _stage(stages[0], stages[1], blocks, stride=2)
        self.layer3 = _stage(stages[1], stages[2], blocks, stride=2)
        self.fc = nn.Linear(stages[2], classes)
        initialise_weights(self)

    def features(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return global_average_pool(self.layer3(self.layer2(self.layer1(x))))


def _stage(inputs: int, outputs: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride=stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, stride=1) for _ in range(blocks - 1)))


NARROW = (16, 16, 32, 64)
WIDE = (32, 64, 128, 256)

# name -> depth, and widths of stem and stages
VARIANTS: dict[str, tuple[int, tuple[int, int, int, int]]] = {
    "resnet8": (8, NARROW),
    "resnet14": (14, NARROW),
    "resnet20": (20, NARROW),
    "resnet32": (32, NARROW),
    "resnet44": (44, NARROW),
    "resnet56": (56, NARROW),
    "resnet110": (110, NARROW),
    "resnet8x4": (8, WIDE),
    "resnet32x4": (32, WIDE),
}


def build(name: str, *, channels: int, classes: int) -> CifarResNet:
    """Return a new `name` of VARIANTS; its initial weights come from torch's global generator."""
    depth, widths = VARIANTS[name]
    return CifarResNet(depth=depth, widths=widths, channels=channels, classes=classes)
