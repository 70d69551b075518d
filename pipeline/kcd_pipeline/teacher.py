"""The teacher: trained from a recipe, or loaded from the weights that a recipe names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from kcd_pipeline.augmentation import build_augmentation, permutation
from kcd_pipeline.config import Config, TeacherConfig
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import fill_model, load_weights, model_for, parameter_count, save_weights, weights_hash
from kcd_pipeline.models.external import is_published, published_state, without_pretrained
from kcd_pipeline.runs.folder import RunFolder
from kcd_pipeline.training.device import seed_torch
from kcd_pipeline.training.session import Lesson, run_epochs
from kcd_pipeline.training.trainer import EpochResult, Trainer, label_objective
from kcd_stores import one_writer


@dataclass(frozen=True, kw_only=True)
class TrainedTeacher:
    """What `train_teacher` made, or found made: its weights, test accuracy (0..1) and seconds of training."""

    weights: Path
    test_accuracy: float
    seconds: float
    already: bool


class TeacherCurriculum:
    """The curriculum of a teacher: all samples, every epoch a new view, labels only."""

    def __init__(self, samples: int, seed: int) -> None:
        self._all, self._seed = np.arange(samples), seed

    def start(self, epoch: int) -> None:
        pass

    def lesson(self, epoch: int) -> Lesson:
        order = permutation(self._seed, epoch, self._all)
        return Lesson(view=epoch, samples=len(order), parts=[(order, label_objective)], knowledge_rows=0)

    def record(self, epoch: int, result: EpochResult) -> dict[str, int]:
        return {}


def training_folder(weights: Path) -> RunFolder:
    """Where checkpoints and metrics of a teacher's training lie: beside its weights."""
    return RunFolder(weights.with_name(f"{weights.stem}.training"))


def train_teacher(config: Config, *, overwrite: bool = False) -> TrainedTeacher:
    """Train the teacher of a recipe and write its weights, going on from where an earlier call was stopped.

    The result is the model after the last epoch, not the best one seen: the test set chooses nothing.

    Raises
    ------
    UserError
        If weights lie there that this recipe did not train, or training under another config is under way.
    """
    folder = training_folder(config.teacher.weights)
    dataset = load_dataset(config.data)
    seed_torch(config.seed)
    if is_published(config.teacher.weights):
        raise UserError(f"teacher.weights is {config.teacher.weights}: there is nothing to train. Name a file to train")
    model = model_for(
        config.teacher.model,
        image_shape=dataset.image_shape,
        classes=len(dataset.classes),
        arguments=config.teacher.arguments,
    )
    # before the folder is claimed or cleared: a device that is not there must cost nothing
    trainer = Trainer(
        model,
        dataset,
        build_augmentation(config.augmentation),
        optimisation=config.teacher,
        run=config.run,
    )
    with one_writer(folder.path):
        return _train(config, folder, dataset, trainer, overwrite=overwrite)


def _train(config: Config, folder: RunFolder, dataset: Dataset, trainer: Trainer, *, overwrite: bool) -> TrainedTeacher:
    weights = config.teacher.weights
    if weights.exists() and not folder.exists and not overwrite:
        raise UserError(
            f"{weights} exists, and was not trained here ({folder.path} is not there). Use it as it is, set "
            f"teacher.weights to another file, or give --overwrite to replace it."
        )
    origin = {"dataset": dataset.description["fingerprint"]}
    folder.claim(_relevant(config), origin, resume=folder.exists and not overwrite, overwrite=overwrite)
    if folder.finished and weights.exists():
        summary = folder.read_summary()
        return TrainedTeacher(
            weights=weights, test_accuracy=summary["test_accuracy"], seconds=summary["seconds"], already=True
        )
    facts = {**described(config.teacher), **_seen(dataset)}
    best = run_epochs(
        folder,
        trainer,
        TeacherCurriculum(len(dataset.train), config.seed),
        epochs=config.teacher.epochs,
        name="teacher",
        facts=facts,
    )
    metrics = folder.read_metrics()
    summary = {
        "model": config.teacher.model,
        "epochs": config.teacher.epochs,
        "parameters": parameter_count(trainer.model),
        "test_accuracy": metrics[-1]["test_accuracy"],
        "best_test_accuracy": best,
        "seconds": sum(line["seconds"] for line in metrics),
    }
    save_weights(weights, trainer.model, {**facts, "test_accuracy": summary["test_accuracy"]})
    folder.write_summary(summary)
    return TrainedTeacher(
        weights=weights, test_accuracy=summary["test_accuracy"], seconds=summary["seconds"], already=False
    )


def load_teacher(config: Config, dataset: Dataset) -> nn.Module:
    """The teacher of a recipe with its weights, on the CPU, in evaluation mode.

    Raises
    ------
    UserError
        If the weights are missing, of another architecture or another number of classes, or were trained on
        images normalised in another way.
    FailedError
        If published weights cannot be fetched.
    """
    path, teacher = config.teacher.weights, config.teacher
    facts: dict[str, Any] = {}
    if is_published(path):
        state = published_state(teacher.model, path, teacher.arguments)
    else:
        state, facts = load_weights(path)
    trained_as = facts.get("model", teacher.model)
    if trained_as != teacher.model:
        raise UserError(
            f"the weights in {path} are those of a {trained_as}, but teacher.model is {teacher.model}. "
            f"Set one to match the other."
        )
    trained_with = facts.get("arguments", {})
    if facts and trained_with != teacher.arguments:
        raise UserError(
            f"the weights in {path} are those of a {trained_as} with the arguments {trained_with}, but "
            f"teacher.arguments is {teacher.arguments}. Set one to match the other."
        )
    for key, value in _seen(dataset).items():
        if key in facts and facts[key] != value:
            raise UserError(
                f"the teacher in {path} was trained on another data set: {key} found {facts[key]}, expected {value} "
                f"of {dataset.name}. Use the data it knows, or another teacher."
            )
    return teacher_of(config, dataset, state)


def teacher_of(config: Config, dataset: Dataset, state: Mapping[str, Tensor]) -> nn.Module:
    """The teacher of a recipe with the weights `state`, on the CPU, evaluating; UserError if they do not fit."""
    teacher = config.teacher
    model = model_for(
        teacher.model,
        image_shape=dataset.image_shape,
        classes=len(dataset.classes),
        arguments=without_pretrained(teacher.model, teacher.arguments),
    )
    fill_model(model, state, source=teacher.weights, name=f"{teacher.model} for {len(dataset.classes)} classes")
    return model.eval()


def described(teacher: TeacherConfig) -> dict[str, Any]:
    """The architecture of a teacher, as weights and stores record it: its name, and its arguments if it has any."""
    return {"model": teacher.model} | ({"arguments": teacher.arguments} if teacher.arguments else {})


def teacher_hash(path: Path) -> str:
    """The content hash of the weights in `path`."""
    return weights_hash(load_weights(path)[0])


def _seen(dataset: Dataset) -> dict[str, Any]:
    """What a teacher was trained to see and say; without it its logits mean nothing."""
    return {"classes": list(dataset.classes), "mean": list(dataset.mean), "std": list(dataset.std)}


def _relevant(config: Config) -> dict[str, Any]:
    """The sections that a teacher's training depends on."""
    plain = config.plain()
    return {key: plain[key] for key in ("seed", "data", "augmentation", "teacher", "run")}
