"""Stage 1 from Python: the teacher and its store."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from kcd_pipeline.api.passed import Request, loaded_dataset, read_request, requests_by_teacher
from kcd_pipeline.api.recipes import Overrides, RecipeLike
from kcd_pipeline.config import Config
from kcd_pipeline.extraction import Extraction, extract_together, see_same_images
from kcd_pipeline.extraction import extract_teacher as extract
from kcd_pipeline.models import copy_of_passed, fill_model, load_weights
from kcd_pipeline.store_opening import open_store
from kcd_pipeline.teacher import is_given, load_teacher, with_teacher_images
from kcd_pipeline.teacher import train_teacher as train
from kcd_stores import KnowledgeStore, human_bytes


@dataclass(frozen=True, kw_only=True, eq=False)
class Teacher:
    """A trained teacher.

    Attributes
    ----------
    model
        The name of its model.
    weights
        The file of its weights.
    test_accuracy
        Top-1 accuracy on the test set, 0..1; NaN for given weights that do not say it.
    seconds
        Time spent on training.
    already
        True if it had been trained before this call.
    others
        The other teachers of a recipe that has several.
    """

    model: str
    weights: Path
    test_accuracy: float
    seconds: float
    already: bool
    request: Request = field(repr=False)
    others: tuple["Teacher", ...] = ()

    def load(self) -> nn.Module:
        """Return the teacher with its weights, on the CPU, in evaluation mode."""
        dataset, passed = self.request.dataset, self.request.passed.teacher
        if passed is None:
            return load_teacher(self.request.config, dataset)[0]
        shape, classes = dataset.image_shape, len(dataset.classes)
        model = copy_of_passed(passed, image_shape=shape, classes=classes, part="teacher")
        fill_model(model, load_weights(self.weights).state, source=self.weights, name=self.model)
        return model.eval()


@dataclass(frozen=True, kw_only=True)
class Store:
    """A complete knowledge store.

    Attributes
    ----------
    location
        Where it is: a folder, or a URL.
    views, samples, classes
        V, N and C.
    bytes
        On disk.
    teacher_accuracy
        Of its teacher, top-1 on the test set, 0..1; None if the store has its features alone.
    blocks_made, blocks_found
        Blocks of rows that the call made, and that were there before.
    others
        The stores of the other teachers of a recipe that has several.
    """

    location: str
    views: int
    samples: int
    classes: int
    bytes: int
    teacher_accuracy: float | None
    blocks_made: int
    blocks_found: int
    others: tuple["Store", ...] = ()

    def open(self, *, features: bool = False) -> KnowledgeStore:
        """Open the store to be read: `store.open().read_view(0)` are the rows of a view, `[N, C]`.

        Parameters
        ----------
        features
            Read the teacher's features too, behind the logits.
        """
        return open_store(self.location, features=features)

    def __repr__(self) -> str:
        teacher = "" if self.teacher_accuracy is None else f", teacher {self.teacher_accuracy:.2%}"
        return (
            f"Store({self.location!r}: {self.views} views x {self.samples:,} samples x {self.classes:,} classes, "
            f"{human_bytes(self.bytes)}{teacher})"
        )


def train_teacher(
    config: RecipeLike,
    *,
    overrides: Overrides = (),
    dataset: Any = None,
    teacher: nn.Module | None = None,
    overwrite: bool = False,
) -> Teacher:
    """Train the teacher of a recipe and write its weights, or go on with a training that was interrupted.

    Called again for the same recipe, it returns the teacher that is there. Of several teachers, those whose weights are
    not given are trained, one after the other.

    Parameters
    ----------
    config
        A recipe: its name or path, a mapping of its keys, or a `Config`.
    overrides
        Changes of single keys: `{"teacher.epochs": 10}`, or texts such as `"teacher.epochs=10"`.
    dataset
        Images in the place of those that the recipe names: a `kcd_pipeline.data.Dataset`, or a pair (train, test) of
        torch map-style datasets of (image, label).
    teacher
        A model in the place of the one that the recipe names, or the first of several; a copy of it is trained. Its
        initial weights are part of the training's identity.
    overwrite
        Start anew, replacing weights and training that are there.

    Raises
    ------
    UserError
        If recipe or data are wrong, or other weights are in the place.
    FailedError
        If training diverges.
    """
    request = read_request(config, overrides, dataset=dataset, teacher=teacher)
    if not request.config.other_teachers:
        return _train(request, overwrite=overwrite)
    first, *others = (
        _given(part)
        if part.passed.teacher is None and is_given(part.config.teacher.weights)
        else _train(part, overwrite=overwrite)
        for part in requests_by_teacher(request, dataset)
    )
    return replace(first, others=tuple(others))


def _train(request: Request, *, overwrite: bool) -> Teacher:
    passed = request.passed.teacher
    trained = train(request.config, overwrite=overwrite, dataset=request.dataset, passed=passed)
    return Teacher(
        model=request.config.teacher.model,
        weights=trained.weights,
        test_accuracy=trained.test_accuracy,
        seconds=trained.seconds,
        already=trained.already,
        request=request,
    )


def _given(request: Request) -> Teacher:
    """Return a teacher whose weights are given."""
    weights = request.config.teacher.weights
    facts = load_weights(weights).facts if weights.is_file() else {}
    return Teacher(
        model=request.config.teacher.model,
        weights=weights,
        test_accuracy=float(facts.get("test_accuracy", math.nan)),
        seconds=0.0,
        already=True,
        request=request,
    )


def extract_teacher(
    config: RecipeLike,
    *,
    overrides: Overrides = (),
    dataset: Any = None,
    teacher: nn.Module | None = None,
    overwrite: bool = False,
) -> Store:
    """Make the knowledge store of a recipe, or the blocks that it lacks; of several teachers, the store of each.

    Parameters
    ----------
    config, overrides, dataset
        As in `train_teacher`.
    teacher
        A trained model in the place of the one that the recipe names, or the first of several. No file of weights is
        read then: the hash of its state is the teacher's identity.
    overwrite
        Replace a store that is there.

    Raises
    ------
    UserError, StoreUsageError
        If data or weights are missing, the disk is too small, or a store of something else is there.
    FailedError
        If a logit is not finite.
    """
    request = read_request(config, overrides, dataset=dataset, teacher=teacher)
    alone, *rest = request.config.each_teacher()
    configs, passed = [alone, *map(with_teacher_images, rest)], request.passed.teacher
    if rest and see_same_images(configs):
        made = extract_together(configs, request.dataset, teacher=passed, overwrite=overwrite)
    else:
        made = [extract(alone, overwrite=overwrite, dataset=request.dataset, teacher=passed)]
        made += [extract(part, overwrite=overwrite, dataset=loaded_dataset(dataset, part)) for part in configs[1:]]
    first, *others = (_store(config, done) for config, done in zip(configs, made, strict=True))
    return replace(first, others=tuple(others))


def _store(config: Config, done: Extraction) -> Store:
    layout = done.store.layout
    return Store(
        location=config.store.path,
        views=layout.views,
        samples=layout.samples,
        classes=layout.classes,
        bytes=done.store.inventory.bytes_on_disk(),
        teacher_accuracy=done.store.made_from["teacher"].get("test_accuracy"),
        blocks_made=done.blocks_made,
        blocks_found=done.blocks_found,
    )
