"""Optimizers by name: the steps of torch and timm called directly, weight decay, exact resuming, no waits."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm.optim
import torch
from torch import nn

from kcd_pipeline.augmentation import build_augmentation
from kcd_pipeline.config import AugmentationConfig, OptimisationConfig, RunConfig, TeacherConfig
from kcd_pipeline.config.optimizers import OPTIMIZER_NAMES, TIMM_OPTIMIZERS, TORCH_OPTIMIZERS
from kcd_pipeline.data import Dataset, InMemorySplit
from kcd_pipeline.errors import UserError
from kcd_pipeline.training.epoch import label_objective
from kcd_pipeline.training.optimisation import make_optimizer, try_optimisation
from kcd_pipeline.training.optimizers import decay_groups
from kcd_pipeline.training.trainer import Trainer


def config(**keys: Any) -> OptimisationConfig:
    return OptimisationConfig.model_validate({"epochs": 4, "lr": 0.01, "batch_size": 4, **keys})


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))


def after_steps(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """Return the parameters after three steps of random gradients, the same for every optimizer."""
    random = torch.Generator().manual_seed(1)
    for _ in range(3):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=random)
        optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("name", OPTIMIZER_NAMES)
def test_steps_are_those_of_the_library(name: str) -> None:
    """The trial proves as well that the state of each is saved and restored exactly."""
    own, theirs = small_model(), small_model()
    if name in TORCH_OPTIMIZERS:
        momentum = {"momentum": 0.8} if name in ("sgd", "rmsprop") else {}
        made = getattr(torch.optim, TORCH_OPTIMIZERS[name])(theirs.parameters(), lr=0.01, weight_decay=0.1, **momentum)
    else:
        momentum = {"momentum": 0.8} if name in ("lars", "madgrad", "sgdw", "rmsproptf") else {}
        bound = timm.optim.get_optimizer_class(name, bind_defaults=False)
        made = bound(theirs.parameters(), lr=0.01, weight_decay=0.1, **momentum)
    chosen = config(optimizer=name, weight_decay=0.1, **momentum)
    try_optimisation(chosen)
    for found, expected in zip(after_steps(own, make_optimizer(own, chosen)), after_steps(theirs, made), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_arguments_reach_the_optimizer() -> None:
    chosen = config(optimizer="adamw", optimizer_arguments={"betas": [0.8, 0.95], "eps": 1e-6})
    (group,) = make_optimizer(small_model(), chosen).param_groups
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.8, 0.95), 1e-6, 5e-4)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            {"optimizer": "adamw", "optimizer_arguments": {"beta": [0.9, 0.99]}},
            r"distill.optimizer_arguments: adamw has no argument 'beta'; did you mean 'betas'\? \(it has: betas, eps",
        ),
        ({"optimizer_arguments": {"momentum": 0.5}}, "has 'momentum', which has a key of its own: distill.momentum"),
        ({"optimizer": "adam", "momentum": 0.5}, "distill.momentum is 0.5, but adam has no such argument"),
        ({"optimizer": "lion", "nesterov": True}, "distill.nesterov is true, but lion has no such argument"),
        ({"optimizer": "adamw", "optimizer_arguments": {"betas": 3}}, "adamw cannot make an optimizer"),
        ({"momentum": 0, "nesterov": True}, "Nesterov momentum requires a momentum"),
    ],
)
def test_what_an_optimizer_does_not_take_is_refused(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        try_optimisation(config(**keys))


def test_messages_for_a_teacher_name_its_keys() -> None:
    teacher = TeacherConfig.model_validate(
        {"model": "resnet8", "weights": "t.pt", "optimizer_arguments": {"damping": 0.1}}
    )
    with pytest.raises(UserError, match=r"teacher.optimizer_arguments: sgd has no argument 'damping'"):
        try_optimisation(teacher)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("lbfgs", "evaluates the loss several times in a step"),
        ("SparseAdam", "takes sparse gradients alone"),
        ("muon", "takes matrices alone"),
        ("adafactor", "waits for the device in every step; torch.optim:Adafactor names it all the same"),
        ("adamv", "expected one of sgd, adam, .* or package.module:callable; did you mean 'adam"),
    ],
)
def test_other_names_are_refused_with_a_reason(name: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        config(optimizer=name)


# --- weight decay -----------------------------------------------------------------------------------------


class Embedded(nn.Module):
    """A model that spares its position embedding by itself, as timm's do."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.ones(1, 4, 3))
        self.linear, self.norm = nn.Linear(3, 2), nn.LayerNorm(2)

    def no_weight_decay(self) -> set[str]:
        return {"place"}


