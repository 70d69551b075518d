"""The learning rate at every step: against the schedulers of torch and timm stepped one by one, and by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from timm.scheduler import CosineLRScheduler
from torch import nn
from torch.optim import lr_scheduler

from kcd_pipeline.augmentation import build_augmentation
from kcd_pipeline.config import AugmentationConfig, OptimisationConfig, RunConfig
from kcd_pipeline.data import Dataset, InMemorySplit
from kcd_pipeline.training.epoch import label_objective
from kcd_pipeline.training.schedules import changes_each_step, learning_rate
from kcd_pipeline.training.trainer import Trainer

EPOCHS, STEPS = 6, 5  # 30 steps in all
TOTAL = EPOCHS * STEPS


def config(**keys: Any) -> OptimisationConfig:
    return OptimisationConfig.model_validate({"epochs": EPOCHS, "lr": 0.2, **keys})


def rates(**keys: Any) -> list[float]:
    """Return the rate at each of 30 steps."""
    found = config(**keys)
    return [learning_rate(found, step / STEPS) for step in range(TOTAL)]


def stepped(make: Any, steps: int = TOTAL) -> list[float]:
    """Return the rates that a scheduler of torch gives an optimizer of rate 0.2, step by step."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2)
    scheduler, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_cosine_is_that_of_torch() -> None:
    expected = stepped(lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, TOTAL, eta_min=0.02))
    assert rates(schedule="cosine", schedule_arguments={"end_factor": 0.1}) == pytest.approx(expected)


def test_linear_is_that_of_torch() -> None:
    expected = stepped(lambda o: lr_scheduler.LinearLR(o, start_factor=1, end_factor=0.1, total_iters=TOTAL))
    assert rates(schedule="linear", schedule_arguments={"end_factor": 0.1}) == pytest.approx(expected)


def test_milestones_are_those_of_torch() -> None:
    expected = stepped(lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [2 * STEPS, 4 * STEPS], gamma=0.5))
    found = rates(schedule="milestones", milestones=[2, 4], gamma=0.5, lr_changes="step")
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_warmup_comes_before_the_schedule_as_in_a_sequence_of_torchs(schedule: str) -> None:
    # 7 of 30 steps are 1.4 epochs; from 1/1000 of the rate
    def sequence(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        rise = lr_scheduler.LinearLR(optimizer, start_factor=1e-3, total_iters=7)
        fall = {
            "cosine": lr_scheduler.CosineAnnealingLR(optimizer, TOTAL - 7),
            "linear": lr_scheduler.LinearLR(optimizer, start_factor=1, end_factor=0, total_iters=TOTAL - 7),
        }
        return lr_scheduler.SequentialLR(optimizer, [rise, fall[schedule]], milestones=[7])

    assert rates(schedule=schedule, warmup=1.4) == pytest.approx(stepped(sequence))


def test_warmup_and_cosine_are_those_of_timm() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2)
    scheduler = CosineLRScheduler(
        optimizer, t_initial=TOTAL - 10, warmup_t=10, warmup_lr_init=0.2e-3, warmup_prefix=True, t_in_epochs=False
    )
    expected = []
    for step in range(TOTAL):
        scheduler.step_update(step)
        expected.append(optimizer.param_groups[0]["lr"])
    assert rates(schedule="cosine", warmup=2) == pytest.approx(expected)


def test_warmup_leaves_milestones_where_they_are() -> None:
    # lr * (0.001 + 0.999 * t) in the first epoch, then lr, and half of it from the third on
    rise = [0.2 * (0.001 + 0.999 * step / STEPS) for step in range(STEPS)]
    expected = rise + [0.2] * STEPS + [0.1] * (4 * STEPS)
    assert rates(milestones=[2], gamma=0.5, warmup=1) == pytest.approx(expected)


