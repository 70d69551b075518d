"""MobileNetV2 for small images (Sandler et al., CVPR 2018, table 2), with RepDistiller's state-dict keys.

Several forms go by this name. This is the one of the distillation tables: all widths halved (but for the last, 1,280),
expansion 6, ReLU where the paper has ReLU6, a stem that halves the resolution, and no stride in the paper's second
stage. `torchvision/mobilenet_v2` is the full-width ImageNet form.
"""

from torch import Tensor, nn

from kcd_pipeline.models.zoo.blocks import Classifier, conv1x1, conv3x3, global_mean, initialise

# expansion, channels at full width, blocks, stride of the first of them
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM, LAST = 32, 1280


def _normed(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels)]


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel by 3x3, project by 1x1 without ReLU; a shortcut where the shape is kept."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self._shortcut = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            *_normed(conv1x1(inputs, hidden)),
            nn.ReLU(inplace=True),
            *_normed(conv3x3(hidden, hidden, stride=stride, groups=hidden)),
            nn.ReLU(inplace=True),
            *_normed(conv1x1(hidden, outputs)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self._shortcut else self.conv(x)


class MobileNetV2(Classifier):
    """`images[B, K, H, W]` float -> `logits[B, C]`; any size of images."""

    last_layer = "classifier"

    def __init__(self, *, width: float, channels: int, classes: int) -> None:
        super().__init__()
        inputs = int(STEM * width)
        self.conv1 = nn.Sequential(*_normed(conv3x3(channels, inputs, stride=2)), nn.ReLU(inplace=True))
        self.blocks = nn.Sequential()
        for expansion, full, blocks, stride in STAGES:
            outputs = int(full * width)
            strides = [stride] + [1] * (blocks - 1)
            sources = [inputs] + [outputs] * (blocks - 1)
            pairs = zip(sources, strides, strict=True)
            self.blocks.append(nn.Sequential(*(InvertedResidual(i, outputs, s, expansion) for i, s in pairs)))
            inputs = outputs
        self.conv2 = nn.Sequential(*_normed(conv1x1(inputs, LAST)), nn.ReLU(inplace=True))
        self.classifier = nn.Sequential(nn.Linear(LAST, classes))  # a sequence of one: its keys are classifier.0.*
        initialise(self, linear_std=0.01)

    def features(self, x: Tensor) -> Tensor:
        return global_mean(self.conv2(self.blocks(self.conv1(x))))


# name -> factor of all widths
VARIANTS: dict[str, float] = {"MobileNetV2": 0.5}


def build(name: str, *, channels: int, classes: int) -> MobileNetV2:
    """The variant called `name`, freshly initialised from torch's global generator."""
    return MobileNetV2(width=VARIANTS[name], channels=channels, classes=classes)
