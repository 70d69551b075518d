"""Training a teacher: on labels alone, in a folder beside its weights, so that it can be interrupted and resumed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kcd_pipeline.augmentation import build_augmentation, build_mixing
from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.errors import UserError
from kcd_pipeline.losses import CrossEntropy, make_cross_entropy
from kcd_pipeline.models import load_weights, parameter_count, save_weights, weights_hash
from kcd_pipeline.models.external import is_published
from kcd_pipeline.models.starting import model_to_train
from kcd_pipeline.own_parts import digests_of
from kcd_pipeline.runs import AVERAGED, Record, RunFolder, claim_folder
from kcd_pipeline.teacher.images import with_teacher_images
from kcd_pipeline.training.device import seed_generators
from kcd_pipeline.training.epoch import EpochResult, label_objective
from kcd_pipeline.training.facts import weights_facts
from kcd_pipeline.training.optimisation import try_optimisation
from kcd_pipeline.training.sampling import Drawn, draw_balanced
from kcd_pipeline.training.session import Lesson, run_epochs
from kcd_pipeline.training.trainer import Trainer
from kcd_stores import one_writer
from kcd_stores.philox import permutation

SECTIONS = ("seed", "data", "augmentation", "teacher", "run")  # of a recipe, on which the training depends


@dataclass(frozen=True, kw_only=True)
class TrainedTeacher:
    """A teacher that `train_teacher` trained, or found trained.

    Attributes
    ----------
    weights
        The file that holds its weights.
    test_accuracy
        Top-1 accuracy on the test split, 0..1.
    seconds
        Time spent on training.
    already
        True if it was found trained.
    """

    weights: Path
    test_accuracy: float
    seconds: float
    already: bool


class TeacherCurriculum:
    """The curriculum of a teacher: as many samples as there are, a new view in every epoch, labels only.

    Parameters
    ----------
    labels
        `[N]` int64.
    balanced
        Draw equally many samples of each class.
    cross_entropy
        The loss with the labels.
    """

    def __init__(self, labels: NDArray[np.int64], seed: int, *, balanced: bool, cross_entropy: CrossEntropy) -> None:
        self._labels, self._seed, self._balanced = labels, seed, balanced
        self._objective = label_objective(cross_entropy)

    def start(self, epoch: int, recorded: Record | None = None) -> None:
        pass

    def lesson(self, epoch: int) -> Lesson:
        count = len(self._labels)
        drawn = draw_balanced(self._labels, self._seed, epoch, count) if self._balanced else Drawn(np.arange(count))
        order = permutation(self._seed, epoch, drawn.samples, times=drawn.times)
        return Lesson(view=epoch, samples=len(order), parts=[(order, self._objective)], knowledge_rows=0)

    def record(self, epoch: int, result: EpochResult) -> dict[str, int]:
        return {}

    def values(self) -> None:
        return None

    def digests(self, epochs: int) -> dict[str, list[str]]:
        return {}


def training_folder(weights: Path) -> RunFolder:
    """Return the folder beside `weights` that holds the checkpoints and metrics of their training."""
    return RunFolder(weights.with_name(f"{weights.stem}.training"))


def is_given(weights: Path) -> bool:
    """Return True if weights are published, or are there without having been trained here."""
    return is_published(weights) or (weights.is_file() and not training_folder(weights).exists)


def train_teacher(
    config: Config, *, overwrite: bool = False, dataset: Dataset | None = None, passed: nn.Module | None = None
) -> TrainedTeacher:
    """Train the teacher of a recipe and write its weights; continue where an earlier call was interrupted.

    The result is the model after the last epoch, not the best one seen: the test set chooses nothing. It is the same
    with validation images, where `teacher.patience` may end the training early. With `teacher.ema` it is the average
    of the weights.

    Parameters
    ----------
    overwrite
        Start anew, replacing weights and training that are there.
    dataset
        The recipe's data set, if it is loaded already.
    passed
        A model that was passed as an object, in the place of the recipe's: a copy of it is trained.

    Raises
    ------
    UserError
        If the file of weights exists but was not trained by this recipe, or if a training under another config is
        under way.
    """
    folder = training_folder(config.teacher.weights)
    if dataset is None:
        config = with_teacher_images(config)
        dataset = load_dataset(config.data)
    seed_generators(config.seed)
    if is_published(config.teacher.weights):
        raise UserError(
            f"teacher.weights is {config.teacher.weights}: there is nothing to train. Set it to a file to train a "
            f"teacher."
        )
    if config.teacher.classes is not None:
        raise UserError(
            "teacher.classes says how a trained teacher's classes are those of the data set: it is for one that is not "
            "trained here. Leave it out; to begin from a teacher of other classes, set teacher.init to its weights."
        )
    try_optimisation(config.teacher)
    model, init = model_to_train(
        config.teacher, "teacher", passed, image_shape=dataset.image_shape, classes=len(dataset.classes), trained_by=1
    )
    # before the folder is claimed or cleared: a device that is not there must cost nothing
    trainer = Trainer(
        model,
        dataset,
        build_augmentation(config.augmentation),
        optimisation=config.teacher,
        run=config.run,
        mixing=build_mixing(config.augmentation),
        seed=config.seed,
    )
    curriculum = _curriculum(config, dataset, trainer)
    origin: dict[str, Any] = dict(dataset.fingerprints)
    if parts := _digests_of_parts(config):
        origin["parts"] = parts
    if passed is not None:
        origin["teacher"] = weights_hash(passed.state_dict())
    if init is not None:
        origin["init"] = init
    with one_writer(folder.path):
        _claim(folder, config, origin, overwrite=overwrite)
        already = folder.finished and config.teacher.weights.exists()
        summary = _finished_summary(folder) if already else _train(config, folder, dataset, trainer, curriculum, init)
    return TrainedTeacher(
        weights=config.teacher.weights,
        test_accuracy=_accuracy(summary),
        seconds=summary["seconds"],
        already=already,
    )


def _curriculum(config: Config, dataset: Dataset, trainer: Trainer) -> TeacherCurriculum:
    labels = dataset.train.labels.numpy()
    cross_entropy = make_cross_entropy(config.teacher, labels, dataset.classes, dataset.label_names, trainer.device)
    balanced = config.teacher.sampler == "balanced"
    return TeacherCurriculum(labels, config.seed, balanced=balanced, cross_entropy=cross_entropy)


def _finished_summary(folder: RunFolder) -> dict[str, Any]:
    """Return the summary of a training that is finished; raise UserError if anybody wrote something else there."""
    try:
        summary = folder.read_summary()
        return {"test_accuracy": float(_accuracy(summary)), "seconds": float(summary["seconds"])}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder.summary} is not the summary of a teacher's training ({error}). Restore it from a copy, or give "
            f"--overwrite to train anew."
        ) from error


def _accuracy(summary: Mapping[str, Any]) -> Any:
    """Return the test accuracy of the weights that become the teacher's: of their average, if there is one."""
    return summary.get(f"{AVERAGED}test_accuracy", summary["test_accuracy"])


