"""Stage 2: one student from one knowledge store, into one run folder."""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.distillation.judge import judges_blends
from kcd_pipeline.distillation.judged_blends import BlendRows, JudgedBlends
from kcd_pipeline.distillation.preparation import Preparation, prepare_run
from kcd_pipeline.distillation.summary import summarise
from kcd_pipeline.models import NONE_PASSED, PassedModels
from kcd_pipeline.runs import Predictions, RunFolder, claim_folder
from kcd_pipeline.runs.record import file_digest
from kcd_pipeline.teacher import with_teacher_images
from kcd_pipeline.training.facts import weights_facts
from kcd_pipeline.training.ranks import join_ranks
from kcd_pipeline.training.results import Results
from kcd_pipeline.training.session import run_epochs
from kcd_stores import one_writer


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """A finished run.

    Attributes
    ----------
    folder
        Its folder.
    summary
        The contents of its `summary.json`.
    already
        True if it had been finished before this call.
    """

    folder: RunFolder
    summary: dict[str, Any]
    already: bool


def distill(
    config: Config,
    *,
    resume: bool = False,
    overwrite: bool = False,
    dataset: Dataset | None = None,
    passed: PassedModels = NONE_PASSED,
) -> Distillation:
    """Train the student of a recipe, or go on with its training if the recipe's run folder holds the same run.

    Parameters
    ----------
    resume
        Require that there is a run to go on with.
    overwrite
        Put a new run in the place of any that is in that folder.
    dataset
        The recipe's dataset, if it is loaded already.
    passed
        Models that were passed as objects, in the place of the recipe's.

    Raises
    ------
    UserError, StoreUsageError
        If data or store are missing or do not match, or the folder holds another run.
    FailedError
        If training diverges, or another rank ends.
    """
    with join_ranks(config.run) as ranks:
        # before the folder is claimed or cleared: a model or a device that is missing must cost nothing
        if dataset is None:
            config = with_teacher_images(config)
            dataset = load_dataset(config.data)
        folder = RunFolder(config.run_dir)
        streamed_as = None if overwrite else ranks.run_on_first(folder.read_streaming)
        prepared = prepare_run(config, ranks, dataset, passed, streamed_as=streamed_as)
        with ExitStack() as lock:
            claim = partial(_claim, prepared, folder, lock, resume=resume, overwrite=overwrite)
            finished = ranks.run_on_first(claim)
            if finished is not None:
                return Distillation(folder=folder, summary=finished, already=True)
            results = _train(prepared, folder)
            predictions = prepared.trainer.test_predictions()
            summary = ranks.run_on_first(partial(_finish, prepared, folder, results, predictions))
    return Distillation(folder=folder, summary=summary, already=False)


def _claim(
    prepared: Preparation, folder: RunFolder, lock: ExitStack, *, resume: bool, overwrite: bool
) -> dict[str, Any] | None:
    """Lock the folder until `lock` ends and claim it; return the summary if its run is finished already."""
    lock.enter_context(one_writer(folder.path))
    claim_folder(folder, prepared.config.plain(), prepared.origin, resume=resume, overwrite=overwrite)
    return folder.read_summary() if folder.finished else None


def _train(prepared: Preparation, folder: RunFolder) -> Results:
    """Run all epochs; return the accuracies at their end."""
    config, trainer = prepared.config, prepared.trainer
    curriculum = StudentCurriculum(
        config,
        folder,
        prepared.knowledge,
        len(prepared.dataset.train),
        prepared.plans_from,
        labels=prepared.dataset.train.labels.numpy(),
        sample_weight=prepared.sample_weight,
        ranks=prepared.ranks,
        device=trainer.device,
        tap=prepared.tap,
        cross_entropy=prepared.cross_entropy,
        blends=_judged_blends(prepared, folder),
    )
    try:
        return run_epochs(
            folder,
            trainer,
            curriculum,
            epochs=config.distill.epochs,
            name=config.distill.method,
            facts=_facts(prepared),
            beside=_beside(prepared),
        )
    finally:
        curriculum.close()


def _facts(prepared: Preparation) -> dict[str, Any]:
    """Return the facts that the student's weights say of themselves."""
    config, stores = prepared.config, prepared.stores_taught_by
    teachers = (config.teacher, *config.other_teachers)
    return weights_facts(
        config.student,
        prepared.dataset,
        method=config.distill.method,
        epochs=config.distill.epochs,
        seed=config.seed,
        store=", ".join(store.identity for store in stores) or None,
        teacher=", ".join(teacher.model for teacher in teachers),
        init=prepared.init,
    )


def _beside(prepared: Preparation) -> dict[str, float]:
    """Return the test accuracy of the teacher, as the store has it, to be shown beside that of the student.

    Of several teachers, it is that of the most accurate one.
    """
    accuracies = [store.made_from["teacher"].get("test_accuracy") for store in prepared.stores_taught_by]
    known = [float(accuracy) for accuracy in accuracies if accuracy is not None]
    return {"teacher_test_accuracy": max(known)} if known else {}


def _judged_blends(prepared: Preparation, folder: RunFolder) -> JudgedBlends | None:
    """Return the blends that the teacher judges; None if the recipe wants none."""
    if prepared.knowledge is None or not judges_blends(prepared.config):
        return None
    rows = None
    if prepared.judge is not None and prepared.store is not None:
        rows = BlendRows(
            prepared.config,
            folder.blends,
            prepared.judge,
            source=prepared.store,
            images=prepared.trainer.train_views,
            dataset=prepared.dataset,
            device=prepared.trainer.device,
        )
    return JudgedBlends(prepared.ranks, rows)


def _finish(prepared: Preparation, folder: RunFolder, results: Results, predictions: Predictions) -> dict[str, Any]:
    """Write the predictions, then the summary, which marks the run as finished; return the summary."""
    predictions.write(folder.predictions)
    summary = summarise(prepared, folder, results) | {"predictions_sha256": file_digest(folder.predictions)}
    folder.write_summary(summary)
    return summary
