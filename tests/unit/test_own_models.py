"""Models of the user's own: what cannot be trained, written or read again is refused before the first step."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kcd_pipeline.augmentation import Identity
from kcd_pipeline.config import load_config
from kcd_pipeline.data import load_dataset
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import build_model, model_for, weights_hash
from kcd_pipeline.models.external import is_published
from kcd_pipeline.models.trial import require_trainable
from kcd_pipeline.training.epoch import label_objective
from kcd_pipeline.training.model_hooks import part_neighbours
from kcd_pipeline.training.trainer import Trainer

SHAPE, CLASSES = (1, 4, 4), 10


class Own(nn.Module):
    """A linear model of images of `size` pixels, which the tests change."""

    def __init__(self, size: int = 16) -> None:
        super().__init__()
        self.flat, self.fc = nn.Flatten(), nn.Linear(size, CLASSES)

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.flat(x))


class Frozen(Own):
    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


class Constant(Own):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


class TwoOutputs(Own):
    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


class FailsInTraining(Own):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if not self.training else x @ x.new_zeros(7)


class ExtraState(Own):
    def get_extra_state(self) -> Any:
        return {"steps": 3}

    def set_extra_state(self, state: Any) -> None: ...


class ExtraTensor(Own):
    def get_extra_state(self) -> Tensor:
        return torch.tensor(3)

    def set_extra_state(self, state: Tensor) -> None:
        assert state == 3


class View(Own):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("head", self.fc.weight.data[:2])


class TwoParametersOfOneMemory(Own):
    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Parameter(self.fc.weight.data)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.again.sum()


class Complex(Own):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("phase", torch.zeros(2, dtype=torch.complex64))


class Sparse(Own):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.eye(3).to_sparse())


class Lazy(Own):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.LazyLinear(3)


class Unreached(Own):
    def __init__(self) -> None:
        super().__init__()
        self.beside = nn.Linear(3, 3)


class Tied(Own):
    def __init__(self, size: int = 16) -> None:
        super().__init__(size)
        self.inner, self.outer = nn.Linear(size, size, bias=False), nn.Linear(size, size, bias=False)
        self.norm = nn.BatchNorm1d(size)
        self.outer.weight = self.inner.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.outer(self.inner(self.flat(x)))))


class Neighbours(Own):
    def __init__(self, size: int = 16) -> None:
        super().__init__(size)
        flat = torch.randn(2, 5)
        self.register_buffer("a", flat[0])
        self.register_buffer("b", flat[1])
        self.register_buffer("none", torch.empty(0))
        self.register_buffer("neither", torch.empty(0))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Frozen, "own has nothing to train: no parameter of it requires a gradient"),
        (Constant, "own cannot be trained: its logits depend on no parameter"),
        (TwoOutputs, "own in training gives tuple for two images, expected logits [2, 10]"),
        (FailsInTraining, "own gives logits, but cannot be trained on images of [1, 4, 4]"),
        (ExtraState, "own keeps _extra_state, a dict, in its state dict (by get_extra_state)"),
        (View, "own has head and fc.weight in the same memory, but they are two tensors"),
        (TwoParametersOfOneMemory, "own has again and fc.weight in the same memory, but they are two tensors"),
        (Complex, "own has phase, which is "),
        (Sparse, "own has mask, which is torch.sparse_coo"),
        (Lazy, "own has unused.weight, which is not initialised"),
    ],
)
def test_what_cannot_be_trained_written_or_read_is_refused(make: Callable[[], nn.Module], said: str) -> None:
    with pytest.raises(UserError) as caught:
        require_trainable(make(), "own", SHAPE, CLASSES)
    assert said in str(caught.value)


def test_a_parameter_without_effect_is_refused_among_ranks_alone() -> None:
    require_trainable(Unreached(), "own", SHAPE, CLASSES)
    with pytest.raises(UserError, match=r"own has parameters that its logits do not depend on, such as beside\.weight"):
        require_trainable(Unreached(), "own", SHAPE, CLASSES, together=True)


@pytest.mark.parametrize("make", [Own, ExtraTensor, Tied, Neighbours])
def test_a_trial_leaves_a_model_and_torchs_generator_as_they_were(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = make().eval()
    before, drawn = weights_hash(model.state_dict()), torch.get_rng_state()
    require_trainable(model, "own", SHAPE, CLASSES)
    assert weights_hash(model.state_dict()) == before
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_neighbours_in_one_memory_are_checkpointed_apart_and_tied_parameters_once() -> None:
    beside, tied = Neighbours().state_dict(), Tied().state_dict()
    before = {name: tensor.clone() for name, tensor in beside.items()}
    part_neighbours([], [beside, tied], "")
    assert beside["a"].untyped_storage().data_ptr() != beside["b"].untyped_storage().data_ptr()
    assert before.keys() - beside.keys() == {"neither"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in beside.items())
    assert "inner.weight" in tied
    assert "outer.weight" not in tied


@pytest.mark.parametrize("make", [Tied, Neighbours])
def test_a_checkpoint_of_such_a_model_is_read_into_another(make: Callable[[int], nn.Module], tmp_path: Path) -> None:
    config = load_config("digits", ["data.limit_per_class=2", "data.test_limit_per_class=2", "run.device=cpu"])
    dataset = load_dataset(config.data)
    trainers = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        trainers.append(Trainer(make(64), dataset, Identity(), optimisation=config.distill, run=config.run))
    trained, other = trainers
    order = np.arange(len(dataset.train))
    trained.train_epoch(0, view=0, samples=len(order), parts=[(order, label_objective())])
    trained.accelerator.save_state(str(tmp_path / "checkpoint"), safe_serialization=True)
    other.accelerator.load_state(str(tmp_path / "checkpoint"))
    assert weights_hash(other.model.state_dict()) == weights_hash(trained.model.state_dict())


# --- names and arguments -------------------------------------------------------------------------------------

CODE = """
import random, sys
import numpy as np
import torch
from torch import nn

