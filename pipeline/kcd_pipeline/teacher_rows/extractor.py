"""The teacher of a recipe over the views of its training set, which computes the rows of any block."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kcd_pipeline.augmentation import (
    Augmentation,
    Identity,
    InMemoryViews,
    ViewSource,
    build_augmentation,
    build_mixing,
)
from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.models import FeatureTap, Weights, parameter_count, weights_hash
from kcd_pipeline.recipe_store import expected_origin
from kcd_pipeline.teacher import (
    IMAGES_KEY,
    build_teacher,
    describe_outputs,
    load_teacher,
    recorded_images,
    tap_features,
    with_teacher_images,
)
from kcd_pipeline.teacher_rows.forward import RowPieces, Span, TeacherRows
from kcd_pipeline.training.device import available_cores, prepare_for_inference
from kcd_pipeline.training.evaluation import evaluate
from kcd_pipeline.versions import software_versions


class Extractor:
    """The teacher over the views of a training set.

    Parameters
    ----------
    dataset
        The recipe's data set, if it is loaded already.
    weights
        The content of the teacher's file of weights; without it, the weights that the recipe names are loaded.
    teacher
        A teacher that was passed as an object, in the place of the recipe's.
    beside
        The extractor of another teacher over the same images, which are shared with it; `dataset` is its data set.

    Attributes
    ----------
    views
        The images of the training split as they are augmented, and those of the test split.
    teacher_rows
        Computes the rows.
    feature_columns
        D, the number of features behind the logits of a row; 0 if the recipe stores none.
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset | None = None,
        weights: Weights | None = None,
        teacher: nn.Module | None = None,
        beside: "Extractor | None" = None,
    ) -> None:
        self.config = config if dataset is not None else with_teacher_images(config)
        self.dataset: Dataset = dataset or load_dataset(self.config.data)
        self.augmentation: Augmentation = build_augmentation(config.augmentation)
        model: nn.Module
        if weights is None:
            model, self._weights_hash = load_teacher(config, self.dataset, teacher)
        else:
            model, self._weights_hash = build_teacher(config, self.dataset, weights), weights_hash(weights.state)
        self.model, self._device = prepare_for_inference(model, config.run)
        self._tap: FeatureTap | None = None
        if config.store.features:
            self._tap = tap_features(self.model, config, self.dataset)
        self.feature_columns = 0 if self._tap is None else self._tap.width
        self.views: tuple[ViewSource, ViewSource] = self._make_views() if beside is None else beside.views
        self.teacher_rows = TeacherRows(
            self.model,
            self.views[0],
            self.dataset,
            batch_size=config.store.batch_size,
            tap=self._tap,
            logits=config.store.logits,
            weights=config.teacher.weights,
            ahead=_makes_ahead(self.views[0], config, self._device),
        )

    def _make_views(self) -> tuple[ViewSource, ViewSource]:
        mixing = build_mixing(self.config.augmentation)
        train = self.dataset.train_views(self.augmentation, self._device, mixing=mixing)
        return train, self.dataset.test_views(Identity(), self._device)

    def origin(self) -> dict[str, Any]:
        """Return the facts that rows made here depend on: data set, augmentation, teacher, device, software."""
        origin = expected_origin(self.config, self.dataset, self.augmentation)
        del origin["encoding"]  # of the store, which records it by itself
        origin["teacher"]["weights_sha256"] = self._weights_hash  # of what was loaded, whatever the file is by now
        origin["teacher"]["parameters"] = parameter_count(self.model)
        origin["teacher"] |= describe_outputs(self.model)
        if (images := recorded_images(self.config)) is not None:
            origin["teacher"][IMAGES_KEY] = images
        return origin | {
            "forward": {"batch_size": self.config.store.batch_size, "device": self._device.type},
            "software": software_versions(),
        }

    def test_accuracy(self) -> float | None:
        """Return the teacher's top-1 accuracy on the test split, 0..1; None if it is asked for features alone."""
        if not self.config.store.logits:
            return None
        return evaluate(self.model, self.views[1], self.dataset.test.labels.to(self._device))

    def rows(
        self,
        view: int,
        samples: range | NDArray[np.int64],
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> NDArray[np.float32]:
        """Return the rows of `samples` as their `view`, by batches of the recipe's size; see `TeacherRows.rows`."""
        return self.teacher_rows.rows(view, samples, on_batch)

    def pieces(self, spans: Sequence[Span], on_batch: Callable[[int], None] = lambda size: None) -> RowPieces:
        """Yield the rows of `spans`, a view and samples each, piece by piece; see `TeacherRows.pieces`."""
        return self.teacher_rows.pieces(spans, on_batch)


def _makes_ahead(views: ViewSource, config: Config, device: torch.device) -> bool:
    """Return True if batches are worth a thread beside the one that the teacher computes in.

    Where torch leaves a core, or the teacher computes on a GPU, images in memory are augmented there. If all cores
    compute already, one of them would only keep the others waiting. Pictures that worker processes decode are collected
    there. Where this process decodes them (`data.workers: 0`), a data set of the user's own stays in one thread.
    """
    if isinstance(views, InMemoryViews):
        return device.type != "cpu" or torch.get_num_threads() < available_cores()
    return config.data.workers > 0
