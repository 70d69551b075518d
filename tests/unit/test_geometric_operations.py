"""Crops, flips, quarter turns and erasing against torchvision v2 and Pillow, given the same parameters."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms.v2 import functional as tvf

from kcd_pipeline.augmentation import CentreCrop, build_augmentation, pixels_of
from kcd_pipeline.augmentation.operations import OPERATIONS, Operation
from kcd_pipeline.augmentation.operations.noise import noise, noise_of_one
from kcd_pipeline.config import AugmentationConfig
from kcd_stores.philox import draws, philox

SIZE, N = 32, 48
PHOTOGRAPH = Image.fromarray(load_sample_images().images[0])
TILES = pixels_of(PHOTOGRAPH)[:, : 6 * SIZE, : 8 * SIZE].unfold(1, SIZE, SIZE).unfold(2, SIZE, SIZE)
IMAGES = TILES.permute(1, 2, 0, 3, 4).reshape(N, 3, SIZE, SIZE).contiguous()
LIMITS = {"scale": (0.1, 0.5), "ratio": (0.5, 2.0)}
KEYS: list[dict[str, Any]] = [
    {"name": "crop", "padding": 4, "padding_mode": "zeros"},
    {"name": "crop", "padding": 4, "padding_mode": "reflect"},
    {"name": "resized-crop", **LIMITS},
    {"name": "flip", "probability": 0.5, "direction": "horizontal"},
    {"name": "flip", "probability": 0.3, "direction": "vertical"},
    {"name": "quarter-turn"},
    {"name": "erasing", "probability": 0.7, "value": 99, **LIMITS},
    {"name": "erasing", "probability": 0.7, "value": "noise", **LIMITS},
]


def named(keys: dict[str, Any]) -> str:
    return f"{keys['name']} {keys.get('padding_mode', keys.get('direction', keys.get('value', '')))}"


def operation_of(keys: dict[str, Any]) -> Operation:
    return OPERATIONS[keys["name"]](**{key: value for key, value in keys.items() if key != "name"})


def drawn_of(operation: Operation) -> np.ndarray:
    return operation.parameters(draws(3, np.arange(N), 1, operation.words), SIZE, SIZE)


def expected_of(keys: dict[str, Any], image: Any, drawn: list[int]) -> Any:
    """Return what torchvision makes of a tensor `[3, H, W]` or a picture with these parameters."""
    if keys["name"] == "crop":
        mode = {"zeros": "constant", "reflect": "reflect"}[keys["padding_mode"]]
        return tvf.crop(tvf.pad(image, [4], padding_mode=mode), drawn[0], drawn[1], SIZE, SIZE)
    if keys["name"] == "resized-crop":
        return tvf.resized_crop(image, *drawn, size=[SIZE, SIZE], antialias=isinstance(image, Image.Image))
    if keys["name"] == "flip":
        flip = {"horizontal": tvf.horizontal_flip, "vertical": tvf.vertical_flip}[keys["direction"]]
        return flip(image) if drawn[0] else image
    if keys["name"] == "quarter-turn":
        return tvf.rotate(image, 90.0 * drawn[0])
    top, left, h, w, low, high = drawn
    value = torch.tensor(99, dtype=torch.uint8)
    if keys["value"] == "noise":  # 16 bytes of each counter, channel by channel and row by row
        words = philox(low | high << 32, (np.arange(3 * SIZE * SIZE // 16), 0, 0, 0)).T.astype("<u4")
        value = torch.from_numpy(np.frombuffer(words.tobytes(), np.uint8)[: 3 * h * w].copy()).view(3, h, w)
    return tvf.erase(image, top, left, h, w, value)


@pytest.mark.parametrize("keys", KEYS, ids=named)
def test_pixels_are_those_of_torchvision(keys: dict[str, Any]) -> None:
    operation = operation_of(keys)
    drawn, given = drawn_of(operation), IMAGES.clone()
    found = operation.apply(IMAGES, torch.from_numpy(drawn), drawn)
    assert torch.equal(given, IMAGES)
    expected = torch.stack(
        [expected_of(keys, image, part.tolist()) for image, part in zip(IMAGES, drawn.T, strict=True)]
    )
    # torchvision scales in float32 and rounds once, a box in memory is scaled in fixed point
    allowed = 1 if keys["name"] == "resized-crop" else 0
    assert (found.int() - expected.int()).abs().max() <= allowed
    assert not torch.equal(found, IMAGES)


@pytest.mark.parametrize("keys", KEYS, ids=named)
def test_pictures_become_what_torchvision_makes_of_them(keys: dict[str, Any]) -> None:
    operation = operation_of(keys)
    for image, part in zip(IMAGES, drawn_of(operation).T, strict=True):
        picture = tvf.to_pil_image(image)
        found = pixels_of(operation.apply_picture(picture, part))
        # which pads and turns pictures as it does tensors, but erases tensors alone
        given = image if keys["name"] == "erasing" else picture
        expected = expected_of(keys, given, part.tolist())
        assert torch.equal(found, pixels_of(expected) if isinstance(expected, Image.Image) else expected)
        assert torch.equal(pixels_of(picture), image)


def test_a_resized_crop_at_the_head_cuts_its_box_out_of_the_whole_picture() -> None:
    crop = CentreCrop(size=SIZE, resize=36)
    config = AugmentationConfig.model_validate({"name": "pipeline", "operations": "imagenet", "seed": 5})
    box, mirrored = (
        OPERATIONS["resized-crop"](scale=(0.08, 1.0), ratio=(0.75, 4 / 3)),
        OPERATIONS["flip"](probability=0.5, direction="horizontal"),
    )
    (found,) = build_augmentation(config).augment_pictures([PHOTOGRAPH], crop, np.array([7]), 2)
    words = [philox(5, (7, 2, k, np.arange(6))).T.reshape(-1, 1) for k in range(2)]  # of place k in the list
    expected = tvf.resized_crop(
        PHOTOGRAPH, *box.parameters(words[0][: box.words], 427, 640)[:, 0].tolist(), size=[SIZE, SIZE]
    )
    assert PHOTOGRAPH.size == (640, 427)
    turned = mirrored.parameters(words[1][:1], SIZE, SIZE)[0, 0]
    assert torch.equal(found, pixels_of(tvf.horizontal_flip(expected) if turned else expected))


def test_without_one_at_the_head_the_middle_of_a_picture_is_cut_out_first() -> None:
    crop = CentreCrop(size=SIZE, resize=36)
    keys = [{"name": "flip", "probability": 1.0}, {"name": "resized-crop", "scale": [1.0, 1.0], "ratio": [1.0, 1.0]}]
    config = AugmentationConfig.model_validate({"name": "pipeline", "operations": keys})
    (found,) = build_augmentation(config).augment_pictures([PHOTOGRAPH], crop, np.array([0]), 0)
    assert torch.equal(found, crop(PHOTOGRAPH).flip(2))


def test_an_operation_at_the_end_leaves_what_those_before_it_do() -> None:
    short, long = (
        build_augmentation(AugmentationConfig.model_validate({"name": "pipeline", "operations": keys}))
        for keys in (KEYS[:1], [*KEYS[:1], {"name": "erasing", "value": 0}])
    )
    index = np.arange(N)
    before = short.parameters(index, 3, SIZE, SIZE)
    assert np.array_equal(long.parameters(index, 3, SIZE, SIZE)[: len(before)], before)


def test_noise_of_a_key_does_not_depend_on_the_keys_beside_it() -> None:
    keys = torch.tensor([[5, 2**32 - 1, 0], [7, 2**32 - 1, 0]])
    together = noise(keys, 1000)
    assert together.shape == (3, 1000)
    for number in range(3):
        assert torch.equal(noise(keys[:, [number]], 100)[0], together[number, :100])
        low, high = keys[:, number].tolist()
        assert noise_of_one(low | high << 32, 1000).tolist() == together[number].tolist()


def test_what_does_not_fit_the_images_is_refused() -> None:
    turn = OPERATIONS["quarter-turn"]()
    with pytest.raises(ValueError, match="quarter-turn needs square images, and these have 32x30 pixels"):
        turn.parameters(np.zeros((1, 2), np.uint32), 32, 30)
    wide = OPERATIONS["crop"](padding=32, padding_mode="reflect")
    drawn = np.zeros((2, N), np.int64)
    with pytest.raises(ValueError, match="reflect padding of 32 needs images larger than 32x32"):
        wide.apply(IMAGES, torch.from_numpy(drawn), drawn)
