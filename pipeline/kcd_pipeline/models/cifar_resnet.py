"""ResNets for small images (He et al., CVPR 2016, section 4.2), with RepDistiller's names and state-dict keys.

The three stages work at full, half and quarter resolution. `resnetD` has depth D = 6n + 2, n blocks a stage.
`x4` means stage widths of 64, 128, 256 after a stem of 32. Letters: B batch, K input channels, C classes.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)) + shortcut, inplace=True)


class CifarResNet(nn.Module):
    """`images[B, K, H, W]` float -> `logits[B, C]`."""

    def __init__(self, *, depth: int, widths: tuple[int, int, int, int], channels: int, classes: int) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest:
            raise ValueError(f"depth must be 6n + 2, got {depth}")
        stem, *stages = widths
        self.conv1 = nn.Conv2d(channels, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = _stage(stem, stages[0], blocks, stride=1)
        self.layer2 = _stage(stages[0], stages[1], blocks, stride=2)
        self.layer3 = _stage(stages[1], stages[2], blocks, stride=2)
        self.fc = nn.Linear(stages[2], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean(dim=(2, 3)))


def _stage(inputs: int, outputs: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)))


NARROW = (16, 16, 32, 64)
WIDE = (32, 64, 128, 256)

# name -> depth and widths; a new one is a new line
VARIANTS: dict[str, tuple[int, tuple[int, int, int, int]]] = {
    "resnet8": (8, NARROW),
    "resnet14": (14, NARROW),
    "resnet20": (20, NARROW),
    "resnet8x4": (8, WIDE),
    "resnet32x4": (32, WIDE),
}


def build(name: str, *, channels: int, classes: int) -> CifarResNet:
    """The variant called `name`, freshly initialised from torch's global generator."""
    depth, widths = VARIANTS[name]
    return CifarResNet(depth=depth, widths=widths, channels=channels, classes=classes)
