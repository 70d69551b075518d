"""Views against torchvision's functional transforms, given the same parameters."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf

from kcd_pipeline.augmentation import Identity, InMemoryViews, build_augmentation
from kcd_pipeline.augmentation.crop_flip import CropFlip
from kcd_pipeline.augmentation.resized_crop_flip import ResizedCropFlip
from kcd_pipeline.config import AugmentationConfig

SIZE = 32


@pytest.fixture(scope="module")
def photographs() -> torch.Tensor:
    """Return 96 tiles of real photographs, uint8 [96, 3, 32, 32]."""
    tiles = [
        torch.from_numpy(image.copy()).permute(2, 0, 1).unfold(1, SIZE, 61).unfold(2, SIZE, 61)
        for image in load_sample_images().images
    ]
    stacked = torch.cat([t.permute(1, 2, 0, 3, 4).reshape(-1, 3, SIZE, SIZE) for t in tiles])
    return stacked[:96].contiguous()


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
@pytest.mark.parametrize("flip", [True, False])
def test_crop_flip_is_pad_crop_and_mirror(photographs: torch.Tensor, mode: str, flip: bool) -> None:
    augmentation = CropFlip(seed=1, padding=4, padding_mode=mode, flip=flip)
    index = np.arange(len(photographs))
    views = augmentation(photographs, index, 3)
    padding_mode = {"zeros": "constant", "reflect": "reflect"}[mode]
    drawn = augmentation.parameters(index, 3, SIZE, SIZE).T
    for image, view, (top, left, mirrored) in zip(photographs, views, drawn, strict=True):
        expected = tvf.pad(image, [4], padding_mode=padding_mode)[:, top : top + SIZE, left : left + SIZE]
        assert torch.equal(view, expected.flip(-1) if mirrored else expected)


def test_crop_flip_uses_every_shift_and_both_sides() -> None:
    augmentation = CropFlip(seed=0, padding=2, padding_mode="zeros", flip=True)
    top, left, mirrored = augmentation.parameters(np.arange(2000), 0, SIZE, SIZE)
    assert set(top) == set(left) == {0, 1, 2, 3, 4}
    assert 900 < mirrored.sum() < 1100  # 1,000 +- 4.5 standard deviations


def test_reflect_padding_as_large_as_the_image_is_refused(photographs: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="32 needs images larger than 32x32"):
        CropFlip(seed=0, padding=32, padding_mode="reflect", flip=False)(photographs, np.arange(96), 0)


def test_resized_crop_is_torchvisions_bilinear_resize_to_within_rounding(photographs: torch.Tensor) -> None:
    augmentation = ResizedCropFlip(seed=5, scale=(0.2, 1.0), ratio=(0.75, 4 / 3), flip=True)
    index = np.arange(len(photographs))
    views = augmentation(photographs, index, 0)
    for image, view, box in zip(photographs, views, augmentation.parameters(index, 0, SIZE, SIZE).T, strict=True):
        top, left, height, width, mirrored = (int(n) for n in box)
        expected = tvf.resized_crop(image.float(), top, left, height, width, [SIZE, SIZE], antialias=False)
        expected = expected.flip(-1) if mirrored else expected
        assert (view.float() - expected).abs().max() <= 1  # of 255: ours is fixed point, theirs floating


def test_resized_crop_of_the_whole_image_is_the_image(photographs: torch.Tensor) -> None:
    whole = ResizedCropFlip(seed=5, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=False)
    assert torch.equal(whole(photographs, np.arange(96), 0), photographs)


def test_resized_crop_boxes_have_torchvisions_distribution() -> None:
    """Compare mean and spread of 4,000 boxes with those of 4,000 of torchvision's RandomResizedCrop."""
    ours = ResizedCropFlip(seed=0, scale=(0.08, 1.0), ratio=(0.75, 4 / 3), flip=True)
    _, _, height, width, _ = ours.parameters(np.arange(4000), 0, 48, 64)
    torch.manual_seed(0)
    theirs = v2.RandomResizedCrop(64, scale=(0.08, 1.0), ratio=(0.75, 4 / 3))
    boxes = [theirs.make_params([torch.empty(3, 48, 64)]) for _ in range(4000)]
    for mine, name in ((height, "height"), (width, "width")):
        other = np.array([box[name] for box in boxes])
        standard_error = other.std() * math.sqrt(2 / 4000)
        assert abs(mine.mean() - other.mean()) < 4 * standard_error
        assert abs(mine.std() - other.std()) < 4 * standard_error


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [
        (4, 64, (0, 29, 4, 5)),  # far too wide: full height, width 4 * 4/3 = 5, centred
        (64, 4, (29, 0, 5, 4)),  # far too tall: full width, height 4 / 0.75 = 5
    ],
)
def test_a_box_that_never_fits_falls_back_to_the_centre(height: int, width: int, box: tuple[int, ...]) -> None:
    augmentation = ResizedCropFlip(seed=0, scale=(1.0, 1.0), ratio=(0.75, 4 / 3), flip=False)
    parameters = augmentation.parameters(np.arange(20), 0, height, width)
    assert {tuple(int(n) for n in column[:4]) for column in parameters.T} == {box}


def test_none_leaves_pixels_alone(photographs: torch.Tensor) -> None:
    augmentation = build_augmentation(AugmentationConfig(name="none"))
    assert isinstance(augmentation, Identity)
    assert torch.equal(augmentation(photographs, np.arange(96), 5), photographs)


def test_models_see_normalised_pixels(photographs: torch.Tensor) -> None:
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    views = InMemoryViews(photographs, Identity(), mean=mean, std=std, device=torch.device("cpu"))
    index = np.array([7, 3])
    expected = tvf.normalize(photographs[[7, 3]].float() / 255, list(mean), list(std))
    batch = views.batch(index, 0)
    torch.testing.assert_close(batch, expected, rtol=0, atol=2e-6)
    assert batch.is_contiguous(memory_format=torch.channels_last)
