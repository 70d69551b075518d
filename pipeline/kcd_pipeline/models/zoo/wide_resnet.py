"""Wide residual networks (Zagoruyko & Komodakis, BMVC 2016), with RepDistiller's names and state-dict keys.

`wrn_D_W` has depth D = 6n + 4: three stages of n blocks, with 16W, 32W and 64W channels. Norm and ReLU come before each
convolution; where the shape changes, the shortcut branches off after the first of them. There is no dropout.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from kcd_pipeline.models.zoo.blocks import Classifier, conv1x1, conv3x3, global_average_pool, initialise_weights


class BasicBlock(nn.Module):
    """Norm, ReLU and 3x3 convolution, twice, and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv3x3(inputs, outputs, stride=stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs)
        # a stride alone would need one too, but every stage that strides also widens
        self.convShortcut = None if inputs == outputs else conv1x1(inputs, outputs, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(active)
        out = F.relu(self.bn2(self.conv1(active)), inplace=True)
        return shortcut + self.conv2(out)


class Stage(nn.Module):
    """Blocks of one resolution; the published state dicts have their keys below `layer`."""

    def __init__(self, inputs: int, outputs: int, blocks: int, *, stride: int) -> None:
        super().__init__()
        first = BasicBlock(inputs, outputs, stride=stride)
        self.layer = nn.Sequential(first, *(BasicBlock(outputs, outputs, stride=1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class WideResNet(Classifier):
    """`images[B, K, H, W]` float -> `logits[B, C]`, for images of any size.

    Parameters
    ----------
    depth
        6n + 4, for n blocks in each stage.
    widen
        W, the factor of the stages' widths.
    """

    last_layer = "fc"

    def __init__(self, *, depth: int, widen: int, channels: int, classes: int) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 4, 6)
        if rest:
            raise ValueError(f"depth must be 6n + 4, got {depth}")
        widths = [16 * widen, 32 * widen, 64 * widen]
        self.conv1 = conv3x3(channels, 16)
        self.block1 = Stage(16, widths[0], blocks, stride=1)
        self.block2 = Stage(widths[0], widths[1], blocks, stride=2)
        self.block3 = Stage(widths[1], widths[2], blocks, stride=2)
        self.bn1 = nn.BatchNorm2d(widths[2])
        self.fc = nn.Linear(widths[2], classes)
        initialise_weights(self)
        nn.init.zeros_(self.fc.bias)

    def features(self, x: Tensor) -> Tensor:
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return global_average_pool(F.relu(self.bn1(x), inplace=True))


# name -> depth and widening factor
VARIANTS: dict[str, tuple[int, int]] = {
    "wrn_16_1": (16, 1),
    "wrn_16_2": (16, 2),
    "wrn_40_1": (40, 1),
    "wrn_40_2": (40, 2),
}


def build(name: str, *, channels: int, classes: int) -> WideResNet:
    """Return a new `name` of VARIANTS; its initial weights come from torch's global generator."""
    depth, widen = VARIANTS[name]
    return WideResNet(depth=depth, widen=widen, channels=channels, classes=classes)
