"""The other families: published sizes, and each forward pass computed again from the state dict with bare functions.

Keys and order of layers in the functions below are those of HobbitLong/RepDistiller's models/{wrn,vgg,mobilenetv2,
ShuffleNetv1,ShuffleNetv2,resnetv2}.py, from which published checkpoints come: a key, a stride, a bias or a ReLU that
were elsewhere would show as a KeyError, a shape or another number.
"""

import itertools
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kcd_pipeline.models import build_model, parameter_count, zoo_names
from kcd_pipeline.models.zoo.blocks import Classifier
from kcd_pipeline.models.zoo.wide_resnet import WideResNet

State = Mapping[str, Tensor]

# for 3 channels and 100 classes, as the definitions' authors and the tables of later papers have them
PUBLISHED = {
    "wrn_16_2": 703_284,
    "wrn_40_1": 569_780,
    "wrn_40_2": 2_255_156,
    "vgg8": 3_965_028,
    "vgg13": 9_462_180,
    "MobileNetV2": 812_836,
    "ShuffleV1": 949_258,
    "ShuffleV2": 1_355_528,
    "ResNet50": 23_705_252,
}


@pytest.mark.parametrize(("name", "count"), PUBLISHED.items())
def test_parameter_counts_are_the_published_ones(name: str, count: int) -> None:
    assert parameter_count(build_model(name, channels=3, classes=100)) == count


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("vgg11", [64, 128, 256, 256, 512, 512, 512, 512]),  # Simonyan & Zisserman, table 1, columns A, D and E
        ("vgg16", [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]),
        ("vgg19", [64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512, 512, 512, 512]),
    ],
)
def test_the_columns_of_the_vgg_paper_are_counted_from_their_widths(name: str, widths: list[int]) -> None:
    convolutions = sum(9 * a * b + b + 2 * b for a, b in itertools.pairwise([3, *widths]))  # weights, biases, norms
    assert parameter_count(build_model(name, channels=3, classes=100)) == convolutions + 512 * 100 + 100


def test_the_narrowest_wide_resnet_is_counted_from_its_blocks() -> None:
    def block(a: int, b: int) -> int:
        return 2 * a + 9 * a * b + 2 * b + 9 * b * b + (a * b if a != b else 0)

    stages = [(16, 16)] * 2 + [(16, 32), (32, 32)] + [(32, 64), (64, 64)]  # 16 = 6 * 2 + 4: two blocks a stage
    count = 9 * 3 * 16 + sum(block(a, b) for a, b in stages) + 2 * 64 + 64 * 100 + 100
    assert parameter_count(build_model("wrn_16_1", channels=3, classes=100)) == count


# --- the forward passes again, by functions --------------------------------------------------------------


def norm(s: State, x: Tensor, key: str) -> Tensor:
    return F.batch_norm(
        x, s[f"{key}.running_mean"], s[f"{key}.running_var"], s[f"{key}.weight"], s[f"{key}.bias"], eps=1e-5
    )