@pytest.mark.parametrize(("model", "spared"), [(small_model(), ()), (Embedded(), ("place",))])
def test_biases_norms_and_what_a_model_spares_have_no_decay_as_in_timm(model: nn.Module, spared: tuple[str]) -> None:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    expected = {
        names[id(parameter)]: group["weight_decay"]
        for group in timm.optim.param_groups_weight_decay(model, 0.05, no_weight_decay_list=spared)
        for parameter in group["params"]
    }
    wrapped = nn.Sequential(model)  # what a model spares is found inside another, too
    optimizer = make_optimizer(wrapped, config(optimizer="adamw", weight_decay=0.05, decay_biases_and_norms=False))
    found = {names[id(p)]: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert found == expected
    assert 0.05 in found.values()
    assert 0 in found.values()


def test_a_step_by_hand_decays_the_weight_and_not_the_bias() -> None:
    # gradients 0, no momentum: w <- w - lr * decay * w = 1 - 0.1 * 0.5
    model = nn.Linear(1, 1)
    nn.init.ones_(model.weight)
    nn.init.ones_(model.bias)
    optimizer = make_optimizer(model, config(lr=0.1, momentum=0, weight_decay=0.5, decay_biases_and_norms=False))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert [model.weight.item(), model.bias.item()] == pytest.approx([0.95, 1.0])


def test_a_model_of_biases_alone_has_one_group() -> None:
    assert [list(group) for group in decay_groups(nn.BatchNorm2d(3))] == [["params", "weight_decay"]]


def test_an_optimizer_of_ones_own_groups_the_parameters_by_itself() -> None:
    with pytest.raises(ValueError, match=r"torch\.optim:AdamW groups the parameters by itself: set it to true"):
        config(optimizer="torch.optim:AdamW", decay_biases_and_norms=False)


# --- training ---------------------------------------------------------------------------------------------


def trainer(chosen: OptimisationConfig) -> Trainer:
    random = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (10, 1, 4, 4), generator=random, dtype=torch.uint8)
    split = InMemorySplit(images=images, labels=torch.arange(10) % 2)
    data = Dataset(name="made-up", classes=("a", "b"), train=split, test=split, mean=(0.5,), std=(0.5,))
    augmentation = build_augmentation(AugmentationConfig(name="none"))
    return Trainer(small_model(), data, augmentation, optimisation=chosen, run=RunConfig(device="cpu"))


def train(trained: Trainer, *epochs: int) -> None:
    for epoch in epochs:
        trained.train_epoch(epoch, view=0, samples=10, parts=[(np.arange(10), label_objective())])


@pytest.mark.parametrize("name", ["adamw", "lion"])
def test_a_resumed_training_ends_with_the_same_weights(name: str, tmp_path: Path) -> None:
    chosen = config(optimizer=name, schedule="cosine", warmup=0.5, decay_biases_and_norms=False)
    undisturbed, stopped, resumed = (trainer(chosen) for _ in range(3))
    train(undisturbed, 0, 1)
    train(stopped, 0)
    stopped.accelerator.save_state(str(tmp_path), safe_serialization=True)
    resumed.accelerator.load_state(str(tmp_path))
    train(resumed, 1)
    expected = undisturbed.model.state_dict()
    assert resumed.model.state_dict().keys() == expected.keys()
    for key, tensor in resumed.model.state_dict().items():
        torch.testing.assert_close(tensor, expected[key], rtol=0, atol=0)


@pytest.mark.parametrize("name", OPTIMIZER_NAMES)
def test_no_optimizer_waits_for_the_device_in_a_step(name: str) -> None:
    """On the meta device, which has shapes and no values, whoever asks for a value fails."""
    model = copy.deepcopy(small_model()).to("meta")
    optimizer = make_optimizer(model, config(optimizer=name, decay_biases_and_norms=False))
    for _ in range(2):
        for parameter in model.parameters():
            parameter.grad = torch.empty_like(parameter)
        optimizer.step()
        optimizer.zero_grad()


def test_names_of_timm_are_its_own() -> None:
    assert set(TIMM_OPTIMIZERS) <= set(timm.optim.list_optimizers())
