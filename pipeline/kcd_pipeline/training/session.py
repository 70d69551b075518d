"""A training run from its first or next epoch to its last."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from kcd_pipeline.condensation import Perturbation
from kcd_pipeline.freed_memory import memory_is_kept
from kcd_pipeline.progress import human_seconds, progress_bar, say, say_progress
from kcd_pipeline.runs import Record, RunFolder
from kcd_pipeline.training.checkpoint import load_checkpoint
from kcd_pipeline.training.early_stopping import is_to_stop
from kcd_pipeline.training.epoch import EpochResult, Part
from kcd_pipeline.training.recorder import RunRecorder
from kcd_pipeline.training.results import Results, take_results
from kcd_pipeline.training.trainer import Trainer


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """Samples and objectives of one epoch.

    Attributes
    ----------
    view
        The view that all samples are seen in.
    samples
        n, the number of samples in all parts together.
    parts
        Samples in the order of training with their objectives; can be gone through once.
    knowledge_rows
        Number of knowledge rows that the epoch uses.
    perturbation
        Blends images with others of the same view, if given.
    """

    view: int
    samples: int
    parts: Iterable[Part]
    knowledge_rows: int
    perturbation: Perturbation | None = None


class Curriculum(Protocol):
    """Chooses each epoch's lesson and records how the epoch went. Teachers and students have one each.

    Each rank has its own, and all of them give the same lessons.
    """

    def start(self, epoch: int, recorded: Record | None = None) -> None:
        """Get ready to go on from `epoch` (0-based), up to which the run has been `recorded`."""
        ...

    def lesson(self, epoch: int) -> Lesson:
        """Return the lesson of `epoch`; called once an epoch, in order."""
        ...

    def record(self, epoch: int, result: EpochResult) -> Mapping[str, float]:
        """Record `epoch` durably, before it is checkpointed; return more numbers for its line of metrics."""
        ...

    def values(self) -> NDArray[np.float64] | None:
        """Return the values `[N]` of all samples as they are now, NaN where never visited; None if it has none.

        Only rank 0 calls this.
        """
        ...

    def digests(self, epochs: int) -> Mapping[str, list[str]]:
        """Return the digests of what has been recorded up to now, `epochs` epochs, by their names in a `Record`.

        Only rank 0 calls this.
        """
        ...


def run_epochs(
    folder: RunFolder,
    trainer: Trainer,
    curriculum: Curriculum,
    *,
    epochs: int,
    name: str,
    facts: dict[str, Any],
    beside: Mapping[str, float] | None = None,
) -> Results:
    """Train until `epochs` are done or patience ends, from the newest sound checkpoint on; return the results.

    Values and metrics of an epoch are written first, then the checkpoint that completes it. Anything newer than the
    newest checkpoint is written again, with the same content, by the resumed run. Every rank must call this; only rank
    0 writes.

    Parameters
    ----------
    name
        Shown with the progress.
    facts
        Recorded in the weights.
    beside
        Numbers that TensorBoard and trackers are shown beside those of every epoch, such as the teacher's accuracy.

    Raises
    ------
    FailedError
        If training diverges.
    DamagedError, CorruptStoreError
        If the run cannot go on, because what it has written is damaged.
    """
    restored = load_checkpoint(trainer.ranks, trainer.accelerator, folder, trainer.average)
    first, best, record = (0, -1.0, None) if restored is None else (restored.epoch + 1, restored.best, restored.record)
    if trainer.ranks.is_first:
        folder.truncate_metrics(first)
    curriculum.start(first, record)
    if first:
        say(f"{name}: going on from epoch {first + 1} of {epochs}")
    recorder = RunRecorder(
        folder, trainer, first=first, best=best, facts=facts, digests=curriculum.digests, beside=beside or {}
    )
    with recorder, memory_is_kept(), progress_bar() as bar:
        progress = EpochProgress(bar, name, epochs, chosen_by=trainer.accuracy_key.removesuffix("_accuracy"))
        accuracies = _accuracies_before(first, trainer, folder)
        for epoch in range(first, epochs):
            if trainer.patience is not None and is_to_stop(accuracies, trainer.patience):
                _say_stopped(name, trainer.patience, done=epoch, planned=epochs)
                break
            accuracies.append(_run_epoch(epoch, trainer, curriculum, recorder, progress))
        results = take_results(trainer, folder)
        if trainer.ranks.is_first:
            recorder.finish(results)
        return results


def _accuracies_before(first: int, trainer: Trainer, folder: RunFolder) -> list[float]:
    """Return the accuracies of the epochs before `first`, by which the best one is chosen, the same on every rank."""
    if trainer.patience is None:
        return []
    return trainer.ranks.run_on_first(lambda: [line[trainer.accuracy_key] for line in folder.read_metrics()[:first]])


def _say_stopped(name: str, patience: int, *, done: int, planned: int) -> None:
    say(
        f"{name}: stopped after epoch {done} of {planned}: none since epoch {done - patience} had a better validation "
        f"accuracy, and the patience is {patience}."
    )


def _run_epoch(
    epoch: int, trainer: Trainer, curriculum: Curriculum, recorder: RunRecorder, progress: "EpochProgress"
) -> float:
    """Train, record and evaluate one epoch; return its accuracy, by which the best epoch is chosen, 0..1."""
    started = time.perf_counter()
    lesson = curriculum.lesson(epoch)
    progress.begin(epoch, lesson.samples)
    result = trainer.train_epoch(
        epoch,
        view=lesson.view,
        samples=lesson.samples,
        parts=lesson.parts,
        perturbation=lesson.perturbation,
        on_batch=progress.advance,
        scratch=recorder.scratch,
    )
    counted = curriculum.record(epoch, result)
    seconds = time.perf_counter() - started
    measures = trainer.epoch_measures()
    rows = lesson.knowledge_rows
    trainer.ranks.run_on_first(
        lambda: recorder.add(
            epoch, result, measures, rows=rows, counted=counted, seconds=seconds, values=curriculum.values()
        )
    )
    progress.end(epoch, result, measures.accuracy, training=seconds, whole=time.perf_counter() - started)
    return measures.accuracy


class EpochProgress:
    """Shows how far a run of `epochs` epochs is, as a bar on a terminal or as a line an epoch in a log."""

    def __init__(self, bar: Progress, name: str, epochs: int, *, chosen_by: str) -> None:
        self._bar, self._name, self._epochs, self._chosen_by = bar, name, epochs, chosen_by
        self._task = bar.add_task(name, total=None, note="", unit="img")

    def begin(self, epoch: int, samples: int) -> None:
        """Show that `epoch`, of so many samples, begins."""
        self._bar.reset(self._task, total=samples, description=self._title(epoch))

    def advance(self, samples: int) -> None:
        """Show that so many more samples of the epoch are done."""
        self._bar.advance(self._task, samples)

    def end(self, epoch: int, result: EpochResult, accuracy: float, *, training: float, whole: float) -> None:
        """Show how `epoch` went and the time left, from its seconds of `training` and those of the `whole` epoch."""
        done = f"{self._chosen_by} {accuracy:.2%}, loss {result.loss:.3f}"
        left = human_seconds(whole * (self._epochs - epoch - 1))
        self._bar.update(self._task, note=f"{done}, about {left} to go")
        rate = len(result.order) / training
        say_progress(f"{self._title(epoch)}: {done}, {rate:,.0f} img/s, {left} to go")

    def _title(self, epoch: int) -> str:
        return f"{self._name} epoch {epoch + 1}/{self._epochs}"
