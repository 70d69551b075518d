"""Drawn parameters of crops, flips, turns and erasing: their distribution is torchvision's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

from kcd_pipeline.augmentation.operations import OPERATIONS
from kcd_stores.philox import draws

N, HEIGHT, WIDTH = 100_000, 40, 24
IMAGE = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
LEAST_P = 1e-3  # the draws are the same in every run, so this is not a matter of luck


def drawn(name: str, size: tuple[int, int] = (HEIGHT, WIDTH), **keys: Any) -> np.ndarray:
    operation = OPERATIONS[name](**keys)
    return operation.parameters(draws(1, np.arange(N), 0, operation.words), *size)


def require_same_distribution(ours: np.ndarray, draw: Callable[[], dict[str, Any]], names: str, count: int) -> None:
    """Compare boxes, their areas and aspects with `count` draws of torchvision, by Kolmogorov and Smirnov."""
    theirs = np.array([[found[name] for name in names] for found in (draw() for _ in range(count))]).T
    for a, b in zip(_with_shape(ours), _with_shape(theirs), strict=True):
        assert stats.ks_2samp(a, b).pvalue > LEAST_P


def _with_shape(boxes: np.ndarray) -> tuple[np.ndarray, ...]:
    return (*boxes, boxes[2] * boxes[3], boxes[2] / boxes[3])


def compare_resized_crops(count: int) -> None:
    transform = v2.RandomResizedCrop(HEIGHT, scale=(0.08, 1.0), ratio=(0.75, 4 / 3))
    ours = drawn("resized-crop", scale=(0.08, 1.0), ratio=(0.75, 4 / 3))

    def draw() -> dict[str, Any]:
        found = transform.make_params([IMAGE])
        return {"i": found["top"], "j": found["left"], "h": found["height"], "w": found["width"]}

    require_same_distribution(ours, draw, "ijhw", count)


def compare_erasing(count: int) -> None:
    transform = v2.RandomErasing(p=1, scale=(0.02, 0.33), ratio=(0.3, 3.3))
    ours = drawn("erasing", probability=1.0, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0)[:4]
    assert (ours[2] > 0).all()
    require_same_distribution(ours, lambda: transform.make_params([IMAGE]), "ijhw", count)


def test_boxes_have_torchvisions_distribution() -> None:
    compare_resized_crops(3_000)
    compare_erasing(3_000)


@pytest.mark.loops
def test_boxes_have_torchvisions_distribution_over_100_000_of_its_draws() -> None:
    compare_resized_crops(N)
    compare_erasing(N)


def test_shifts_turns_and_mirror_images_are_uniform() -> None:
    """A shift by up to 4 pixels has 9 positions each way, a turn 4; all are drawn equally often (chi-square)."""
    top, left = drawn("crop", padding=4, padding_mode="zeros")
    together = np.bincount(9 * top + left, minlength=81)
    for counts in (together, np.bincount(drawn("quarter-turn", (8, 8))[0], minlength=4)):
        assert stats.chisquare(counts).pvalue > LEAST_P
    for probability in (0.5, 0.2):
        mirrored = int(drawn("flip", probability=probability, direction="horizontal").sum())
        assert stats.binomtest(mirrored, N, probability).pvalue > LEAST_P


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_erasing_happens_with_its_probability(probability: float) -> None:
    found = drawn("erasing", probability=probability, scale=(0.02, 0.33), ratio=(0.3, 3.3), value="noise")
    erased = int((found[2] * found[3] > 0).sum())
    assert stats.binomtest(erased, N, probability).pvalue > LEAST_P


def test_parameters_of_different_places_are_independent() -> None:
    """Two crops of a list draw positions of their own: 81 pairs of them, equally often."""
    from kcd_stores.philox import operation_draws

    crop = OPERATIONS["crop"](padding=4, padding_mode="zeros")
    first, second = (crop.parameters(words, HEIGHT, WIDTH)[0] for words in operation_draws(1, np.arange(N), 0, [2, 2]))
    assert stats.chisquare(np.bincount(9 * first + second, minlength=81)).pvalue > LEAST_P
