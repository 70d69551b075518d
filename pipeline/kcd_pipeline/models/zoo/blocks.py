"""Building blocks that the families share: convolutions, pooling, initial weights, and the two halves of a network.

Letters, here and in every family: B batch, K input channels, C classes, D features, H and W pixels.
"""

from typing import ClassVar

from torch import Tensor, nn


class Classifier(nn.Module):
    """Classify `images[B, K, H, W]` float as `logits[B, C]`, by way of penultimate `features[B, D]`.

    A family implements `features` and names the module that turns them into logits.
    """

    last_layer: ClassVar[str]  # the name of that module, which is also the prefix of its keys in the state dict

    def features(self, x: Tensor) -> Tensor:
        """Return the features `[B, D]` of `images[B, K, H, W]`, which the last layer takes."""
        raise NotImplementedError  # a Classifier alone is no model: each family has features of its own

    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule(self.last_layer)(self.features(x))


def conv3x3(inputs: int, outputs: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution that divides the resolution by `stride`; without bias, because a batch norm follows."""
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, groups=groups, bias=False)


def conv1x1(inputs: int, outputs: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution that mixes the channels of each pixel; without bias, because a batch norm follows."""
    return nn.Conv2d(inputs, outputs, 1, stride=stride, groups=groups, bias=False)


def global_average_pool(x: Tensor) -> Tensor:
    """Average `[B, D, H, W]` over all pixels: `[B, D]`.

    Published definitions pool by a fixed window, which at 32x32 is the whole image, and fail at other sizes.
    """
    return x.mean(dim=(2, 3))


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Reorder the channels of `x[B, D, H, W]` so that neighbours come from different groups (ShuffleNet, section 3.1).

    Channel `g * D / groups + i`, the i-th of group g, becomes channel `i * groups + g`.
    """
    batch, depth, height, width = x.shape
    return x.view(batch, groups, depth // groups, height, width).transpose(1, 2).reshape(x.shape)


def initialise_weights(model: nn.Module, *, linear_std: float | None = None) -> None:
    """Draw initial weights in place, from torch's global generator.

    Convolutions are normal with variance `2 / fan_out` (He et al., ICCV 2015). Linear layers are normal with standard
    deviation `linear_std`, or keep torch's own initial weights if it is None.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear) and linear_std is not None:
            nn.init.normal_(module.weight, std=linear_std)
            nn.init.zeros_(module.bias)
