"""VGG for small images (Simonyan & Zisserman, ICLR 2015, table 1), with RepDistiller's names and state-dict keys.

`vggD` has D - 3 convolutions of 3x3, each with a batch norm, in five groups; where the paper has three linear layers,
which its names count, there is one. Pooling between groups halves the resolution: three times, and a fourth time for
images of 64 pixels and more.

Two forms go by these names: here they have batch norm (`vgg13` is what torchvision would call `vgg13_bn`) and a head of
512 features; torchvision's have two hidden layers of 4,096.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from kcd_pipeline.models.zoo.blocks import Classifier, global_mean, initialise

LARGE = 64  # pixels a side from which the resolution is halved a fourth time


class VGG(Classifier):
    """`images[B, K, H, W]` float -> `logits[B, C]`; images of 8 pixels a side or more."""

    last_layer = "classifier"

    def __init__(self, *, convolutions: tuple[int, int, int, int, int], channels: int, classes: int) -> None:
        super().__init__()
        self.block0 = _group(channels, 64, convolutions[0])
        self.block1 = _group(64, 128, convolutions[1])
        self.block2 = _group(128, 256, convolutions[2])
        self.block3 = _group(256, 512, convolutions[3])
        self.block4 = _group(512, 512, convolutions[4])
        self.classifier = nn.Linear(512, classes)
        initialise(self, linear_std=0.01)

    def features(self, x: Tensor) -> Tensor:
        large = x.shape[2] >= LARGE
        x = F.relu(self.block0(x))
        x = F.relu(self.block1(F.max_pool2d(x, 2)))
        x = F.relu(self.block2(F.max_pool2d(x, 2)))
        x = F.relu(self.block3(F.max_pool2d(x, 2)))
        x = F.relu(self.block4(F.max_pool2d(x, 2) if large else x))
        return global_mean(x)


def _group(inputs: int, width: int, convolutions: int) -> nn.Sequential:
    """Convolution (with bias) and norm, with ReLU between one pair and the next; the last ReLU is the caller's."""
    layers: list[nn.Module] = []
    for place in range(convolutions):
        layers += [nn.Conv2d(inputs if place == 0 else width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


# name -> convolutions in each group
VARIANTS: dict[str, tuple[int, int, int, int, int]] = {
    "vgg8": (1, 1, 1, 1, 1),
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}


def build(name: str, *, channels: int, classes: int) -> VGG:
    """The variant called `name`, freshly initialised from torch's global generator."""
    return VGG(convolutions=VARIANTS[name], channels=channels, classes=classes)
