"""Everything that a run needs, opened, made and compared with its recipe before its folder is touched."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kcd_pipeline.augmentation import Augmentation, SubsetAugmentation, build_augmentation, build_mixing
from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset
from kcd_pipeline.distillation.judge import Judge, judges_blends, load_judge
from kcd_pipeline.distillation.objective import require_sample_losses
from kcd_pipeline.distillation.plans_from import PlansFromRun, open_plans_from
from kcd_pipeline.distillation.several_stores import knowledge_of
from kcd_pipeline.distillation.trials import digests_of_parts, try_parts
from kcd_pipeline.errors import UserError
from kcd_pipeline.losses import CrossEntropy, is_over_features, make_cross_entropy, try_own_loss
from kcd_pipeline.models import NONE_PASSED, FeatureTap, PassedModels
from kcd_pipeline.models.starting import model_to_train
from kcd_pipeline.recipe_store import expected_origin, require_made_from
from kcd_pipeline.store_opening import open_store
from kcd_pipeline.training.device import seed_generators
from kcd_pipeline.training.ranks import Ranks
from kcd_pipeline.training.trainer import Trainer
from kcd_stores import (
    BlendedStores,
    CondensedRows,
    KnowledgeStore,
    RowSource,
    StoreUsageError,
    Streaming,
    is_vacant,
    parse_bytes,
    plan_streaming,
    read_condensed,
)

MEMORY_KEY = "store.memory"


@dataclass(frozen=True, kw_only=True, eq=False)
class Preparation:
    """Parts of one run.

    Attributes
    ----------
    dataset
        The samples that the student is trained on.
    store
        The recipe's store, of the first teacher if there are several; None if there is none and the method needs none.
    other_stores
        The stores of the other teachers that the student is taught by.
    knowledge
        The store to be read, or the blend of those of several teachers, and how it is streamed; None if the student
        learns from labels alone.
    tap
        Takes the student's penultimate features, if the loss is on them.
    cross_entropy
        The loss with the labels.
    plans_from
        Plans of another run to follow, if the recipe names one.
    sample_weight
        `[N]` float32: the weights that a condensed store gives its samples; None if it gives none.
    judge
        The teacher that blended pictures are shown to, on rank 0 if they are.
    init
        Content hash of the weights that the student begins with; None if they are new random ones.
    own_parts
        SHA-256 of the source of each part of the user's own, by the key that names it.
    passed
        Models that were passed as objects, in the place of the recipe's.
    """

    config: Config
    ranks: Ranks
    dataset: Dataset
    store: KnowledgeStore | None
    other_stores: tuple[KnowledgeStore, ...]
    knowledge: tuple[KnowledgeStore | BlendedStores, Streaming] | None
    trainer: Trainer
    tap: FeatureTap | None
    cross_entropy: CrossEntropy
    plans_from: PlansFromRun | None
    sample_weight: NDArray[np.float32] | None
    judge: Judge | None
    init: str | None
    own_parts: Mapping[str, str]
    passed: PassedModels

    @property
    def stores_taught_by(self) -> tuple[KnowledgeStore, ...]:
        """The store of each teacher; none if the student learns from labels alone."""
        return () if self.knowledge is None or self.store is None else (self.store, *self.other_stores)

    @property
    def origin(self) -> dict[str, Any]:
        """Content hashes of all that the run begins with, and the mode of streaming: they stay on a resume."""
        stores = [store.identity for store in self.stores_taught_by]
        streaming = None if self.knowledge is None else self.knowledge[1]
        return {
            **self.dataset.fingerprints,
            "store": stores[0] if stores else None,
            **({"other_stores": stores[1:]} if len(stores) > 1 else {}),
            "streaming": None if streaming is None else streaming.describe(MEMORY_KEY),
            **({} if self.plans_from is None else {"plans": self.plans_from.digest}),
            **({} if self.init is None else {"init": self.init}),
            **({"parts": self.own_parts} if self.own_parts else {}),
            **self.passed.origin(),
        }


def prepare_run(
    config: Config,
    ranks: Ranks,
    whole: Dataset,
    passed: PassedModels = NONE_PASSED,
    *,
    streamed_as: str | None = None,
) -> Preparation:
    """Prepare the run of a recipe on its dataset `whole`. Nothing is written, so a refusal costs nothing.

    Parameters
    ----------
    streamed_as
        The mode of streaming of the run that is gone on with, if there is one.

    Raises
    ------
    UserError, StoreUsageError
        If model, device, store, loss, value or plans are missing, or do not match the recipe or each other.
    FailedError
        If a value function of the user's own fails.
    """
    try_parts(config, ranks, classes=len(whole.classes))
    augmentation = build_augmentation(config.augmentation)
    store, other_stores = _open_matching_stores(config, whole, augmentation, passed.teacher)
    condensed = None if store is None else read_condensed(store)
    _require_partners(config, condensed)
    dataset, augmentation = _samples_of_store(whole, augmentation, condensed)
    _require_rows_within_last_epoch(config, len(dataset.train))
    taught_by = None if config.distill.method == "none" else store
    source = None if taught_by is None else knowledge_of(config, (taught_by, *other_stores))
    plans_from = open_plans_from(config, dataset)
    sample_weight = None if condensed is None else condensed.weight
    _require_loss_that_weighs(config, sample_weight, plans_from)
    judge = None
    if judges_blends(config) and store is not None and ranks.is_first:
        # before the student: a model may draw from the global generators
        judge = load_judge(config, dataset, store, passed.teacher)
    seed_generators(config.seed)
    student, init = model_to_train(
        config.student,
        "student",
        passed.student,
        image_shape=dataset.image_shape,
        classes=len(dataset.classes),
        trained_by=ranks.share.ranks,
    )
    tap = None
    if taught_by is not None and taught_by.encoding.feature_columns:
        tap = FeatureTap(student, image_shape=dataset.image_shape, classes=len(dataset.classes))
        if is_over_features(config.distill):
            widths = (tap.width, taught_by.encoding.feature_columns)
            try_own_loss(config.distill, classes=len(dataset.classes), features=widths)
    trainer = Trainer(
        student,
        dataset,
        augmentation,
        optimisation=config.distill,
        run=config.run,
        seed=config.seed,
        mixing=build_mixing(config.augmentation),
    )
    return Preparation(
        config=config,
        ranks=ranks,
        dataset=dataset,
        store=store,
        other_stores=other_stores,
        trainer=trainer,
        knowledge=None if source is None else (source, _plan_streaming(config, source, streamed_as)),
        tap=tap,
        cross_entropy=make_cross_entropy(
            config.distill, dataset.train.labels.numpy(), dataset.classes, dataset.label_names, trainer.device
        ),
        plans_from=plans_from,
        judge=judge,
        init=init,
        sample_weight=sample_weight,
        own_parts=digests_of_parts(config),
        passed=passed,
    )


def _require_partners(config: Config, condensed: CondensedRows | None) -> None:
    """Raise UserError if samples are mixed with others, but the store is a condensed set, which lacks some of them."""
    if condensed is not None and config.augmentation.mix is not None:
        raise UserError(
            f"augmentation.mix is {config.augmentation.mix.name}, but the store at {config.store.path} is a condensed "
            f"set: samples that it left out are partners of those that it has, so their pictures could not be made "
            f"again. Set store.path to the store that it was condensed from."
        )


def _require_rows_within_last_epoch(config: Config, samples: int) -> None:
    """Raise UserError unless `distill.rows` ends the run in the last of its epochs, to which the schedule is fitted."""
    rows, epochs = config.distill.rows, config.distill.epochs
    if rows is not None and not (epochs - 1) * samples < rows <= epochs * samples:
        raise UserError(
            f"distill.rows is {rows:,}, and with {samples:,} samples that is the end of epoch {-(-rows // samples):,}, "
            f"but distill.epochs is {epochs:,}. Set distill.epochs to {-(-rows // samples)}, so that the learning rate "
            f"falls to its end by then."
        )


def _open_matching_stores(
    config: Config, dataset: Dataset, augmentation: Augmentation, teacher: nn.Module | None
) -> tuple[KnowledgeStore | None, tuple[KnowledgeStore, ...]]:
    """Open the stores of the first teacher and of the others; a student that learns from labels needs no others."""
    first, *others = config.each_teacher()
    store = _open_matching_store(first, dataset, augmentation, teacher)
    if config.distill.method == "none":
        return store, ()
    found = (_open_matching_store(other, dataset, augmentation, None) for other in others)
    return store, tuple(other for other in found if other is not None)


def _open_matching_store(
    config: Config, dataset: Dataset, augmentation: Augmentation, teacher: nn.Module | None
) -> KnowledgeStore | None:
    """Open the store of a recipe and compare it with the recipe; return None if method `none` finds no store.

    Raises
    ------
    StoreUsageError
        If a store is needed but missing or unfinished, or it was made from something else.
    UserError
        If the loss is on features and the store has none.
    """
    without_knowledge = config.distill.method == "none"
    if without_knowledge and is_vacant(config.store.path):
        return None
    on_features = is_over_features(config.distill) and not without_knowledge
    store = open_store(config.store.path, features=on_features)
    require_made_from(store, expected_origin(config, dataset, augmentation, teacher))
    if on_features and store.features is None:
        raise UserError(
            f"distill.loss.name is {config.distill.loss.name}, which is on penultimate features, but the store at "
            f"{store.location} has none. Extract one with store.features=true, or choose another loss."
        )
    if not without_knowledge:
        store.require_views(config.store.views)
    return store


def _samples_of_store(
    dataset: Dataset, augmentation: Augmentation, condensed: CondensedRows | None
) -> tuple[Dataset, Augmentation]:
    """Return the samples that a store has rows of, and an augmentation that gives them the views of the whole dataset.

    Only the store of a condensed set has less than all samples.
    """
    if condensed is None:
        return dataset, augmentation
    return dataset.with_train_subset(condensed.samples), SubsetAugmentation(augmentation, condensed.samples)


def _require_loss_that_weighs(
    config: Config, sample_weight: NDArray[np.float32] | None, plans_from: PlansFromRun | None
) -> None:
    """Raise UserError if a condensed store or the plans of another run weigh samples, and the loss cannot."""
    if config.distill.method == "none":
        return
    if sample_weight is not None:
        require_sample_losses(config.distill, f"store.path is {config.store.path}, a condensed set")
    if plans_from is not None and plans_from.weighted:
        require_sample_losses(config.distill, f"condense.plans_from is {config.condense.plans_from}")


def _plan_streaming(config: Config, source: RowSource, streamed_as: str | None) -> Streaming:
    """Choose the way of streaming, or the one that an earlier version chose for the run that is gone on with."""
    plan = partial(
        plan_streaming,
        source,
        memory=parse_bytes(config.store.memory),
        batch_size=config.distill.batch_size,
        partners=config.distill.method == "kcd",
    )
    streaming = plan()
    if streamed_as is not None and streaming.describe(MEMORY_KEY) != streamed_as:
        with suppress(StoreUsageError):  # then it was not chosen so
            earlier = plan(held_decoded=True)
            return earlier if earlier.describe(MEMORY_KEY) == streamed_as else streaming
    return streaming
