"""Pixels of views are the same on every device: their arithmetic is exact, and depends on nothing but parameters."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.support.waiting import N, RefuseToWait, dataset, named_augmentation
from torch.utils._python_dispatch import TorchDispatchMode

from kcd_pipeline.augmentation import build_augmentation, build_mixing
from kcd_pipeline.config import AugmentationConfig


@pytest.mark.parametrize("name", ["none", "crop-flip", "resized-crop-flip", "pipeline"])
def test_augmentation_depends_on_no_value_but_its_parameters(name: str) -> None:
    """numpy draws the parameters on the host, and exact operations apply them: all devices give the same pixels."""
    images = dataset().train.images  # type: ignore[attr-defined]  # in memory
    augmentation = named_augmentation(name)
    index = np.arange(N)
    drawn = augmentation.parameters(index, 3, 16, 16)
    parameters = torch.from_numpy(drawn)
    with RefuseToWait():
        pixels = augmentation.apply(images, parameters, drawn)
    assert augmentation.apply(images.to("meta"), parameters.to("meta"), drawn).shape == images.shape
    assert pixels.dtype == torch.uint8
    torch.testing.assert_close(pixels, augmentation(images, index, 3), rtol=0, atol=0)


class RefuseInexact(TorchDispatchMode):
    """Fails on operations whose result may hang on the device: all of floating-point numbers but single roundings.

    IEEE 754 fixes the last bit of a sum, product and quotient, but not of sums of many numbers, nor whether a product
    and a sum are rounded together, as `add` with `alpha` is on some devices.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given, kwargs = func(*args, **(kwargs or {})), kwargs or {}
        if isinstance(given, torch.Tensor) and given.is_floating_point():
            assert func.overloadpacket in FIXED, f"{func} is not exact"
            assert kwargs.get("alpha", 1) == 1, f"{func} may be fused"
        return given


MOVES = ("_to_copy", "arange", "where", "unsqueeze", "select", "slice")  # no arithmetic
ROUNDED = ("clamp", "trunc", "floor", "fmod", "add", "sub", "rsub", "mul", "div", "add_", "mul_")
FIXED = {getattr(torch.ops.aten, name) for name in (*MOVES, *ROUNDED)}


@pytest.mark.parametrize("name", ["crop-flip", "resized-crop-flip", "pipeline"])
def test_augmentation_is_exact_from_end_to_end(name: str) -> None:
    images = dataset().train.images  # type: ignore[attr-defined]  # in memory
    augmentation = named_augmentation(name)
    parameters = torch.from_numpy(augmentation.parameters(np.arange(N), 1, 16, 16))
    with RefuseInexact():
        augmentation.apply(images, parameters)


@pytest.mark.parametrize("name", ["mixup", "cutmix", "mixup-cutmix"])
def test_mixing_is_integer_arithmetic_from_end_to_end(name: str) -> None:
    images = dataset().train.images  # type: ignore[attr-defined]  # in memory
    mixing = build_mixing(AugmentationConfig(mix={"name": name}))
    assert mixing is not None
    drawn = mixing.draw(np.arange(N), 1, samples=N, height=16, width=16)
    with RefuseInexact(), RefuseToWait():
        mixing.apply(images, images.flip(0), torch.from_numpy(drawn.parameters))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["crop-flip", "resized-crop-flip", "pipeline"])
def test_a_gpu_shows_the_same_pixels(name: str) -> None:
    images = dataset().train.images  # type: ignore[attr-defined]  # in memory
    augmentation = named_augmentation(name)
    index = np.arange(N)
    there = augmentation(images.cuda(), index, 2)
    torch.testing.assert_close(there.cpu(), augmentation(images, index, 2), rtol=0, atol=0)


def test_views_drawn_many_at_once_are_those_drawn_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from kcd_pipeline.augmentation import views as module

    monkeypatch.setattr(module, "DRAWN_AT_ONCE", 20)
    views = dataset().train_views(build_augmentation(AugmentationConfig()), torch.device("cpu"))
    order = np.random.default_rng(2).permutation(N)
    cut = [order[:7], order[7:14], order[14:21], order[21:22], order[22:]]
    seen = list(views.batches(cut, 3))
    assert [index.tolist() for index, _ in seen] == [index.tolist() for index in cut]
    for index, images in seen:
        torch.testing.assert_close(images, views.batch(index, 3), rtol=0, atol=0)
    assert list(views.batches([], 0)) == []