def drawn(channels, classes):
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, classes))
    model[1].weight.data += float(np.random.rand()) + random.random()
    return model

def ends():
    sys.exit(3)

def odd(label, build, model, name):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 10))
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(CODE)
    (tmp_path / f"{name}_broken.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    return name


def test_a_seed_gives_one_model_whatever_its_constructor_draws_from(own: str) -> None:
    from kcd_pipeline.training.device import seed_generators

    hashes = []
    for seed in (1, 1, 2):
        np.random.rand(random.randrange(9) + 1)  # noqa: NPY002  # the state of before must not matter
        seed_generators(seed)
        hashes.append(weights_hash(build_model(f"{own}:drawn", channels=1, classes=10).state_dict()))
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("name", ["..:x", ".:x", ":x", "a b:c", "{own}_broken:x", "sys:exit", "{own}:ends", "os:"])
def test_a_name_that_leads_nowhere_is_refused(own: str, name: str) -> None:
    asked = name.replace("{own}", own)
    with pytest.raises(UserError, match="'?" + asked.replace(".", r"\.")):
        build_model(asked, channels=1, classes=10)


def test_arguments_may_have_any_names(own: str) -> None:
    arguments = {"label": 1, "build": 2, "model": 3, "name": 4}
    assert isinstance(build_model(f"{own}:odd", channels=1, classes=10, arguments=arguments), nn.Module)


@pytest.mark.parametrize("name", ["torchvision/resnet18", "timm/resnet10t"])
def test_the_number_of_classes_comes_from_the_data(name: str) -> None:
    with pytest.raises(UserError, match=f"num_classes is 7 in the arguments of {name}, but the data set has 10"):
        build_model(name, channels=3, classes=10, arguments={"num_classes": 7})
    model = build_model(name, channels=3, classes=10, arguments={"num_classes": 10})
    assert next(reversed(model.state_dict().values())).shape == (10,)


@pytest.mark.parametrize("argument", ["name", "model_name", "builder"])
def test_an_argument_that_no_model_takes_is_refused(argument: str) -> None:
    with pytest.raises(UserError, match="cannot be built with"):
        build_model("torchvision/resnet18", channels=3, classes=10, arguments={argument: "x"})


def test_a_path_that_is_a_folder_names_no_published_weights() -> None:
    assert not is_published(Path())
    assert not is_published(Path("/"))


def test_models_that_are_trained_are_tried_in_that(own: str) -> None:
    assert model_for(f"{own}:drawn", image_shape=SHAPE, classes=CLASSES, trained_by=1).training
