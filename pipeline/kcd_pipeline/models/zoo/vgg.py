"""VGG for small images (Simonyan & Zisserman, ICLR 2015, table 1), with RepDistiller's names and state-dict keys.

`vggD` has D - 3 convolutions of 3x3 in five stages, each followed by a batch norm, and one linear layer; the paper has
three linear layers, which its names count. Max pooling between stages halves the resolution: three times, and a fourth
time for images of 64 pixels a side or more.

Two forms go by these names. These have batch norm (torchvision would call `vgg13` `vgg13_bn`) and a head of 512
features; torchvision's heads have two hidden layers of 4,096.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from kcd_pipeline.models.zoo.blocks import Classifier, global_average_pool, initialise_weights

LARGE = 64  # pixels a side from which the resolution is halved a fourth time


class VGG(Classifier):
    """`images[B, K, H, W]` float -> `logits[B, C]`, for images of 8 pixels a side or more.

    Parameters
    ----------
    convolutions
        Number of convolutions in each stage.
    """

    last_layer = "classifier"

    def __init__(self, *, convolutions: tuple[int, int, int, int, int], channels: int, classes: int) -> None:
        super().__init__()
        self.block0 = _stage(channels, 64, convolutions[0])
        self.block1 = _stage(64, 128, convolutions[1])
        self.block2 = _stage(128, 256, convolutions[2])
        self.block3 = _stage(256, 512, convolutions[3])
        self.block4 = _stage(512, 512, convolutions[4])
        self.classifier = nn.Linear(512, classes)
        initialise_weights(self, linear_std=0.01)

    def features(self, x: Tensor) -> Tensor:
        large = x.shape[2] >= LARGE
        x = F.relu(self.block0(x))
        x = F.relu(self.block1(F.max_pool2d(x, 2)))
        x = F.relu(self.block2(F.max_pool2d(x, 2)))
        x = F.relu(self.block3(F.max_pool2d(x, 2)))
        x = F.relu(self.block4(F.max_pool2d(x, 2) if large else x))
        return global_average_pool(x)


def _stage(inputs: int, outputs: int, convolutions: int) -> nn.Sequential:
    """Return pairs of convolution (with bias) and batch norm, with a ReLU after each pair but the last."""
    layers: list[nn.Module] = []
    for place in range(convolutions):
        convolution = nn.Conv2d(inputs if place == 0 else outputs, outputs, 3, padding=1)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


# name -> convolutions in each stage
VARIANTS: dict[str, tuple[int, int, int, int, int]] = {
    "vgg8": (1, 1, 1, 1, 1),
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}


def build(name: str, *, channels: int, classes: int) -> VGG:
    """Return a new `name` of VARIANTS; its initial weights come from torch's global generator."""
    return VGG(convolutions=VARIANTS[name], channels=channels, classes=classes)
