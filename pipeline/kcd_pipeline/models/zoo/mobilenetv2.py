"""MobileNetV2 for small images (Sandler et al., CVPR 2018, table 2), with RepDistiller's state-dict keys.

Several forms go by this name. This is the one of the distillation tables: all widths halved except the last (1,280),
expansion 6, ReLU where the paper has ReLU6, a stem that halves the resolution, and no stride in the paper's second
stage. `torchvision/mobilenet_v2` is the full-width ImageNet form.
"""

from torch import Tensor, nn

from kcd_pipeline.models.zoo.blocks import Classifier, conv1x1, conv3x3, global_average_pool, initialise_weights

STEM, LAST = 32, 1280  # channels of the first convolution at full width, and of the last at any width

# expansion, channels at full width, blocks, stride of the first block
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel by 3x3, project by 1x1 without ReLU; a shortcut where the shape is kept."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self._shortcut = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            *_with_norm(conv1x1(inputs, hidden)),
            nn.ReLU(inplace=True),
            *_with_norm(conv3x3(hidden, hidden, stride=stride, groups=hidden)),
            nn.ReLU(inplace=True),
            *_with_norm(conv1x1(hidden, outputs)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self._shortcut else self.conv(x)


class MobileNetV2(Classifier):
    """`images[B, K, H, W]` float -> `logits[B, C]`, for images of any size.

    Parameters
    ----------
    width
        The factor of all widths except the last.
    """

    last_layer = "classifier"

    def __init__(self, *, width: float, channels: int, classes: int) -> None:
        super().__init__()
        inputs = int(STEM * width)
        self.conv1 = nn.Sequential(*_with_norm(conv3x3(channels, inputs, stride=2)), nn.ReLU(inplace=True))
        self.blocks = nn.Sequential()
        for expansion, full_width, blocks, stride in STAGES:
            outputs = int(full_width * width)
            self.blocks.append(_stage(inputs, outputs, blocks, stride=stride, expansion=expansion))
            inputs = outputs
        self.conv2 = nn.Sequential(*_with_norm(conv1x1(inputs, LAST)), nn.ReLU(inplace=True))
        self.classifier = nn.Sequential(nn.Linear(LAST, classes))  # a sequence of one: its keys are classifier.0.*
        initialise_weights(self, linear_std=0.01)

    def features(self, x: Tensor) -> Tensor:
        return global_average_pool(self.conv2(self.blocks(self.conv1(x))))


def _with_norm(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels)]


def _stage(inputs: int, outputs: int, blocks: int, *, stride: int, expansion: int) -> nn.Sequential:
    first = InvertedResidual(inputs, outputs, stride=stride, expansion=expansion)
    others = (InvertedResidual(outputs, outputs, stride=1, expansion=expansion) for _ in range(blocks - 1))
    return nn.Sequential(first, *others)


# name -> factor of the widths
VARIANTS: dict[str, float] = {"MobileNetV2": 0.5}


def build(name: str, *, channels: int, classes: int) -> MobileNetV2:
    """Return a new `name` of VARIANTS; its initial weights come from torch's global generator."""
    return MobileNetV2(width=VARIANTS[name], channels=channels, classes=classes)
