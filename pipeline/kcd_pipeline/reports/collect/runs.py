"""Records of runs: the facts that a report needs of each, read from its folder and checked."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from kcd_pipeline.config import variant_words
from kcd_pipeline.errors import UserError
from kcd_pipeline.plain_text import shown_in_line
from kcd_pipeline.reports.collect.checked import read_checked_epochs, read_checked_settings, read_checked_summary
from kcd_pipeline.reports.collect.costs import TrainingCost, training_cost
from kcd_pipeline.reports.collect.search import find_runs
from kcd_pipeline.runs import RunFolder, require_run

# keys of summary.json that a report cannot do without
REQUIRED_KEYS = (
    "method", "student", "seed", "epochs", "test_accuracy", "best_test_accuracy", "rows_trained", "samples_trained",
    "kept_fraction", "seconds", "dataset", "store",
)  # fmt: skip


def chosen_by(metrics: Sequence[Mapping[str, Any]]) -> Literal["test", "validation"]:
    """Return the images by which the best epoch of `metrics` is chosen."""
    return "validation" if any("validation_accuracy" in line for line in metrics) else "test"


def epoch_accuracy(line: Mapping[str, Any]) -> float:
    """Return the accuracy, 0..1, of a line of metrics.jsonl, by which the best epoch is chosen."""
    return float(line["validation_accuracy"] if "validation_accuracy" in line else line["test_accuracy"])


@dataclass(frozen=True, kw_only=True, eq=False)
class RunRecord:
    """One finished run of a student.

    Attributes
    ----------
    label
        The run's name in this report: its folder's name, or its path where two folders have the same name.
    path
        Its folder, as the user wrote it.
    config, summary, metrics
        The content of its config.yaml, summary.json and metrics.jsonl.
    """

    label: str
    path: Path
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    metrics: list[dict[str, Any]]

    def __post_init__(self) -> None:
        missing = [key for key in REQUIRED_KEYS if key not in self.summary]
        if missing:
            raise UserError(
                f"{self.path / 'summary.json'} is not the summary of a student's run that can be read here: it has "
                f"no {', '.join(missing)}. Run the student again with this version, with --overwrite."
            )
        if len(self.metrics) != self.epochs:
            raise UserError(
                f"{self.path / 'metrics.jsonl'} holds {len(self.metrics)} epochs, but the summary beside it speaks of "
                f"{self.epochs}: the folder was changed after the run. Restore it from a copy, or do the run again "
                f"with --overwrite."
            )

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.path.resolve().name

    @property
    def folder(self) -> RunFolder:
        """The run's folder, from which details can be read."""
        return RunFolder(self.path)

    @property
    def method(self) -> str:
        """`none`, `kd` or `kcd`."""
        return str(self.summary["method"])

    @property
    def variant(self) -> tuple[str, ...]:
        """Words for everything that differs from the plain method."""
        condensed = self.store is not None and "condensed" in self.store["made_from"]
        return (*variant_words(self.config), *(["condensed store"] if condensed else []))

    @property
    def method_in_words(self) -> str:
        """The method with its variant, for example `kcd` or `kcd, drop only`."""
        return ", ".join([self.method, *self.variant])

    @property
    def student(self) -> str:
        """The model's name."""
        return shown_in_line(str(self.summary["student"]))

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.summary["seed"])

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return int(self.summary["epochs"])

    @property
    def test_accuracy(self) -> float:
        """Test accuracy after the last epoch, 0..1: the result."""
        return float(self.summary["test_accuracy"])

    @property
    def best_test_accuracy(self) -> float:
        """Test accuracy of the best epoch, 0..1; chosen by the images that `chosen_by` names."""
        return float(self.summary["best_test_accuracy"])

    @property
    def chosen_by(self) -> Literal["test", "validation"]:
        """The images by which the best epoch was chosen."""
        return chosen_by(self.metrics)

    @property
    def best_validation_accuracy(self) -> float | None:
        """Accuracy of the best epoch on the validation images, 0..1; None without any."""
        return self.summary.get("best_validation_accuracy")

    @property
    def averaged_test_accuracy(self) -> float | None:
        """Test accuracy of the averaged weights after the last epoch, 0..1; None without `distill.ema`."""
        return self.summary.get("ema_test_accuracy")

    @property
    def own_metrics(self) -> Mapping[str, float | None]:
        """Metrics of the user's own on the test set after the last epoch, by name; None where one was not finite."""
        found: Mapping[str, float | None] = self.summary.get("metrics", {})
        return found

    @property
    def stopped_early(self) -> bool:
        """True if patience ended the training before its last epoch."""
        return bool(self.summary.get("stopped_early"))

    @property
    def rows_trained(self) -> int:
        """Knowledge rows trained on; a row counts once in each epoch."""
        return int(self.summary["rows_trained"])

    @property
    def samples_trained(self) -> int:
        """Samples trained on, with or without knowledge; a sample counts once in each epoch."""
        return int(self.summary["samples_trained"])

    @property
    def teacher_rows(self) -> int:
        """Rows of blended pictures that the teacher was asked for."""
        return int(self.summary.get("teacher_rows", 0))

    @property
    def teacher_seconds(self) -> float:
        """Time that the teacher took for them."""
        return float(self.summary.get("teacher_seconds", 0.0))

    @property
    def kept_fraction(self) -> list[float]:
        """The share of the samples that each stage kept, 0..1."""
        return [float(fraction) for fraction in self.summary["kept_fraction"]]

    @cached_property
    def cost(self) -> TrainingCost:
        """The cost of all epochs."""
        return training_cost(self.metrics)

    @property
    def seconds(self) -> float:
        """Time of training."""
        return float(self.summary["seconds"])

    @property
    def store(self) -> Mapping[str, Any] | None:
        """Facts of the store that the config names, as the run recorded them; None where there was no store.

        Of several teachers, it is the store of the first.
        """
        facts: Mapping[str, Any] | None = self.summary["store"]
        return facts

    @property
    def stores(self) -> tuple[Mapping[str, Any], ...]:
        """Facts of the stores of all teachers, the first one first; none where there was no store."""
        others: Sequence[Mapping[str, Any]] = self.summary.get("other_stores", ())
        return () if self.store is None else (self.store, *others)

    @property
    def taught(self) -> bool:
        """True if the student learnt from knowledge, not from labels alone."""
        return self.rows_trained > 0

    @property
    def test_set(self) -> str:
        """The fingerprint of the test set."""
        return str(self.summary["dataset"]["test_fingerprint"])


