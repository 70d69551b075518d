"""ResNets: sizes worked out by hand, RepDistiller's names, and the arithmetic done again with bare functions.

The other families are in test_zoo.py.
"""

import re
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kcd_pipeline.errors import UserError
from kcd_pipeline.models import EXTERNAL_FORMS, build_model, parameter_count, zoo_names
from kcd_pipeline.models.zoo import cifar_resnet
from kcd_pipeline.models.zoo.cifar_resnet import CifarResNet

# Parameters for 3 channels and 100 classes, from the layers' shapes. A convolution k x k from a to b channels has
# k*k*a*b, a batch norm of b channels 2b, the last layer 64*100 + 100.
#
#   narrow (16, 16, 32, 64)
#   stem          3*3*3*16 + 2*16                                                     =    464
#   layer1 block  2 * (9*16*16 + 2*16)                    2 * 2,336                   =  4,672
#   layer2 first  9*16*32 + 9*32*32 + 2*2*32 + 16*32 + 2*32                           = 14,528
#          other  2 * (9*32*32 + 2*32)                                                = 18,560
#   layer3 first  9*32*64 + 9*64*64 + 2*2*64 + 32*64 + 2*64                           = 57,728
#          other  2 * (9*64*64 + 2*64)                                                = 73,984
#   fc            64*100 + 100                                                        =  6,500
#   resnet8   464 + 4,672 + 14,528 + 57,728 + 6,500                                   = 83,892
#   one more block a stage adds 4,672 + 18,560 + 73,984                               = 97,216
#   resnet14  83,892 + 97,216 = 181,108;   resnet20  83,892 + 2 * 97,216              = 278,324
#   resnet32  four more: 472,756;   resnet44  six: 667,188;   resnet56  eight: 861,620;   resnet110  17: 1,736,564
#
#   wide (32, 64, 128, 256)
#   stem          9*3*32 + 2*32                                                       =       928
#   layer1 first  9*32*64 + 9*64*64 + 2*2*64 + 32*64 + 2*64                           =    57,728
#          other  2 * (9*64*64 + 2*64)                                                =    73,984
#   layer2 first  9*64*128 + 9*128*128 + 2*2*128 + 64*128 + 2*128                     =   230,144
#          other  2 * (9*128*128 + 2*128)                                             =   295,424
#   layer3 first  9*128*256 + 9*256*256 + 2*2*256 + 128*256 + 2*256                   =   919,040
#          other  2 * (9*256*256 + 2*256)                                             = 1,180,672
#   fc            256*100 + 100                                                       =    25,700
#   resnet8x4   928 + 57,728 + 230,144 + 919,040 + 25,700                             = 1,233,540
#   resnet32x4  1,233,540 + 4 * (73,984 + 295,424 + 1,180,672)                        = 7,433,860
PARAMETERS = {
    "resnet8": 83_892,
    "resnet14": 181_108,
    "resnet20": 278_324,
    "resnet32": 472_756,
    "resnet44": 667_188,
    "resnet56": 861_620,
    "resnet110": 1_736_564,
    "resnet8x4": 1_233_540,
    "resnet32x4": 7_433_860,
}

BN = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def block_keys(block: str, *, downsample: bool) -> list[str]:
    keys = [f"{block}.conv1.weight", *(f"{block}.bn1.{name}" for name in BN)]
    keys += [f"{block}.conv2.weight", *(f"{block}.bn2.{name}" for name in BN)]
    if downsample:
        keys += [f"{block}.downsample.0.weight", *(f"{block}.downsample.1.{name}" for name in BN)]
    return keys


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameter_counts_are_those_worked_out_by_hand(name: str, count: int) -> None:
    assert parameter_count(build_model(name, channels=3, classes=100)) == count


def test_every_resnet_is_counted_by_hand() -> None:
    assert set(cifar_resnet.VARIANTS) == set(PARAMETERS)


def test_fewer_channels_and_classes_save_just_their_weights() -> None:
    # stem: 9*16 per channel; fc: 64 weights and a bias per class
    assert parameter_count(build_model("resnet20", channels=1, classes=10)) == 278_324 - 2 * 144 - 90 * 65