def conv(s: State, x: Tensor, key: str, stride: int = 1, groups: int = 1) -> Tensor:
    weight = s[f"{key}.weight"]
    return F.conv2d(x, weight, s.get(f"{key}.bias"), stride, padding=weight.shape[-1] // 2, groups=groups)


def blocks(s: State, prefix: str) -> list[str]:
    """Return `prefix.0`, `prefix.1`, ... up to the last one in the state dict."""
    numbers = {int(key.removeprefix(f"{prefix}.").split(".")[0]) for key in s if key.startswith(f"{prefix}.")}
    return [f"{prefix}.{number}" for number in sorted(numbers)]


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Move channel g * (D / groups) + j to j * groups + g."""
    size = x.shape[1] // groups
    return x[:, [g * size + j for j in range(size) for g in range(groups)]]


def wide_resnet(s: State, x: Tensor) -> Tensor:
    x = conv(s, x, "conv1")
    for stage, block in ((k, b) for k in (1, 2, 3) for b in blocks(s, f"block{k}.layer")):
        stride = 2 if stage > 1 and block.endswith("layer.0") else 1
        active = norm(s, x, f"{block}.bn1").relu()
        y = norm(s, conv(s, active, f"{block}.conv1", stride), f"{block}.bn2").relu()
        y = conv(s, y, f"{block}.conv2")
        shortcut = f"{block}.convShortcut"
        x = y + (conv(s, active, shortcut, stride) if f"{shortcut}.weight" in s else x)
    x = F.avg_pool2d(norm(s, x, "bn1").relu(), 8).flatten(1)
    return F.linear(x, s["fc.weight"], s["fc.bias"])


def vgg(s: State, x: Tensor) -> Tensor:
    large = x.shape[2] == 64
    for group in range(5):
        convolutions = [key for key in blocks(s, f"block{group}") if s[f"{key}.weight"].ndim == 4]
        for key in convolutions:  # the norm is the next number; the ReLU after it has no weights
            head, number = key.split(".")
            x = norm(s, conv(s, x, key), f"{head}.{int(number) + 1}").relu()
        if group < 3 or (group == 3 and large):
            x = F.max_pool2d(x, 2, 2)
    return F.linear(F.adaptive_avg_pool2d(x, 1).flatten(1), s["classifier.weight"], s["classifier.bias"])


def mobilenetv2(s: State, x: Tensor) -> Tensor:
    x = norm(s, conv(s, x, "conv1.0", stride=2), "conv1.1").relu()
    for stage in range(7):
        for block in blocks(s, f"blocks.{stage}"):
            stride = 2 if stage in (2, 3, 5) and block.endswith(".0") else 1
            y = norm(s, conv(s, x, f"{block}.conv.0"), f"{block}.conv.1").relu()
            y = norm(s, conv(s, y, f"{block}.conv.3", stride, groups=y.shape[1]), f"{block}.conv.4").relu()
            y = norm(s, conv(s, y, f"{block}.conv.6"), f"{block}.conv.7")
            x = x + y if x.shape == y.shape else y
    x = norm(s, conv(s, x, "conv2.0"), "conv2.1").relu()
    return F.linear(F.avg_pool2d(x, 2, ceil_mode=True).flatten(1), s["classifier.0.weight"], s["classifier.0.bias"])


def shufflenetv1(s: State, x: Tensor) -> Tensor:
    x = norm(s, conv(s, x, "conv1"), "bn1").relu()
    for block in (b for k in (1, 2, 3) for b in blocks(s, f"layer{k}")):
        first, down = x.shape[1] == 24, block.endswith(".0")
        groups = 1 if first else 3
        y = shuffle(norm(s, conv(s, x, f"{block}.conv1", groups=groups), f"{block}.bn1").relu(), groups)
        y = norm(s, conv(s, y, f"{block}.conv2", 2 if down else 1, groups=y.shape[1]), f"{block}.bn2").relu()
        y = norm(s, conv(s, y, f"{block}.conv3", groups=3), f"{block}.bn3")
        x = (torch.cat([y, F.avg_pool2d(x, 3, 2, 1)], 1) if down else y + x).relu()
    return F.linear(F.avg_pool2d(x, 4).flatten(1), s["linear.weight"], s["linear.bias"])


def shufflenetv2(s: State, x: Tensor) -> Tensor:
    def step(x: Tensor, key: str, number: int, *, stride: int = 1, each: bool = False) -> Tensor:
        groups = x.shape[1] if each else 1
        return norm(s, conv(s, x, f"{key}.conv{number}", stride, groups), f"{key}.bn{number}")

    x = norm(s, conv(s, x, "conv1"), "bn1").relu()
    for block in (b for k in (1, 2, 3) for b in blocks(s, f"layer{k}")):
        if block.endswith(".0"):
            left = step(step(x, block, 1, stride=2, each=True), block, 2).relu()
            right = step(x, block, 3).relu()
            right = step(step(right, block, 4, stride=2, each=True), block, 5).relu()
        else:
            left, right = x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]
            right = step(step(step(right, block, 1).relu(), block, 2, each=True), block, 3).relu()
        x = shuffle(torch.cat([left, right], 1), 2)
    x = F.avg_pool2d(norm(s, conv(s, x, "conv2"), "bn2").relu(), 4).flatten(1)
    return F.linear(x, s["linear.weight"], s["linear.bias"])


def resnet50(s: State, x: Tensor) -> Tensor:
    x = norm(s, conv(s, x, "conv1"), "bn1").relu()
    for stage, block in ((k, b) for k in (1, 2, 3, 4) for b in blocks(s, f"layer{k}")):
        stride = 2 if stage > 1 and block.endswith(".0") else 1
        y = norm(s, conv(s, x, f"{block}.conv1"), f"{block}.bn1").relu()
        y = norm(s, conv(s, y, f"{block}.conv2", stride), f"{block}.bn2").relu()
        y = norm(s, conv(s, y, f"{block}.conv3"), f"{block}.bn3")
        if f"{block}.shortcut.0.weight" in s:
            x = norm(s, conv(s, x, f"{block}.shortcut.0", stride), f"{block}.shortcut.1")
        x = (x + y).relu()
    return F.linear(F.adaptive_avg_pool2d(x, 1).flatten(1), s["linear.weight"], s["linear.bias"])


BY_FUNCTIONS: dict[str, Callable[[State, Tensor], Tensor]] = {
    "wrn_16_1": wide_resnet,
    "wrn_16_2": wide_resnet,
    "wrn_40_1": wide_resnet,
    "vgg8": vgg,
    "vgg11": vgg,
    "vgg13": vgg,
    "vgg16": vgg,
    "vgg19": vgg,
    "MobileNetV2": mobilenetv2,
    "ShuffleV1": shufflenetv1,
    "ShuffleV2": shufflenetv2,
    "ResNet50": resnet50,
}


class Recorded(dict[str, Tensor]):
    """A state dict that notes which of its entries are read."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.used: set[str] = set()

    def __getitem__(self, key: str) -> Tensor:
        self.used.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Tensor | None = None) -> Tensor | None:  # type: ignore[override]  # one overload
        self.used.add(key)
        return super().get(key, default)