def _digests_of_parts(config: Config) -> dict[str, str]:
    """Return the digest of the source of each part of the user's own that the training calls, by its key."""
    of_teacher = [(f"teacher.{key}", getattr(config.teacher, key)) for key in ("model", "optimizer", "schedule")]
    of_both = [("data.name", config.data.name), ("augmentation.name", config.augmentation.name)]
    return digests_of([*of_both, *of_teacher])


def _claim(folder: RunFolder, config: Config, origin: dict[str, Any], *, overwrite: bool) -> None:
    """Make `folder` that of this training; raise UserError if it, or the file of weights, belongs to another."""
    _require_own(config.teacher.weights, folder)
    plain = config.plain()
    relevant = {section: plain[section] for section in SECTIONS}
    claim_folder(folder, relevant, origin, key="teacher.weights", overwrite=overwrite)


def _require_own(weights: Path, folder: RunFolder) -> None:
    """Raise UserError if `weights` are there but are not those of the training in `folder`.

    While a training is under way, older weights of train-teacher may be there, which it was told to replace; those of
    anybody else have no facts in their header.
    """
    if not weights.exists():
        return
    if not folder.exists:
        raise UserError(
            f"{weights} exists, and was not trained here ({folder.path} is not there), so it is not replaced. Use it "
            f"as it is, or set teacher.weights to a file that is not there yet."
        )
    found = load_weights(weights)
    made = folder.averaged_weights if folder.averaged_weights.is_file() else folder.weights
    trained_here = folder.finished and made.is_file()
    if not found.facts or (trained_here and weights_hash(found.state) != weights_hash(load_weights(made).state)):
        raise UserError(
            f"{weights} does not hold the weights that the training in {folder.path} made, so it is not replaced. Use "
            f"it as it is, or set teacher.weights to a file that is not there yet."
        )


def _train(
    config: Config,
    folder: RunFolder,
    dataset: Dataset,
    trainer: Trainer,
    curriculum: TeacherCurriculum,
    init: str | None,
) -> dict[str, Any]:
    """Train all epochs that are left, write the weights, and return the summary of the training."""
    epochs, seed = config.teacher.epochs, config.seed
    facts = weights_facts(config.teacher, dataset, method="labels", epochs=epochs, seed=seed, init=init)
    results = run_epochs(
        folder,
        trainer,
        curriculum,
        epochs=config.teacher.epochs,
        name="teacher",
        facts=facts,
    )
    metrics = folder.read_metrics()
    summary = {
        "model": config.teacher.model,
        **results.summary(),
        "parameters": parameter_count(trainer.model),
        "seconds": sum(line["seconds"] for line in metrics),
    }
    told = {"epoch": len(metrics) - 1, "test_accuracy": _accuracy(summary)}
    if trainer.average is None:
        save_weights(config.teacher.weights, trainer.model, {**facts, **told})
    else:
        with trainer.average.in_model():
            save_weights(config.teacher.weights, trainer.model, {**facts, "ema": trainer.average.decay, **told})
    folder.write_summary(summary)
    return summary
