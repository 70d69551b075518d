"""Changes of pixels against torchvision v2: the bytes that it makes of pictures, and of tensors to within rounding."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tvf

from kcd_pipeline.augmentation.operations import affine
from kcd_pipeline.augmentation.operations.blur import BLUR, GaussianBlur
from kcd_pipeline.augmentation.operations.changes import CHANGES, UNIT, Change, move

N, HEIGHT, WIDTH = 12, 37, 45
RANDOM = np.random.default_rng(0)
FACTORS = RANDOM.integers(0, 2 * UNIT, N)
ONES = np.ones(N, np.int64)
HUES = RANDOM.uniform(-0.5, 0.5, N)
SHEARS = RANDOM.integers(-64_000, 64_000, N)  # in units of 2**-16
SHIFTS = RANDOM.integers(-30, 30, N)
DEGREES = np.concatenate([[0, 90, -90, 180], RANDOM.uniform(-135, 135, N - 4)])

# name: amounts[n], torchvision's function of a picture or a tensor and one of them, and how far tensors may be off,
# whose shades of grey and stretched contrasts torchvision computes in float32
CASES: dict[str, tuple[NDArray[np.int64], Callable[[Any, int], Any], int]] = {
    "brightness": (FACTORS, lambda image, f: tvf.adjust_brightness(image, f / UNIT), 0),
    "contrast": (FACTORS, lambda image, f: tvf.adjust_contrast(image, f / UNIT), 1),
    "saturation": (FACTORS, lambda image, f: tvf.adjust_saturation(image, f / UNIT), 1),
    "sharpness": (FACTORS, lambda image, f: tvf.adjust_sharpness(image, f / UNIT), 0),
    "grayscale": (ONES, lambda image, _: tvf.rgb_to_grayscale(image, 3), 1),
    "autocontrast": (ONES, lambda image, _: tvf.autocontrast(image), 1),
    "equalize": (ONES, lambda image, _: tvf.equalize(image), 0),
    "invert": (ONES, lambda image, _: tvf.invert(image), 0),
    "posterize": (np.arange(N) % 8 + 1, lambda image, bits: tvf.posterize(image, int(bits)), 0),
    "solarize": (RANDOM.integers(0, 256, N), lambda image, t: tvf.solarize(image, float(t)), 0),
}


@pytest.fixture(scope="module")
def photographs() -> Tensor:
    """Return tiles of real photographs, some of low contrast and one of a single colour, uint8 [12, 3, 37, 45]."""
    tiles = [
        torch.from_numpy(photograph.copy()).permute(2, 0, 1)[:, top : top + HEIGHT, left : left + WIDTH]
        for photograph in load_sample_images().images
        for top in (0, 300)
        for left in (0, 140, 500)
    ]
    images = torch.stack(tiles)
    images[:3] = images[:3] // 3 + 40
    images[6] = 90
    return images


def pictures_of(images: Tensor) -> list[Image.Image]:
    return [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]


def tensor_of(pictures: list[Image.Image]) -> Tensor:
    return torch.stack([torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in pictures])


def changed(change: Change, images: Tensor, amounts: NDArray[np.int64]) -> Tensor:
    """Return the changed images, which must be the same as a batch, one by one in reverse, and as pictures."""
    made = change.on_batch(images, torch.from_numpy(amounts))
    assert (made.dtype, made.shape) == (torch.uint8, images.shape)
    one_by_one = [change.on_batch(images[k : k + 1], torch.from_numpy(amounts[:, k : k + 1])) for k in range(N)[::-1]]
    assert torch.equal(torch.cat(one_by_one[::-1]), made)
    pictures = [change.on_picture(picture, amounts[:, k]) for k, picture in enumerate(pictures_of(images))]
    assert torch.equal(tensor_of(pictures), made)
    return made


@pytest.mark.parametrize("name", CASES)
def test_a_change_is_torchvisions(photographs: Tensor, name: str) -> None:
    amounts, theirs, off = CASES[name]
    made = changed(CHANGES[name], photographs, amounts[None])
    of_pictures = tensor_of([theirs(picture, k) for picture, k in zip(pictures_of(photographs), amounts, strict=True)])
    assert torch.equal(made, of_pictures)
    of_tensors = torch.stack([theirs(image, k) for image, k in zip(photographs, amounts, strict=True)])
    assert (made.int() - of_tensors.int()).abs().max() <= off


def test_hues_are_turned_as_torchvision_turns_those_of_pictures(photographs: Tensor) -> None:
    made = changed(CHANGES["hue"], photographs, (HUES * 255).astype(np.int64)[None])
    theirs = [tvf.adjust_hue(picture, hue) for picture, hue in zip(pictures_of(photographs), HUES, strict=True)]
    assert torch.equal(made, tensor_of(theirs))


def test_every_colour_has_pillows_hue_and_grey() -> None:
    """Try 6 of the 256 planes of 256 x 256 colours: every 51st red."""
    planes = torch.stack(
        [
            torch.stack(torch.meshgrid(torch.tensor([red]), torch.arange(256), torch.arange(256), indexing="ij"))[:, 0]
            for red in range(0, 256, 51)
        ]
    ).to(torch.uint8)
    shifts = torch.arange(-100, 101, 40)[None]
    turned, grey = CHANGES["hue"].on_batch(planes, shifts), CHANGES["grayscale"].on_batch(planes, shifts)
    for picture, shift, of_hue, of_grey in zip(pictures_of(planes), shifts[0].tolist(), turned, grey, strict=True):
        hue = shift / 255 + math.copysign(1e-6, shift)  # torchvision cuts 255 * hue to a whole number
        assert torch.equal(tensor_of([tvf.adjust_hue(picture, hue)])[0], of_hue)
        assert torch.equal(tensor_of([tvf.rgb_to_grayscale(picture, 3)])[0], of_grey)


def test_posterize_and_solarize_add_by_hand() -> None:
    """200 is 0b11001000: its upper 2 bits are 128 + 64, none are 0. 120 + 110 is 230, 127 + 128 is 255, 128 stays."""
    image = torch.tensor([200, 120, 127, 128], dtype=torch.uint8).view(1, 1, 1, 4)
    assert CHANGES["posterize"].on_batch(image, torch.tensor([[2]])).flatten().tolist() == [192, 64, 64, 128]
    assert CHANGES["posterize"].on_batch(image, torch.tensor([[0]])).flatten().tolist() == [0, 0, 0, 0]
    assert CHANGES["solarize-add"].on_batch(image, torch.tensor([[110]])).flatten().tolist() == [200, 230, 237, 128]
    assert CHANGES["solarize-add"].on_batch(image, torch.tensor([[128]])).flatten().tolist() == [200, 248, 255, 128]


@pytest.mark.parametrize("fill", [0, 128])
@pytest.mark.parametrize("bilinear", [False, True])
def test_moves_are_torchvisions(photographs: Tensor, bilinear: bool, fill: int) -> None:
    """Shears and shifts by fixed-point numbers are the same; angles are rounded to them, which bilinear pixels show."""
    mode = InterpolationMode.BILINEAR if bilinear else InterpolationMode.NEAREST
    others = {"interpolation": mode, "fill": [fill] * 3}
    tangents = SHEARS / affine.ONE
    slants = np.degrees(np.arctan(tangents))

    def affined(
        *, translate: tuple[int, int] = (0, 0), shear: tuple[float, float] = (0.0, 0.0), corner: bool
    ) -> Callable[[Any], Any]:
        center = [0, 0] if corner else None
        return lambda picture: tvf.affine(picture, 0.0, list(translate), 1.0, list(shear), center=center, **others)

    moves: list[tuple[NDArray[np.int64], list[Callable[[Any], Any]], int]] = [
        (affine.shear_x(tangents), [affined(shear=(slant, 0.0), corner=True) for slant in slants], bilinear),
        (affine.shear_y(tangents), [affined(shear=(0.0, slant), corner=True) for slant in slants], bilinear),
        (affine.translate_x(SHIFTS.astype(float)), [affined(translate=(int(k), 0), corner=False) for k in SHIFTS], 0),
        (affine.translate_y(SHIFTS.astype(float)), [affined(translate=(0, int(k)), corner=False) for k in SHIFTS], 0),
        (
            affine.rotate(DEGREES, HEIGHT, WIDTH),
            [partial(tvf.rotate, angle=angle, **others) for angle in DEGREES],
            bilinear,
        ),
    ]
    for matrices, theirs, off in moves:
        made = changed(move(bilinear=bilinear, fill=fill), photographs, matrices)
        expected = tensor_of([one(picture) for one, picture in zip(theirs, pictures_of(photographs), strict=True)])
        assert (made.int() - expected.int()).abs().max() <= off


@pytest.mark.parametrize("kernel_size", [3, 9])
def test_blur_is_torchvisions_to_within_rounding(photographs: Tensor, kernel_size: int) -> None:
    blur = GaussianBlur(kernel_size=kernel_size, sigma=(0.1, 2.0), probability=1.0)
    words = RANDOM.integers(0, 2**32, (2, N), dtype=np.uint32)
    weights = blur.parameters(words, HEIGHT, WIDTH)[1:]
    assert (weights[0] + 2 * weights[1:].sum(axis=0) == 1 << 16).all()
    made = changed(BLUR, photographs, weights)
    sigmas = 0.1 + 1.9 * (words[0] / 2**32)
    expected = torch.stack(
        [tvf.gaussian_blur(image, [kernel_size] * 2, [float(s)]) for image, s in zip(photographs, sigmas, strict=True)]
    )
    apart = (made.int() - expected.int()).abs()
    assert apart.max() <= 1
    assert (apart > 0).float().mean() < 0.005


def test_one_channel_has_no_colour_and_two_are_refused() -> None:
    grey = torch.arange(100, dtype=torch.uint8).view(1, 1, 10, 10)
    amounts = torch.tensor([[UNIT // 2]])
    for name in ("saturation", "grayscale", "hue"):
        assert torch.equal(CHANGES[name].on_batch(grey, amounts), grey)
    with pytest.raises(ValueError, match="images of 1 or 3 channels, found 2"):
        CHANGES["contrast"].on_batch(grey.expand(1, 2, 10, 10), amounts)