def test_state_dict_keys_are_repdistillers() -> None:
    # HobbitLong/RepDistiller, models/resnet.py: conv1, bn1, layer1..3 of blocks, fc; a 1x1 shortcut named
    # `downsample` where the shape changes
    expected = ["conv1.weight", *(f"bn1.{name}" for name in BN)]
    expected += block_keys("layer1.0", downsample=False) + block_keys("layer1.1", downsample=False)
    expected += block_keys("layer2.0", downsample=True) + block_keys("layer2.1", downsample=False)
    expected += block_keys("layer3.0", downsample=True) + block_keys("layer3.1", downsample=False)
    expected += ["fc.weight", "fc.bias"]
    assert list(build_model("resnet14", channels=3, classes=100).state_dict()) == expected


def test_the_wide_ones_have_a_shortcut_convolution_in_the_first_stage_too() -> None:
    state = build_model("resnet8x4", channels=3, classes=100).state_dict()
    assert state["layer1.0.downsample.0.weight"].shape == (64, 32, 1, 1)
    assert state["layer3.0.conv1.weight"].shape == (256, 128, 3, 3)


def by_functions(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Compute a CIFAR ResNet in evaluation mode from its state dict alone, whose keys tell its depth."""

    def norm(x: Tensor, key: str) -> Tensor:
        mean, var, weight, bias = (
            state[f"{key}.{name}"].view(1, -1, 1, 1) for name in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    x = norm(F.conv2d(x, state["conv1.weight"], padding=1), "bn1").clamp(min=0)
    for stage in (1, 2, 3):
        for block in sorted({int(m[1]) for key in state if (m := re.match(rf"layer{stage}\.(\d+)\.", key))}):
            at = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = norm(F.conv2d(x, state[f"{at}.conv1.weight"], stride=stride, padding=1), f"{at}.bn1").clamp(min=0)
            y = norm(F.conv2d(y, state[f"{at}.conv2.weight"], padding=1), f"{at}.bn2")
            if f"{at}.downsample.0.weight" in state:
                x = norm(F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride), f"{at}.downsample.1")
            x = (x + y).clamp(min=0)
    return F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0] @ state["fc.weight"].T + state["fc.bias"]


def shaken(name: str, *, channels: int, classes: int) -> CifarResNet:
    """Return a float64 model whose batch norms are not the identity, as if it had been trained."""
    torch.manual_seed(1)
    model = build_model(name, channels=channels, classes=classes).double().eval()
    assert isinstance(model, CifarResNet)
    for key, tensor in model.state_dict().items():
        if ".bn" in key or key.startswith("bn") or "downsample.1" in key:
            if key.endswith(("weight", "running_var")):
                tensor.uniform_(0.5, 1.5)
            elif key.endswith(("bias", "running_mean")):
                tensor.normal_(std=0.3)
    return model


@pytest.mark.parametrize("name", ["resnet8", "resnet14", "resnet20", "resnet8x4"])
@torch.inference_mode()
def test_the_forward_pass_is_that_of_bare_functions_over_the_state_dict(name: str) -> None:
    model = shaken(name, channels=3, classes=7)
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(model(images), by_functions(model.state_dict(), images), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("channels", "size", "classes"), [(1, 8, 10), (1, 28, 10), (3, 32, 100), (4, 33, 2)])
@torch.inference_mode()
def test_any_channels_size_and_classes(channels: int, size: int, classes: int) -> None:
    model = build_model("resnet8", channels=channels, classes=classes).eval()
    logits = model(torch.randn(2, channels, size, size))
    assert logits.shape == (2, classes)
    assert logits.isfinite().all()


def test_initial_weights_follow_torchs_seed_and_nothing_else() -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in build_model("resnet8", channels=1, classes=10).parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_convolutions_start_as_he_et_al_have_them() -> None:
    torch.manual_seed(0)
    weight = build_model("resnet32x4", channels=3, classes=10).state_dict()["layer3.0.conv1.weight"]
    assert float(weight.std()) == pytest.approx(
        (2 / (256 * 9)) ** 0.5, rel=0.01
    )  # fan out: 256 channels (not the 128 that come in), 3x3
    assert abs(float(weight.mean())) < 1e-3


@pytest.mark.parametrize(("name", "hint"), [("resnte20", "; did you mean 'resnet20'? "), ("inception", " ")])
def test_an_unknown_model_names_the_nearest_and_all_there_are(name: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        build_model(name, channels=3, classes=10)
    assert (
        str(caught.value)
        == f"there is no model '{name}'{hint}(there are: {', '.join(zoo_names())}; and {EXTERNAL_FORMS})"
    )


def test_a_depth_that_is_no_resnet_of_this_kind_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="depth must be 6n \\+ 2, got 10"):
        CifarResNet(depth=10, widths=(16, 16, 32, 64), channels=3, classes=10)