def shaken(name: str) -> Classifier:
    """Return a float64 model whose norms and biases are not the identity, as if it had been trained."""
    torch.manual_seed(1)
    model = build_model(name, channels=3, classes=7).double().eval()
    assert isinstance(model, Classifier)
    for key, tensor in model.state_dict().items():
        if tensor.ndim == 1 and tensor.is_floating_point():
            if key.endswith(("weight", "running_var")):
                tensor.uniform_(0.5, 1.5)
            else:
                tensor.normal_(std=0.3)
    return model


@pytest.mark.parametrize(
    ("name", "size"), [*((name, 32) for name in BY_FUNCTIONS), ("vgg8", 64), ("vgg13", 64), ("vgg8", 8)]
)
@torch.inference_mode()
def test_the_forward_pass_is_that_of_bare_functions_over_the_state_dict(name: str, size: int) -> None:
    model = shaken(name)
    images = torch.randn(2, 3, size, size, dtype=torch.float64)
    state = Recorded(model.state_dict())
    expected = BY_FUNCTIONS[name](state, images)
    assert float(expected.std()) > 1e-6
    torch.testing.assert_close(model(images), expected, rtol=1e-9, atol=1e-9)
    assert {key for key in state if not key.endswith("num_batches_tracked")} == state.used & state.keys()


# --- what all have in common -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo_names())
@torch.inference_mode()
def test_features_and_last_layer_are_the_two_halves_of_every_model(name: str) -> None:
    model = build_model(name, channels=1, classes=10).eval()
    assert isinstance(model, Classifier)
    images = torch.randn(2, 1, 8, 8)
    features = model.features(images)
    assert features.ndim == 2
    last = model.get_submodule(model.last_layer)
    assert torch.equal(last(features), model(images))
    assert {key for key, tensor in last.named_parameters()} <= {"weight", "bias", "0.weight", "0.bias"}


@pytest.mark.parametrize("name", [*BY_FUNCTIONS, "resnet110"])
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (4, 33), (3, 64)])
@torch.inference_mode()
def test_every_family_takes_any_channels_classes_and_size(name: str, channels: int, size: int) -> None:
    logits = build_model(name, channels=channels, classes=3).eval()(torch.randn(2, channels, size, size))
    assert logits.shape == (2, 3)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", ["wrn_16_2", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2", "ResNet50"])
def test_the_loss_reaches_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, channels=3, classes=2)
    F.cross_entropy(model(torch.randn(4, 3, 32, 32)), torch.tensor([0, 1, 0, 1])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in model.parameters())


def test_a_depth_that_is_no_wide_resnet_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="depth must be 6n \\+ 4, got 12"):
        WideResNet(depth=12, widen=1, channels=3, classes=10)
