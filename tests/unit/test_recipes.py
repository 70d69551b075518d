"""Recipes: one may extend another, and every shipped one builds its models and takes a step on images of its shape."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from kcd_pipeline.augmentation import build_augmentation
from kcd_pipeline.config import Config, load_config, recipe_names
from kcd_pipeline.data import Dataset, InMemorySplit
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import model_for
from kcd_pipeline.models.external import is_published
from kcd_pipeline.training.epoch import label_objective
from kcd_pipeline.training.trainer import Trainer

BASE: dict[str, Any] = {
    "seed": 4,
    "data": {"name": "digits"},
    "augmentation": {"padding": 1, "flip": False},
    "teacher": {"model": "resnet20", "weights": "teacher.safetensors", "milestones": [3, 5]},
    "store": {"path": "store.zarr"},
    "student": {"model": "timm/resnet18", "arguments": {"drop_rate": 0.1, "stem_width": 32}},
}


def write(path: Path, content: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return str(path)


def refusal(name: str, overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(UserError) as caught:
        load_config(name, overrides)
    return str(caught.value)


# --- extends ---------------------------------------------------------------------------------------------


def test_a_recipe_states_only_what_differs(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", BASE)
    own = write(
        tmp_path / "own.yaml",
        {"extends": "base", "teacher": {"milestones": [7]}, "student": {"arguments": {"drop_rate": 0.2}}},
    )
    config, base = load_config(own), load_config(str(tmp_path / "base.yaml"))
    assert config.teacher.milestones == (7,)  # a value, also a list, replaces the one that it extends
    assert config.student.arguments == {"drop_rate": 0.2, "stem_width": 32}  # mappings are joined
    assert config.model_copy(update={"teacher": base.teacher, "student": base.student}) == base


def test_a_chain_of_three_is_read_from_the_bottom_up_and_set_comes_last(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", BASE)
    write(tmp_path / "deep" / "b.yaml", {"extends": "../a.yaml", "seed": 5, "data": {"limit_per_class": 3}})
    own = write(tmp_path / "c.yaml", {"extends": "deep/b", "data": {"limit_per_class": 2}})
    config = load_config(own)
    assert (config.seed, config.data.limit_per_class, config.data.name) == (5, 2, "digits")
    assert load_config(own, ["data.limit_per_class=1"]).data.limit_per_class == 1


def test_a_shipped_recipe_can_be_extended_by_name_but_a_file_beside_comes_first(tmp_path: Path) -> None:
    own = write(tmp_path / "own.yaml", {"extends": "digits", "seed": 9})
    assert load_config(own).model_copy(update={"seed": 0}) == load_config("digits")
    write(tmp_path / "digits.yaml", BASE)
    assert load_config(own).student.model == "timm/resnet18"


def test_what_a_run_writes_down_extends_nothing(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", BASE)
    plain = load_config(write(tmp_path / "own.yaml", {"extends": "base"})).plain()
    assert "extends" not in plain
    assert load_config(write(tmp_path / "again.yaml", plain)).plain() == plain


def test_recipes_that_extend_each_other_in_a_circle_are_refused_with_the_circle(tmp_path: Path) -> None:
    first = write(tmp_path / "a.yaml", {"extends": "b"})
    second = write(tmp_path / "b.yaml", {"extends": "a"})
    assert refusal(first) == f"recipes extend each other in a circle: {first} -> {second} -> {first}. Break it."
    alone = write(tmp_path / "c.yaml", {"extends": "c"})
    assert f"in a circle: {alone} -> {alone}" in refusal(alone)


def test_a_chain_of_recipes_without_an_end_is_refused(tmp_path: Path) -> None:
    for k in range(30):
        write(tmp_path / f"r{k}.yaml", {"extends": f"r{k + 1}"})
    assert "but a chain of recipes has at most 20" in refusal(str(tmp_path / "r0.yaml"))


@pytest.mark.parametrize("name", ["x" * 5000, f"{'x' * 5000}.yaml"])
def test_a_name_that_no_file_can_have_is_of_no_recipe(tmp_path: Path, name: str) -> None:
    assert "there is no config file" in refusal(name) or "is neither a YAML file nor" in refusal(name)
    assert "but there is neither" in refusal(write(tmp_path / "own.yaml", {"extends": name}))


def test_what_is_not_there_is_refused_with_both_places_and_the_nearest(tmp_path: Path) -> None:
    own = write(tmp_path / "own.yaml", {"extends": "cifar100/vgg13-vgg9"})
    message = refusal(own)
    assert f"{own} extends 'cifar100/vgg13-vgg9', but there is neither {tmp_path}/cifar100/vgg13-vgg9.yaml" in message
    assert "did you mean 'cifar100/vgg13-vgg8'?" in message


@pytest.mark.parametrize("value", [3, ["a", "b"], "", {"name": "a"}])
def test_what_names_no_recipe_is_refused(tmp_path: Path, value: Any) -> None:
    assert "'extends' takes the name of one recipe or file, found" in refusal(
        write(tmp_path / "own.yaml", {"extends": value})
    )


def test_a_wrong_key_is_told_by_the_file_that_has_it_and_a_wrong_value_by_the_chain(tmp_path: Path) -> None:
    base = write(tmp_path / "base.yaml", BASE | {"distill": {"epoch": 3}})
    own = write(tmp_path / "own.yaml", {"extends": "base"})
    assert refusal(own).startswith(f"{base}: there is no key 'distill.epoch'; did you mean 'epochs'?")
    write(tmp_path / "base.yaml", BASE | {"distill": {"epochs": 0}})
    assert refusal(own).startswith(f"{own}, which extends {base}: distill.epochs: found 0")


def test_extends_is_of_files_alone(tmp_path: Path) -> None:
    own = write(tmp_path / "own.yaml", BASE)
    assert "there is no key 'extends'" in refusal(own, ("extends=digits",))


# --- the paper's recipes ---------------------------------------------------------------------------------

# Knowledge Condensation Distillation, ECCV 2022, tables 1 and 2: teacher, student, learning rate of the student
PAIRS = [
    ("wrn_40_2", "wrn_16_2", 0.05),
    ("wrn_40_2", "wrn_40_1", 0.05),
    ("resnet56", "resnet20", 0.05),
    ("resnet32x4", "resnet8x4", 0.05),
    ("vgg13", "vgg8", 0.05),
    ("vgg13", "MobileNetV2", 0.01),
    ("ResNet50", "MobileNetV2", 0.01),
    ("ResNet50", "vgg8", 0.05),
    ("resnet32x4", "ShuffleV1", 0.01),
    ("resnet32x4", "ShuffleV2", 0.01),
    ("wrn_40_2", "ShuffleV1", 0.01),
]


def test_the_eleven_pairs_of_the_paper_are_there_and_no_other() -> None:
    names = {name for name in recipe_names() if name.startswith("cifar100/")}
    assert names == {f"cifar100/{teacher}-{student}" for teacher, student, _ in PAIRS}


@pytest.mark.parametrize(("teacher", "student", "lr"), PAIRS)
def test_each_pair_differs_from_the_published_settings_in_nothing_but_the_pair(
    teacher: str, student: str, lr: float
) -> None:
    config, reference = load_config(f"cifar100/{teacher}-{student}"), load_config("cifar100/resnet32x4-resnet8x4")
    assert (config.teacher.model, config.student.model, config.distill.lr) == (teacher, student, lr)
    assert teacher in str(config.teacher.weights)
    assert teacher in config.store.path  # every student of a teacher reads one store
    same = {
        "teacher": config.teacher.model_copy(update={"model": "resnet32x4", "weights": reference.teacher.weights}),
        "store": config.store.model_copy(update={"path": reference.store.path}),
        "student": reference.student,
        "distill": config.distill.model_copy(update={"lr": 0.05}),
        "run": reference.run,
    }
    assert config.model_copy(update=same) == reference


def test_no_two_recipes_write_into_one_run_or_different_teachers_into_one_file() -> None:
    configs = [load_config(name) for name in recipe_names()]
    assert len({config.run_dir for config in configs}) == len(configs)
    for place in ("weights", "path"):
        of_file: dict[str, set[str]] = {}
        for config in configs:
            file = str(config.teacher.weights if place == "weights" else config.store.path)
            if place == "weights" and is_published(config.teacher.weights):
                continue  # a name of weights, which many models have, and no file of the recipe
            of_file.setdefault(file, set()).add(f"{config.data.name} {config.teacher.model}")
        assert all(len(teachers) == 1 for teachers in of_file.values())


# --- one step of every recipe ----------------------------------------------------------------------------

SHAPES = {
    "digits": ([1, 8, 8], 10),
    "fashion-mnist": ([1, 28, 28], 10),
    "cifar10": ([3, 32, 32], 10),
    "cifar100": ([3, 32, 32], 100),
    "imagefolder": ([3, 32, 32], 10),
    "tiny-imagenet": ([3, 64, 64], 200),
    "imagenet": ([3, 224, 224], 1000),
}


def noise(config: Config) -> Dataset:
    """Return a few images with the shape and the classes of a recipe's data set."""
    shape, classes = SHAPES[config.data.name]
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8))
    split = InMemorySplit(images=images, labels=torch.arange(2))
    mean, std = (0.5,) * shape[0], (0.25,) * shape[0]
    return Dataset(
        name=config.data.name,
        classes=tuple(f"class {k}" for k in range(classes)),
        train=split,
        test=split,
        mean=mean,
        std=std,
    )


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_builds_its_models_and_takes_a_step(name: str) -> None:
    config = load_config(name, ["run.device=cpu", "run.threads=1", "run.precision=float32"])
    dataset = noise(config)
    fits: dict[str, Any] = {"image_shape": dataset.image_shape, "classes": len(dataset.classes)}
    model_for(config.teacher.model, arguments=config.teacher.arguments, **fits)
    student = model_for(config.student.model, arguments=config.student.arguments, **fits)
    before = {key: tensor.clone() for key, tensor in student.state_dict().items()}
    trainer = Trainer(
        student, dataset, build_augmentation(config.augmentation), optimisation=config.distill, run=config.run
    )
    result = trainer.train_epoch(0, view=1, samples=2, parts=[(np.arange(2), label_objective())])
    assert np.isfinite(result.loss)
    assert any(not torch.equal(tensor, before[key]) for key, tensor in trainer.model.state_dict().items())
