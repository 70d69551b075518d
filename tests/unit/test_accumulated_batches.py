"""Steps on several batches, and limits for their gradients: against larger batches, and by hand in numpy.

The student is a linear layer on the pixels, without a batch norm: its gradient is `(softmax - one-hot) x^T / n`.
"""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special
from torch import nn

from kcd_pipeline.augmentation import Identity
from kcd_pipeline.config import Config, parse_config
from kcd_pipeline.data import Dataset, InMemorySplit
from kcd_pipeline.training.epoch import EpochResult, label_objective
from kcd_pipeline.training.trainer import Trainer

N, CLASSES, LR = 50, 3, 0.5
LABELS = np.arange(N) % CLASSES
ORDER = np.random.default_rng(0).permutation(N)


def recipe(**optimisation: Any) -> Config:
    tree = {
        "data": {"name": "cifar10"},
        "teacher": {"model": "resnet8", "weights": "none.safetensors"},
        "store": {"path": "none.zarr", "views": 1},
        "student": {"model": "resnet8"},
        "distill": {"epochs": 1, "lr": LR, "momentum": 0.0, "weight_decay": 0.0, **optimisation},
        "run": {"device": "cpu"},
    }
    return parse_config(tree, source="the test")


def dataset() -> Dataset:
    images = torch.randint(0, 256, (N, 1, 2, 2), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    split = InMemorySplit(images=images, labels=torch.from_numpy(LABELS))
    return Dataset(name="made-up", classes=("a", "b", "c"), train=split, test=split, mean=(0.5,), std=(0.2,))


def train(parts: list[NDArray[np.int64]], **optimisation: Any) -> tuple[EpochResult, NDArray[np.float64]]:
    """Train an epoch on samples in these parts; return its result and the weights after it."""
    torch.manual_seed(0)
    config = recipe(**optimisation)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, CLASSES, bias=False))
    trainer = Trainer(model, dataset(), Identity(), optimisation=config.distill, run=config.run)
    result = trainer.train_epoch(0, view=0, samples=N, parts=[(part, label_objective()) for part in parts])
    return result, trainer.model.state_dict()["1.weight"].double().numpy()


def by_hand(groups: list[NDArray[np.int64]], clip: float = np.inf) -> NDArray[np.float64]:
    """Return the weights after a step on each group of samples, its gradient scaled down to the norm `clip`."""
    torch.manual_seed(0)
    weight = nn.Linear(4, CLASSES, bias=False).weight.detach().double().numpy()
    images = dataset().train.images.reshape(N, 4).numpy() / 255  # type: ignore[attr-defined]  # in memory
    x, one_hot = (images - 0.5) / 0.2, np.eye(CLASSES)[LABELS]
    for group in groups:
        errors = special.softmax(x[group] @ weight.T, axis=1) - one_hot[group]
        gradient = errors.T @ x[group] / len(group)
        weight = weight - LR * gradient * min(1, clip / np.linalg.norm(gradient))
    return weight


def test_k_batches_are_one_of_k_times_the_size() -> None:
    """Batches of 8, three a step: 24, 24 and the 2 that are left, as batches of 24 are."""
    few, weights = train([ORDER], batch_size=24)
    many, accumulated = train([ORDER], batch_size=8, accumulate=3)
    assert few.steps == many.steps == 3
    np.testing.assert_allclose(accumulated, weights, atol=1e-6)
    np.testing.assert_allclose(accumulated, by_hand([ORDER[:24], ORDER[24:48], ORDER[48:]]), atol=1e-6)
    assert many.loss == pytest.approx(few.loss, abs=1e-6)
    assert many.accuracy == few.accuracy
    np.testing.assert_array_equal(many.order, few.order)
    np.testing.assert_allclose(many.worth, few.worth, atol=1e-6)


def test_the_last_step_of_an_epoch_is_on_the_batches_that_are_left() -> None:
    """Batches of 7: seven of them, and the fiftieth sample joins the last. Four a step: 28, and 7, 7 and 8 together."""
    result, weights = train([ORDER], batch_size=7, accumulate=4)
    assert result.steps == 2
    np.testing.assert_allclose(weights, by_hand([ORDER[:28], ORDER[28:]]), atol=1e-6)


def test_more_batches_a_step_than_an_epoch_has_are_one_step() -> None:
    result, weights = train([ORDER], batch_size=8, accumulate=100)
    assert result.steps == 1
    np.testing.assert_allclose(weights, by_hand([ORDER]), atol=1e-6)


def test_a_step_goes_on_over_the_end_of_a_window_of_rows() -> None:
    """Windows end where batches end, and not where steps do."""
    whole, expected = train([ORDER], batch_size=8, accumulate=3)
    cut, weights = train([ORDER[:16], ORDER[:0], ORDER[16:32], ORDER[32:]], batch_size=8, accumulate=3)
    assert cut.steps == whole.steps
    np.testing.assert_array_equal(weights, expected)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_gradients_are_scaled_down_to_the_limit(accumulate: int) -> None:
    """With several batches a step, it is their gradient together that is limited."""
    groups = [ORDER[:24], ORDER[24:48], ORDER[48:]]
    _, weights = train([ORDER], batch_size=24 // accumulate, accumulate=accumulate, clip_norm=0.1)
    np.testing.assert_allclose(weights, by_hand(groups, clip=0.1), atol=1e-6)
    assert not np.allclose(weights, by_hand(groups), atol=1e-3)
    _, unlimited = train([ORDER], batch_size=24, clip_norm=1e6)
    np.testing.assert_array_equal(unlimited, train([ORDER], batch_size=24)[1])
