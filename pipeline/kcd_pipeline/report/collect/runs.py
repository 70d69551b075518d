"""From run folders to records: what a report reads of each run, checked."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kcd_pipeline.config.variants import variant_words
from kcd_pipeline.errors import UserError
from kcd_pipeline.report.collect.costs import Cost, cost, stages_told
from kcd_pipeline.runs import RunFolder, read_epochs, read_settings, require_run
from kcd_stores import PlanStore

# keys of summary.json that a report cannot do without
NEEDED = (
    "method", "student", "seed", "epochs", "test_accuracy", "best_test_accuracy", "rows_trained", "samples_trained",
    "kept_fraction", "seconds", "dataset", "store",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class RunRecord:
    """One finished run of a student.

    Attributes
    ----------
    label
        What it is called among the runs of this report: its folder's name, or its path where two share a name.
    config, summary, metrics
        What its config.yaml, summary.json and metrics.jsonl hold.
    """

    label: str
    path: Path
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    metrics: list[dict[str, Any]]

    def __post_init__(self) -> None:
        missing = [key for key in NEEDED if key not in self.summary]
        if missing:
            raise UserError(
                f"{self.path / 'summary.json'} is not the summary of a student's run that can be read here: it has "
                f"no {', '.join(missing)}. Run the student again with this version, with --overwrite."
            )
        if len(self.metrics) != self.epochs:
            raise UserError(
                f"{self.path / 'metrics.jsonl'} holds {len(self.metrics)} epochs, but the summary beside it speaks of "
                f"{self.epochs}: the folder was changed after the run. Restore it from a copy, or run it again with "
                f"--overwrite."
            )

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.path)

    @property
    def method(self) -> str:
        return str(self.summary["method"])

    @property
    def variant(self) -> tuple[str, ...]:
        """What sets it apart from its plain method, in words."""
        condensed = self.store is not None and "condensed" in self.store["made_from"]
        return (*variant_words(self.config), *(["condensed store"] if condensed else []))

    @property
    def method_in_words(self) -> str:
        """Such as `kcd` or `kcd, drop only`."""
        return ", ".join([self.method, *self.variant])

    @property
    def student(self) -> str:
        return str(self.summary["student"])

    @property
    def seed(self) -> int:
        return int(self.summary["seed"])

    @property
    def epochs(self) -> int:
        return int(self.summary["epochs"])

    @property
    def test_accuracy(self) -> float:
        """After the last epoch, 0..1: the result."""
        return float(self.summary["test_accuracy"])

    @property
    def best_test_accuracy(self) -> float:
        """Of any epoch, 0..1: chosen on the test set, so not the result."""
        return float(self.summary["best_test_accuracy"])

    @property
    def rows_trained(self) -> int:
        """Knowledge rows that it was trained on."""
        return int(self.summary["rows_trained"])

    @property
    def samples_trained(self) -> int:
        """Samples that it was trained on, with or without knowledge."""
        return int(self.summary["samples_trained"])

    @property
    def kept_fraction(self) -> list[float]:
        """Per stage, 0..1."""
        return [float(fraction) for fraction in self.summary["kept_fraction"]]

    @cached_property
    def cost(self) -> Cost:
        """Of all its epochs."""
        return cost(self.metrics)

    @cached_property
    def stages(self) -> list[dict[str, Any]]:
        """What each stage was taught and what it cost, as plain data, read from the run's plans."""
        return stages_told(PlanStore(self.folder.plans).read_all(), self.metrics)

    @property
    def seconds(self) -> float:
        """Of training."""
        return float(self.summary["seconds"])

    @property
    def store(self) -> Mapping[str, Any] | None:
        """What the run remembers of the store of its recipe; None where there was none."""
        facts: Mapping[str, Any] | None = self.summary["store"]
        return facts

    @property
    def taught(self) -> bool:
        """It learnt from knowledge, not from labels alone."""
        return self.rows_trained > 0

    @property
    def test_set(self) -> str:
        """Fingerprint of the test set."""
        return str(self.summary["dataset"]["test_fingerprint"])


def collect(paths: list[Path]) -> list[RunRecord]:
    """The runs at `paths`, in that order, each once.

    Raises
    ------
    UserError
        If one is missing, is not a student's run, or is not finished.
    """
    once = {path.resolve(): path for path in reversed(paths)}
    records = [read_run(path) for path in reversed(once.values())]
    shared = Counter(record.name for record in records)
    return [replace(record, label=str(record.path)) if shared[record.name] > 1 else record for record in records]


def read_run(path: Path) -> RunRecord:
    """One finished run; raises as `collect` does."""
    folder = require_run(path)
    config = read_settings(folder)
    if "student" not in config:
        raise UserError(
            f"{path} is the training of a teacher, not the run of a student, so it cannot be compared with "
            f"students. Give the folders that `kcd-pipeline distill` made; `kcd-pipeline inspect {path}` shows it."
        )
    metrics = read_epochs(folder)
    if not folder.finished:
        raise UserError(
            f"{path} is a run that is not finished: {len(metrics)} of {config['distill']['epochs']} epochs are done, "
            f"and a report compares last epochs. Finish it with `kcd-pipeline distill {folder.config} --resume "
            f"--set run.dir={path}`, or leave it out."
        )
    try:
        summary = folder.read_summary()
    except (OSError, ValueError) as error:
        raise UserError(f"{folder.summary} cannot be read as JSON ({error}). Restore it from a copy.") from error
    return RunRecord(label=path.resolve().name, path=path, config=config, summary=summary, metrics=metrics)