@dataclass(frozen=True, kw_only=True)
class UnfinishedRun:
    """A run of a student that is not finished: it is shown, but has no result to be compared.

    Attributes
    ----------
    label, path
        See `RunRecord`.
    epochs
        The number of epochs that it shall have.
    metrics
        One mapping for each epoch up to the newest checkpoint, as in metrics.jsonl.
    """

    label: str
    path: Path
    method_in_words: str
    student: str
    seed: int
    epochs: int
    metrics: Sequence[Mapping[str, Any]]

    @property
    def epochs_done(self) -> int:
        """The number of epochs up to the newest checkpoint."""
        return len(self.metrics)

    @property
    def accuracy(self) -> float | None:
        """Accuracy after the last of the epochs done, 0..1, on the images that `chosen_by` names; None before it."""
        return epoch_accuracy(self.metrics[-1]) if self.metrics else None

    @property
    def chosen_by(self) -> Literal["test", "validation"]:
        """The images by which the best epoch is chosen."""
        return chosen_by(self.metrics)


@dataclass(frozen=True, kw_only=True)
class CollectedRuns:
    """Runs in the order in which they were given or found, and the folders that are none, with the reason of each."""

    finished: tuple[RunRecord, ...]
    unfinished: tuple[UnfinishedRun, ...]
    left_out: tuple[str, ...]


def collect_runs(paths: Sequence[Path], *, live: bool = False) -> CollectedRuns:
    """Read the runs at `paths` or below them; a run that is given twice is read once.

    Parameters
    ----------
    paths
        Folders of runs, or folders that have some below them.
    live
        True while runs are being made: a path may have none yet, and none has to be finished.

    Raises
    ------
    UserError
        If a run is missing or is not that of a student, or if none is finished.
    """
    found = find_runs(paths, missing_ok=live)
    records = [read_run(path) for path in found.runs]
    names = Counter(record.path.resolve().name for record in records)
    records = [
        replace(record, label=shown_in_line(str(record.path))) if names[record.path.resolve().name] > 1 else record
        for record in records
    ]
    finished = tuple(record for record in records if isinstance(record, RunRecord))
    unfinished = tuple(record for record in records if isinstance(record, UnfinishedRun))
    if not finished and not live:
        raise UserError(_none_is_finished(unfinished))
    return CollectedRuns(finished=finished, unfinished=unfinished, left_out=found.left_out)


def _none_is_finished(runs: Sequence[UnfinishedRun]) -> str:
    first, others = runs[0], f" and {len(runs) - 1} more" if len(runs) > 1 else ""
    command = shlex.join(["kcd-pipeline", "distill", str(first.path / "config.yaml"), "--set", f"run.dir={first.path}"])
    return (
        f"{first.path}{others}: not finished, {first.epochs_done} of {first.epochs} epochs are done, and a report "
        f"compares last epochs. Finish a run with `{command}`, or name others."
    )


def read_run(path: Path) -> RunRecord | UnfinishedRun:
    """Read one run, finished or not.

    Raises
    ------
    UserError
        If it is missing or is not that of a student.
    """
    folder = require_run(path)
    config = read_checked_settings(folder)
    if "student" not in config:
        raise UserError(
            f"{path} is the training of a teacher, not the run of a student, so it cannot be compared with "
            f"students. Give the folders that `kcd-pipeline distill` made; `kcd-pipeline inspect {path}` shows it."
        )
    metrics, label = read_checked_epochs(folder), shown_in_line(path.resolve().name)
    if folder.finished:
        summary = read_checked_summary(folder)
        return RunRecord(label=label, path=path, config=config, summary=summary, metrics=metrics)
    distill = config["distill"]
    return UnfinishedRun(
        label=label,
        path=path,
        method_in_words=", ".join([distill["method"], *variant_words(config)]),
        student=shown_in_line(config["student"]["model"]),
        seed=config["seed"],
        epochs=distill["epochs"],
        metrics=metrics,
    )