def test_one_cycle_is_that_of_torch() -> None:
    """torch's phases end at step 0.3 * T - 1 and at T - 1; ours at 0.3 and 1 of all epochs, so steps are scaled."""
    arguments: dict[str, Any] = {"pct_start": 0.3, "div_factor": 10.0, "final_div_factor": 100.0}
    steps = 1000
    expected = stepped(lambda o: lr_scheduler.OneCycleLR(o, 0.2, total_steps=steps, **arguments), steps)
    found = config(schedule="one-cycle", schedule_arguments=arguments)
    top = 0.3 * steps - 1
    done = [0.3 * k / top if k <= top else 0.3 + 0.7 * (k - top) / (steps - 1 - top) for k in range(steps)]
    assert [learning_rate(found, EPOCHS * part) for part in done] == pytest.approx(expected)
    assert [learning_rate(found, EPOCHS * part) for part in (0, 0.15, 0.3, 0.65, 1)] == pytest.approx(
        [0.02, 0.11, 0.2, (0.2 + 0.0002) / 2, 0.0002]
    )


@pytest.mark.parametrize(
    ("keys", "each_step"),
    [
        ({}, False),
        ({"schedule": "cosine"}, False),
        ({"schedule": "a.b:c"}, False),
        ({"schedule": "cosine", "warmup": 0.5}, True),
        ({"schedule": "linear"}, True),
        ({"schedule": "one-cycle"}, True),
        ({"schedule": "cosine", "lr_changes": "step"}, True),
        ({"schedule": "linear", "lr_changes": "epoch"}, False),
    ],
)
def test_when_the_rate_changes(keys: dict[str, Any], each_step: bool) -> None:
    assert changes_each_step(config(**keys)) == each_step


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"schedule": "cosine", "schedule_arguments": {"end_facto": 0}}, "takes end_factor; did you mean 'end_factor'"),
        ({"schedule_arguments": {"gamma": 0.1}}, "keys of its own, milestones and gamma"),
        ({"schedule": "linear", "schedule_arguments": {"end_factor": 2}}, "at least 0 and at most 1"),
        ({"schedule": "one-cycle", "schedule_arguments": {"pct_start": True}}, "found True, expected a number"),
        ({"warmup": 6}, "warmup is 6 of 6 epochs, which leaves none at lr"),
        ({"warmup": 1, "schedule": "one-cycle"}, "one-cycle, which rises by itself"),
        ({"warmup": -1}, "greater than or equal to 0"),
    ],
)
def test_what_makes_no_schedule_is_refused(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        config(**keys)


def tiny_trainer(**keys: Any) -> Trainer:
    """Return a trainer of 10 images in batches of 4, so that an epoch has 3 steps."""
    images = torch.zeros(10, 1, 4, 4, dtype=torch.uint8)
    split = InMemorySplit(images=images, labels=torch.arange(10) % 2)
    data = Dataset(name="made-up", classes=("a", "b"), train=split, test=split, mean=(0.5,), std=(0.5,))
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    return Trainer(
        model,
        data,
        build_augmentation(AugmentationConfig(name="none")),
        optimisation=config(batch_size=4, **keys),
        run=RunConfig(device="cpu"),
    )


def rates_of_steps(trainer: Trainer, epoch: int, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the rate that each step of an epoch was taken with."""
    found: list[float] = []
    step = torch.optim.SGD.step

    def noted(optimizer: torch.optim.SGD, closure: None = None) -> None:
        found.append(optimizer.param_groups[0]["lr"])
        step(optimizer)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    trainer.train_epoch(epoch, view=0, samples=10, parts=[(np.arange(10), label_objective())])
    return found


def test_each_step_has_the_rate_of_the_steps_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # the fourth of 6 epochs: lr * (1 + cos(pi * t / 6)) / 2 at t = 3, 3 1/3, 3 2/3
    trainer = tiny_trainer(schedule="cosine", lr_changes="step")
    found = rates_of_steps(trainer, 3, monkeypatch)
    assert found == pytest.approx([0.1 * (1 + math.cos(math.pi * t / 6)) for t in (3, 10 / 3, 11 / 3)])
    assert trainer.lr == found[-1]


def test_a_step_of_several_batches_has_one_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    # 3 batches make 2 steps: t = 0 and 1/2 of 6
    found = rates_of_steps(tiny_trainer(schedule="linear", accumulate=2), 0, monkeypatch)
    assert found == pytest.approx([0.2, 0.2 * (1 - 0.5 / 6)])


def test_an_epoch_keeps_the_rate_of_its_beginning_where_it_does_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rates_of_steps(tiny_trainer(schedule="cosine"), 3, monkeypatch)
    assert found == pytest.approx([0.1] * 3)
