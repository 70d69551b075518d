"""The weights of samples in training: the loss of an epoch by hand, and the student that weights lead to.

The step is too small to change the student, and the batch is the whole data set: the loss of the epoch is that of the
student as it was made, in training mode.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special
from tests.support.stores import store_of_one_view

from kcd_pipeline.augmentation import Identity
from kcd_pipeline.config import Config, parse_config
from kcd_pipeline.data import Dataset, InMemorySplit
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.models import build_model
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.training.epoch import EpochResult
from kcd_pipeline.training.trainer import Trainer
from kcd_stores import KnowledgeStore, plan_streaming

N, CLASSES, T = 24, 3, 4.0
LABELS = np.arange(N) % CLASSES
ROWS = np.random.default_rng(0).normal(size=(N, CLASSES)).astype(np.float32)
WEIGHT = np.random.default_rng(1).uniform(0.25, 4, N).astype(np.float32)


def recipe(method: str, **optimisation: Any) -> Config:
    tree = {
        "data": {"name": "cifar10"},
        "teacher": {"model": "resnet8", "weights": "none.safetensors"},
        "store": {"path": "none.zarr", "views": 1},
        "student": {"model": "resnet8"},
        "distill": {"method": method, "epochs": 1, "batch_size": N, **optimisation},
        "run": {"device": "cpu"},
    }
    return parse_config(tree, source="the test")


def dataset() -> Dataset:
    images = torch.randint(0, 256, (N, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    split = InMemorySplit(images=images, labels=torch.from_numpy(LABELS))
    return Dataset(name="made-up", classes=("a", "b", "c"), train=split, test=split, mean=(0.5,) * 3, std=(0.2,) * 3)


@pytest.fixture
def store(tmp_path: Path) -> KnowledgeStore:
    return store_of_one_view(tmp_path / "store.zarr", ROWS)


def train(
    config: Config, store: KnowledgeStore, folder: Path, weight: NDArray[np.float32] | None
) -> tuple[EpochResult, dict[str, torch.Tensor], NDArray[np.float64]]:
    """Train an epoch with the weights of a condensed store; return the result, the weights after, the logits before."""
    torch.manual_seed(0)
    model = build_model("resnet8", channels=3, classes=CLASSES)
    trainer = Trainer(model, dataset(), Identity(), optimisation=config.distill, run=config.run)
    knowledge = None
    if config.distill.method != "none":
        knowledge = (store, plan_streaming(store, memory=10**6, batch_size=N, partners=True))
    curriculum = StudentCurriculum(config, RunFolder(folder), knowledge, N, sample_weight=weight)
    curriculum.start(0)
    lesson = curriculum.lesson(0)
    views = dataset().train_views(Identity(), trainer.device, config.run.resident)
    with torch.no_grad():
        logits = model.train()(views.batch(np.arange(N), 0)).double().numpy()
    result = trainer.train_epoch(0, view=0, samples=N, parts=lesson.parts)
    curriculum.close()
    return result, {key: tensor.clone() for key, tensor in model.state_dict().items()}, logits


@pytest.mark.parametrize("method", ["kd", "none"])
@pytest.mark.parametrize("weighted", [True, False])
def test_the_loss_is_the_mean_of_weight_times_loss(
    store: KnowledgeStore, tmp_path: Path, method: str, weighted: bool
) -> None:
    """By scipy: 0.1 CE + 0.9 T^2 KL(teacher || student), and CE alone without a teacher."""
    config = recipe(method, lr=1e-30, momentum=0)
    result, _, logits = train(config, store, tmp_path / "run", WEIGHT if weighted else None)
    cross_entropy = -special.log_softmax(logits, axis=1)[np.arange(N), LABELS]
    teacher, student = (special.log_softmax(z / T, axis=1) for z in (ROWS.astype(np.float64), logits))
    divergence = (np.exp(teacher) * (teacher - student)).sum(axis=1)
    each = cross_entropy if method == "none" else 0.1 * cross_entropy + 0.9 * T**2 * divergence
    assert result.loss == pytest.approx((each * WEIGHT if weighted else each).mean(), rel=1e-5)


@pytest.mark.parametrize("method", ["kd", "none"])
def test_all_weights_2_are_a_step_and_a_loss_of_twice_the_size(
    store: KnowledgeStore, tmp_path: Path, method: str
) -> None:
    """Factors of two change no bit: with half the step and twice the weight decay the student is the same one."""
    plain, twice = recipe(method, lr=0.25, weight_decay=2**-10), recipe(method, lr=0.125, weight_decay=2**-9)
    one, expected, _ = train(plain, store, tmp_path / "one", None)
    two, found, _ = train(twice, store, tmp_path / "two", np.full(N, 2, np.float32))
    assert two.loss == 2 * one.loss
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())
    _, other, _ = train(twice, store, tmp_path / "three", None)
    assert not all(torch.equal(other[key], tensor) for key, tensor in expected.items())
