"""Runs that are one experiment under several seeds: their mean and spread, and a label that tells them from others."""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from kcd_pipeline.report.collect import RunRecord
from kcd_pipeline.report.compute.settings import differing_keys, experiment_settings
from kcd_pipeline.report.compute.stores import knowledge_key
from kcd_pipeline.report.wording import shortened

MOST_SETTINGS = 3  # settings named in a group's label; the table of settings has all of them


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Runs that differ only by seed, one for each seed, in ascending order of seeds."""

    label: str
    runs: tuple[RunRecord, ...]

    @property
    def first(self) -> RunRecord:
        """The run of the lowest seed, which stands for the group where only one can be shown."""
        return self.runs[0]

    @property
    def kind(self) -> tuple[str, str]:
        """Student, and method with its variant: groups of the same kind have the same colour."""
        return _kind(self.first)

    @property
    def mean_accuracy(self) -> float:
        """Mean test accuracy after the last epoch, 0..1."""
        return statistics.fmean(run.test_accuracy for run in self.runs)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation of the test accuracies after the last epoch; None for a single run."""
        return standard_deviation([run.test_accuracy for run in self.runs])

    @property
    def mean_best_accuracy(self) -> float:
        """Mean test accuracy of the best epochs, 0..1."""
        return statistics.fmean(run.best_test_accuracy for run in self.runs)

    @property
    def mean_samples(self) -> float:
        """Mean number of samples trained on."""
        return statistics.fmean(run.samples_trained for run in self.runs)

    @property
    def mean_steps(self) -> float | None:
        """Mean number of optimizer steps; None if a run did not count them."""
        return _mean([run.cost.steps for run in self.runs])

    @property
    def mean_bytes_read(self) -> float | None:
        """Mean number of bytes read from the store; None if a run did not count them."""
        return _mean([run.cost.bytes_read for run in self.runs])

    @property
    def mean_teacher_rows(self) -> float:
        """Mean number of rows of blended pictures that the teacher was asked for."""
        return statistics.fmean(run.teacher_rows for run in self.runs)

    @property
    def mean_seconds(self) -> float:
        """Mean time of training."""
        return statistics.fmean(run.seconds for run in self.runs)


def _kind(run: RunRecord) -> tuple[str, str]:
    return (run.student, run.method_in_words)


def _mean(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def standard_deviation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation (n - 1); None for fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def group_by_experiment(runs: Sequence[RunRecord]) -> tuple[list[Group], list[str]]:
    """Return the groups of `runs`, in order of appearance, and a warning for each seed that an experiment has twice.

    A second run of the same experiment with the same seed says nothing about the spread over seeds, so only the first
    one counts.
    """
    found: dict[str, dict[int, RunRecord]] = {}
    warnings = []
    for run in runs:
        key = json.dumps([experiment_settings(run), knowledge_key(run), run.test_set], sort_keys=True)
        by_seed = found.setdefault(key, {})
        if run.seed in by_seed:
            warnings.append(
                f"{by_seed[run.seed].label} and {run.label} are the same experiment with the same seed {run.seed}: "
                f"mean and spread count only the first of them."
            )
        by_seed.setdefault(run.seed, run)
    members = [tuple(by_seed[seed] for seed in sorted(by_seed)) for by_seed in found.values()]
    labels = _labels([group[0] for group in members])
    return [Group(label=label, runs=group) for label, group in zip(labels, members, strict=True)], warnings


def _labels(firsts: Sequence[RunRecord]) -> list[str]:
    """Return a label for the group of each of `firsts`, such as `kcd resnet8 (drop only)`; no two are equal.

    In brackets stands the variant, then whatever tells the group from others of the same method and student: the
    settings on which they differ; where none do, the store or the test set; at last a number.
    """
    labels: list[str] = []
    for run in firsts:
        details = [*run.variant, *_distinctions(run, [other for other in firsts if _kind(other) == _kind(run)])]
        label = " ".join([run.method, run.student, *([f"({', '.join(details)})"] if details else [])])
        same = sum(known == label or known.startswith(f"{label} #") for known in labels)
        labels.append(f"{label} #{same + 1}" if same else label)
    return labels


def _distinctions(run: RunRecord, rivals: Sequence[RunRecord]) -> list[str]:
    """Return words that tell `run` from the other `rivals`, the runs of its method and student."""
    found = _setting_words(run, rivals)
    alike = [other for other in rivals if _setting_words(other, rivals) == found]
    if run.store is not None and len({knowledge_key(other) for other in alike}) > 1:
        found.append(f"store {run.store['identity'][:6]}, {run.store['views']} views")
    if len({other.test_set for other in alike}) > 1:
        found.append(f"test set {run.test_set[:6]}")
    return found


def _setting_words(run: RunRecord, rivals: Sequence[RunRecord]) -> list[str]:
    """Return the first few settings on which `rivals` differ, with the values that `run` has."""
    keys = differing_keys([experiment_settings(other) for other in rivals])
    words = [f"{key.rpartition('.')[2]}={shortened(experiment_settings(run).get(key))}" for key in keys[:MOST_SETTINGS]]
    return [*words, "…"] if len(keys) > MOST_SETTINGS else words


def best_groups(groups: Sequence[Group]) -> list[Group]:
    """Return the groups with the best mean accuracy; none if all are equal, or if test sets differ."""
    best = max(group.mean_accuracy for group in groups)
    found = [group for group in groups if math.isclose(group.mean_accuracy, best, rel_tol=1e-12)]
    comparable = len({group.first.test_set for group in groups}) == 1
    return found if comparable and len(found) < len(groups) else []


def seeds_sentence(groups: Sequence[Group]) -> str:
    """Return a sentence on how far the means and spreads of `groups` can be trusted."""
    single = sum(len(group.runs) == 1 for group in groups)
    if not single:
        return "Each experiment is given as the mean over its seeds, with the sample standard deviation."
    if single == len(groups):
        return "Each experiment has one seed, so its spread is unknown and small differences may be chance."
    return (
        f"{single} of {len(groups)} experiments have only one seed, so their spread is unknown and small differences "
        f"may be chance."
    )
