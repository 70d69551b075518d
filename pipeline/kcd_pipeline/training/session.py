"""A training run from its first or next epoch to its last: checkpoints, metrics, best weights."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch.utils.tensorboard import SummaryWriter

from kcd_pipeline.condensation import Perturbation
from kcd_pipeline.models.weights import save_weights
from kcd_pipeline.progress import human_seconds, log_line, progress_bar, say
from kcd_pipeline.training.checkpoint import load_checkpoint, save_checkpoint
from kcd_pipeline.training.folder import RunFolder
from kcd_pipeline.training.trainer import EpochResult, Part, Trainer
from kcd_pipeline.training.undisturbed import undisturbed


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """What one epoch trains on: `samples` in `parts`, as their `view`; the parts can be gone through once.

    `blended`, where given, says which images are blended with others of the same view.
    """

    view: int
    samples: int
    parts: Iterable[Part]
    knowledge_rows: int
    blended: Perturbation | None = None


class Curriculum(Protocol):
    """Decides each epoch's lesson and learns from how it went. Teachers, plain and condensing students have one."""

    def start(self, epoch: int) -> None:
        """Get ready to go on from `epoch`."""
        ...

    def lesson(self, epoch: int) -> Lesson:
        """What `epoch` trains on."""
        ...

    def learnt(self, epoch: int, result: EpochResult) -> Mapping[str, int]:
        """Take note of `epoch`, durably, before it is checkpointed; what its line of metrics is to say besides."""
        ...


def run_epochs(
    folder: RunFolder,
    trainer: Trainer,
    curriculum: Curriculum,
    *,
    epochs: int,
    name: str,
    facts: dict[str, Any],
) -> float:
    """Train until `epochs` are done, going on from the newest checkpoint; the best test accuracy, 0..1.

    Order within an epoch: values and metrics first, then the checkpoint that makes them count. Whatever was
    written beyond the newest checkpoint is written again, the same, by the resumed run.
    """
    state = load_checkpoint(trainer.accelerator, folder.checkpoint) or {"epoch": -1, "best": -1.0}
    first, best = state["epoch"] + 1, state["best"]
    folder.truncate_metrics(first)
    curriculum.start(first)
    if first:
        say(f"{name}: going on from epoch {first + 1} of {epochs}")
    with SummaryWriter(str(folder.tensorboard), purge_step=first) as board, progress_bar() as bar:
        task = bar.add_task(name, total=None, note="", unit="img")
        for epoch in range(first, epochs):
            started = time.perf_counter()
            lesson = curriculum.lesson(epoch)
            bar.reset(task, total=lesson.samples, description=f"{name} epoch {epoch + 1}/{epochs}")
            result = trainer.epoch(
                epoch,
                view=lesson.view,
                samples=lesson.samples,
                parts=lesson.parts,
                blended=lesson.blended,
                on_batch=lambda size: bar.advance(task, size),
            )
            counted = curriculum.learnt(epoch, result)
            seconds = time.perf_counter() - started
            accuracy = trainer.test_accuracy()
            if accuracy > best:
                best = accuracy
                save_weights(folder.best_weights, trainer.model, {**facts, "epoch": epoch, "test_accuracy": accuracy})
            line = {
                "epoch": epoch,
                "loss": result.loss,
                "train_accuracy": result.accuracy,
                "test_accuracy": accuracy,
                "samples": len(result.order),
                "rows": lesson.knowledge_rows,
                "steps": result.steps,
                **counted,
                "kept_fraction": len(result.order) / trainer.samples,
                "seconds": seconds,
                "rows_per_second": len(result.order) / seconds,
            }
            folder.append_metrics(line)
            with undisturbed():
                _to_board(board.add_scalar, line)
            save_checkpoint(trainer.accelerator, folder.checkpoint, epoch, {"best": best})
            done = f"test {accuracy:.2%}, loss {result.loss:.3f}"
            left = human_seconds((time.perf_counter() - started) * (epochs - epoch - 1))
            bar.update(task, note=f"{done}, about {left} to go")
            log_line(f"{name} epoch {epoch + 1}/{epochs}: {done}, {line['rows_per_second']:,.0f} img/s, {left} to go")
    save_weights(folder.weights, trainer.model, {**facts, "epoch": epochs - 1})
    return float(best)


def _to_board(add_scalar: Callable[[str, float, int], None], line: dict[str, Any]) -> None:
    for key, value in line.items():
        if key != "epoch":
            add_scalar(key, value, line["epoch"])
