"""The weights of an epoch in the loss of a student that is taught by a store, computed beside it by scipy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special
from tests.support.stores import store_of_one_view

from kcd_pipeline.augmentation import Labels
from kcd_pipeline.config import Config, parse_config
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.distillation.plans_from import PlansFromRun
from kcd_pipeline.runs import RunFolder
from kcd_stores import (
    KnowledgeStore,
    Plan,
    PlanStore,
    keep_all,
    plan_streaming,
)

N, CLASSES, T = 8, 3, 2.0
ROWS = np.random.default_rng(0).normal(size=(N, CLASSES)).astype(np.float32)
LOGITS = np.random.default_rng(1).normal(size=(N, CLASSES)).astype(np.float32)  # of the student, in every epoch
LABELS = np.arange(N) % CLASSES
HALF = Plan(
    stage=1,
    epoch=1,
    samples=N,
    kept=np.array([1, 3, 4, 6]),
    partner=np.full(4, -1),
    epsilon=np.zeros(4, np.float32),
    weight=np.array([1, 2, 0.5, 4], np.float32),
)


def recipe(**distill: Any) -> Config:
    tree = {
        "data": {"name": "cifar10"},
        "teacher": {"model": "resnet8", "weights": "none.safetensors"},
        "store": {"path": "none.zarr", "views": 1},
        "student": {"model": "resnet8"},
        "distill": {"epochs": 2, "batch_size": N, "temperature": T, "ce_weight": 0.8, "kd_weight": 0.2} | distill,
        "condense": {"interval": 1},
    }
    return parse_config(tree, source="the test")


@pytest.fixture
def store(tmp_path: Path) -> KnowledgeStore:
    return store_of_one_view(tmp_path / "store.zarr", ROWS)


def losses_of_epochs(config: Config, store: KnowledgeStore, folder: Path) -> list[float]:
    """Return the loss of the one batch of each of two epochs: of all samples, and of the plan's half."""
    plans = PlanStore(folder / "given.zarr")
    plans.write(keep_all(N))
    plans.write(HALF)
    knowledge = (store, plan_streaming(store, memory=10**6, batch_size=N, partners=False))
    curriculum = StudentCurriculum(config, RunFolder(folder), knowledge, N, PlansFromRun(plans, 2, perturbed=False))
    curriculum.start(0)
    found = []
    for epoch in range(2):
        ((order, objective),) = curriculum.lesson(epoch).parts
        labels = Labels(own=torch.from_numpy(LABELS[order]))
        outcome = objective(torch.from_numpy(LOGITS[order]), labels, order)
        found.append(float(outcome.loss))
    curriculum.close()
    return found


def expected(index: np.ndarray, ce: float, kd: float, weight: np.ndarray) -> float:
    """Return the mean of `weight * (ce * CE + kd * T^2 KL)` over the samples `index`."""
    cross_entropy = -special.log_softmax(LOGITS[index], axis=1)[np.arange(len(index)), LABELS[index]]
    p, q = (special.softmax(values[index] / T, axis=1) for values in (ROWS, LOGITS))
    divergence = T**2 * special.rel_entr(p, q).sum(axis=1)
    return float(np.mean(weight * (ce * cross_entropy + kd * divergence)))


@pytest.mark.parametrize(
    ("keys", "first", "second"),
    [
        ({}, (0.8, 0.2), (0.8, 0.2)),
        ({"kd_warmup": 2}, (0.8, 0.1), (0.8, 0.2)),
        ({"kd_follows_kept": True}, (0.8, 0.2), (0.4, 0.6)),  # the second epoch keeps a half
        ({"kd_warmup": 4, "kd_follows_kept": True}, (0.8, 0.05), (0.4, 0.3)),
    ],
)
def test_an_epoch_is_taught_with_its_weights_and_those_of_its_samples(
    tmp_path: Path, store: KnowledgeStore, keys: dict[str, Any], first: tuple[float, float], second: tuple[float, float]
) -> None:
    found = losses_of_epochs(recipe(**keys), store, tmp_path / "run")
    assert found == pytest.approx(
        [expected(np.arange(N), *first, np.ones(N)), expected(HALF.kept, *second, HALF.weight)], rel=1e-5
    )
