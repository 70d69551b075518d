"""Stage 2: one student from one knowledge store, into one run folder."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from torch import nn

from kcd_pipeline.augmentation import Augmentation, Renumbered, build_augmentation
from kcd_pipeline.config import Config
from kcd_pipeline.config.losses import DistLossConfig, PktLossConfig
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.distillation.plans_from import open_plans_from
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import model_for
from kcd_pipeline.models.feature_tap import FeatureTap
from kcd_pipeline.models.weights import parameter_count
from kcd_pipeline.recipe_store.origin import expected_origin, software
from kcd_pipeline.runs import RunFolder, claim_folder
from kcd_pipeline.training.device import seed_torch
from kcd_pipeline.training.ranks import Ranks, join_ranks
from kcd_pipeline.training.session import run_epochs
from kcd_pipeline.training.trainer import Trainer
from kcd_stores import (
    KnowledgeStore,
    PlanStore,
    Streaming,
    is_vacant,
    one_writer,
    parse_bytes,
    plan_streaming,
    read_condensed,
)


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """A finished run: its folder, its summary, and whether it had been finished before this call."""

    folder: RunFolder
    summary: dict[str, Any]
    already: bool


def distill(
    config: Config, *, resume: bool = False, overwrite: bool = False, dataset: Dataset | None = None
) -> Distillation:
    """Train the student of a recipe, or go on with it; `dataset` is the recipe's, where it is loaded already.

    Raises
    ------
    UserError, StoreUsageError
        If data or store are missing or do not match, or the run folder is not this run's.
    FailedError
        If training diverges, or another rank ends.
    """
    with join_ranks(config.run) as ranks:
        return _distill(config, ranks, dataset or load_dataset(config.data), resume=resume, overwrite=overwrite)


def _distill(config: Config, ranks: Ranks, whole: Dataset, *, resume: bool, overwrite: bool) -> Distillation:
    _require_loss_of_samples(config, ranks)
    folder = RunFolder(config.run_dir)
    augmentation = build_augmentation(config.augmentation)
    store = open_matching_store(config, whole, augmentation)
    dataset, augmentation = _part_taught(whole, augmentation, store)
    taught_by = None if config.distill.method == "none" else store
    # before the folder is claimed or cleared: a model or a device that is not there must cost nothing
    student = _new_student(config, dataset)
    tap = None
    if taught_by is not None and taught_by.encoding.feature_columns:
        tap = FeatureTap(student, image_shape=dataset.image_shape, classes=len(dataset.classes))
    trainer = Trainer(
        student,
        dataset,
        augmentation,
        optimisation=config.distill,
        run=config.run,
    )
    streaming = None if taught_by is None else _streaming(config, taught_by)
    given = open_plans_from(config, dataset)
    origin = {
        "dataset": dataset.description["fingerprint"],
        "store": taught_by and taught_by.identity,
        "streaming": streaming and streaming.describe("store.memory"),
        **({} if given is None else {"plans": given.digest}),
    }
    knowledge = None if taught_by is None or streaming is None else (taught_by, streaming)

    def claimed() -> dict[str, Any] | None:
        """The summary of a run that is finished already."""
        held.enter_context(one_writer(folder.path))
        claim_folder(folder, config.plain(), origin, resume=resume, overwrite=overwrite)
        return folder.read_summary() if folder.finished else None

    def ended() -> dict[str, Any]:
        summary = _summary(config, folder, dataset, store, best) | {
            "parameters": parameter_count(trainer.model),
            "streaming": origin["streaming"],
        }
        folder.write_summary(summary)
        return summary

    with ExitStack() as held:
        finished = ranks.run_on_first(claimed)
        if finished is not None:
            return Distillation(folder=folder, summary=finished, already=True)
        curriculum = StudentCurriculum(
            config, folder, knowledge, len(dataset.train), given, ranks=ranks, device=trainer.device, tap=tap
        )
        best = _train(config, folder, trainer, curriculum)
        summary = ranks.run_on_first(ended)
    return Distillation(folder=folder, summary=summary, already=False)


def _part_taught(
    dataset: Dataset, augmentation: Augmentation, store: KnowledgeStore | None
) -> tuple[Dataset, Augmentation]:
    """What a student of this store is trained on: of a condensed one its samples alone, each seen as in the whole."""
    rows = None if store is None else read_condensed(store)
    if rows is None:
        return dataset, augmentation
    return dataset.restricted(rows.samples), Renumbered(augmentation, rows.samples)


def _require_loss_of_samples(config: Config, ranks: Ranks) -> None:
    """Refuse a loss that compares the samples of a batch with each other where each rank would see only its part."""
    loss = config.distill.loss
    compares = (isinstance(loss, DistLossConfig) and loss.gamma) or (isinstance(loss, PktLossConfig) and loss.beta)
    if ranks.several and config.distill.method != "none" and compares:
        without = "gamma" if isinstance(loss, DistLossConfig) else "beta"
        raise UserError(
            f"distill.loss.name is {loss.name}, which compares all samples of a batch with each other, but this is "
            f"rank {ranks.share.rank} of {ranks.share.ranks}, and each sees only its part of one. Train it in one "
            f"process, or set distill.loss.{without}=0."
        )


def _train(config: Config, folder: RunFolder, trainer: Trainer, curriculum: StudentCurriculum) -> float:
    """Run all epochs; the best test accuracy, 0..1."""
    try:
        return run_epochs(
            folder,
            trainer,
            curriculum,
            epochs=config.distill.epochs,
            name=config.distill.method,
            facts={"model": config.student.model},
        )
    finally:
        curriculum.close()


def _streaming(config: Config, store: KnowledgeStore) -> Streaming:
    return plan_streaming(
        store,
        memory=parse_bytes(config.store.memory),
        batch_size=config.distill.batch_size,
        partners=config.distill.method == "kcd",
    )


def open_matching_store(config: Config, dataset: Dataset, augmentation: Augmentation) -> KnowledgeStore | None:
    """The store of a recipe, checked against it; None where there is none and `none` needs none.

    Raises
    ------
    StoreUsageError
        If it is needed and missing or unfinished, or it was made from something else.
    """
    labels_only = config.distill.method == "none"
    if labels_only and is_vacant(config.store.path):
        return None
    on_features = isinstance(config.distill.loss, PktLossConfig) and not labels_only
    store = KnowledgeStore.open(config.store.path, features=on_features)
    store.require_made_from(expected_origin(config, dataset, augmentation))
    if on_features and store.features is None:
        raise UserError(
            f"distill.loss.name is {config.distill.loss.name}, which is on penultimate features, but the store at "
            f"{store.location} has none. Extract one with store.features=true, or choose another loss."
        )
    if not labels_only:
        store.require_views(config.store.views)
    return store


def _new_student(config: Config, dataset: Dataset) -> nn.Module:
    seed_torch(config.seed)
    return model_for(
        config.student.model,
        image_shape=dataset.image_shape,
        classes=len(dataset.classes),
        arguments=config.student.arguments,
    )


def _summary(
    config: Config, folder: RunFolder, dataset: Dataset, store: KnowledgeStore | None, best: float
) -> dict[str, Any]:
    metrics = folder.read_metrics()
    return {
        "method": config.distill.method,
        "student": config.student.model,
        "seed": config.seed,
        "epochs": config.distill.epochs,
        "test_accuracy": metrics[-1]["test_accuracy"],
        "best_test_accuracy": best,
        "rows_trained": sum(line["rows"] for line in metrics),
        "samples_trained": sum(line["samples"] for line in metrics),
        "kept_fraction": [plan.kept_fraction for plan in PlanStore(folder.plans).read_all()],
        "seconds": sum(line["seconds"] for line in metrics),
        "dataset": {"name": dataset.name, "test_fingerprint": dataset.test.fingerprint(dataset.classes)},
        "store": None if store is None else store_facts(store),
        "software": software(),
    }


def store_facts(store: KnowledgeStore) -> dict[str, Any]:
    """What a run remembers of the store that it was taught from, so that a report needs only the run."""
    return {
        "path": str(store.location),
        "identity": store.identity,
        "made_from": store.made_from,
        "encoding": store.encoding_label,
        "views": store.layout.views,
        "rows": store.inventory.complete_rows(),
        "bytes": store.inventory.bytes_on_disk(),
        "seconds": store.seconds(),
    }
