"""What the families share: convolutions as they all have them, He's initial weights, the network in two halves.

Letters, here and in every family: B batch, K input channels, C classes, D features, H and W pixels.
"""

from typing import ClassVar

from torch import Tensor, nn


class Classifier(nn.Module):
    """`images[B, K, H, W]` float -> `logits[B, C]`, by way of penultimate `features(images)[B, D]`.

    A family says how features are made and which of its modules turns them into logits.
    """

    last_layer: ClassVar[str]  # that module's name, and so the prefix of its keys in the state dict

    def features(self, x: Tensor) -> Tensor:
        """`images[B, K, H, W]` -> what the last layer sees, `[B, D]`."""
        raise NotImplementedError  # each family has its own; a Classifier alone is no model

    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule(self.last_layer)(self.features(x))


def conv3x3(inputs: int, outputs: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Keeps the resolution, or halves it by `stride` 2; without bias, for a batch norm follows."""
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, groups=groups, bias=False)


def conv1x1(inputs: int, outputs: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Mixes channels; without bias, for a batch norm follows."""
    return nn.Conv2d(inputs, outputs, 1, stride=stride, groups=groups, bias=False)


def global_mean(x: Tensor) -> Tensor:
    """`[B, D, H, W]` -> `[B, D]`, whatever the size: at 32x32 the average pooling of the published definitions."""
    return x.mean(dim=(2, 3))


def shuffled(x: Tensor, groups: int) -> Tensor:
    """Channels of `x[B, D, H, W]` dealt out so that neighbours come from different groups (ShuffleNet, section 3.1)."""
    batch, depth, height, width = x.shape
    return x.view(batch, groups, depth // groups, height, width).transpose(1, 2).reshape(x.shape)


def initialise(model: nn.Module, *, linear_std: float | None = None) -> None:
    """Convolutions normal with He's deviation over fan out; the last layer normal with `linear_std`, if given."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear) and linear_std is not None:
            nn.init.normal_(module.weight, std=linear_std)
            nn.init.zeros_(module.bias)
