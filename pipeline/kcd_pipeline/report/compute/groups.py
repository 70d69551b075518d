"""Which runs are one experiment under several seeds, their mean and spread, and the settings that tell others apart."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kcd_pipeline.report.collect.runs import RunRecord
from kcd_pipeline.report.compute.stores import store_key
from kcd_pipeline.report.wording import short
from kcd_pipeline.runs import MOVABLE_KEYS
from kcd_stores.knowledge import flatten

# Where keys begin that a method makes nothing of
IGNORED = {
    "none": ("condense.", "distill.loss.", "distill.temperature", "distill.ce_weight", "distill.kd_weight"),
    "kd": ("condense.",),
}
MOST_SETTINGS = 3  # named in a group's label; the rest is in the table of settings


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Runs that differ only by seed, one run a seed, in ascending order of seeds."""

    label: str
    runs: tuple[RunRecord, ...]

    @property
    def first(self) -> RunRecord:
        """The run shown where one must stand for all: that of the lowest seed."""
        return self.runs[0]

    @property
    def kind(self) -> tuple[str, str]:
        """(student, method with its variant): groups that share it share a colour."""
        return (self.first.student, self.first.method_in_words)

    @property
    def mean(self) -> float:
        """Of the last test accuracies, 0..1."""
        return statistics.fmean(run.test_accuracy for run in self.runs)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation of the last test accuracies; None for a single run."""
        return spread([run.test_accuracy for run in self.runs])

    @property
    def mean_best(self) -> float:
        """Of the best test accuracies, 0..1."""
        return statistics.fmean(run.best_test_accuracy for run in self.runs)

    @property
    def mean_samples(self) -> float:
        """Of the samples trained on."""
        return statistics.fmean(run.samples_trained for run in self.runs)

    @property
    def mean_steps(self) -> float | None:
        """Of the steps of the optimizer; None where a run did not count them."""
        return _mean([run.cost.steps for run in self.runs])

    @property
    def mean_bytes_read(self) -> float | None:
        """Of the bytes of the store read; None where a run did not count them."""
        return _mean([run.cost.bytes_read for run in self.runs])

    @property
    def mean_seconds(self) -> float:
        """Of training."""
        return statistics.fmean(run.seconds for run in self.runs)


def _mean(values: Sequence[int | None]) -> float | None:
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if len(there) == len(values) else None


def spread(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n - 1); None below two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def experiment(run: RunRecord) -> dict[str, Any]:
    """The settings of a run, flat, without its seed, without where things lie and without what its method ignores."""
    ignored = IGNORED.get(run.method, ())
    return {
        key: value
        for key, value in flatten(run.config).items()
        if key != "seed" and key not in MOVABLE_KEYS and not key.startswith(ignored)
    }


def seed_groups(runs: Sequence[RunRecord]) -> tuple[list[Group], list[str]]:
    """The groups of `runs`, in order of appearance, and a warning for each seed that came twice.

    The same experiment under the same seed twice says nothing of the spread over seeds: the first of them counts.
    """
    found: dict[str, dict[int, RunRecord]] = {}
    warnings = []
    for run in runs:
        key = json.dumps([experiment(run), store_key(run), run.test_set], sort_keys=True)
        by_seed = found.setdefault(key, {})
        if run.seed in by_seed:
            warnings.append(
                f"{by_seed[run.seed].label} and {run.label} are the same experiment with the same seed {run.seed}: "
                f"mean and spread count the first of them only."
            )
        by_seed.setdefault(run.seed, run)
    members = [tuple(by_seed[seed] for seed in sorted(by_seed)) for by_seed in found.values()]
    labels = _labels([group[0] for group in members])
    return [Group(label=label, runs=group) for label, group in zip(labels, members, strict=True)], warnings


def _labels(firsts: Sequence[RunRecord]) -> list[str]:
    """`kcd resnet8 (drop only)`: its variant, then what tells it apart from other groups of the same name.

    Settings do where they differ; else the store or the test set does.
    """
    labels: list[str] = []
    for run in firsts:
        rivals = [other for other in firsts if _called(other) == _called(run)]
        told = [*run.variant, *_settings_told(run, rivals)]
        alike = [other for other in rivals if _settings_told(other, rivals) == _settings_told(run, rivals)]
        if run.store is not None and len({store_key(other) for other in alike}) > 1:
            told.append(f"store {run.store['identity'][:6]}, {run.store['views']} views")
        if len({other.test_set for other in alike}) > 1:
            told.append(f"test set {run.test_set[:6]}")
        label = " ".join([run.method, run.student, *([f"({', '.join(told)})"] if told else [])])
        same = sum(known == label or known.startswith(f"{label} #") for known in labels)
        labels.append(f"{label} #{same + 1}" if same else label)
    return labels


def _called(run: RunRecord) -> tuple[str, str]:
    return (run.method_in_words, run.student)


def _settings_told(run: RunRecord, rivals: Sequence[RunRecord]) -> list[str]:
    """The first few settings on which `rivals` differ, as `run` has them."""
    keys = varying([experiment(other) for other in rivals])
    told = [f"{key.rpartition('.')[2]}={short(experiment(run).get(key))}" for key in keys[:MOST_SETTINGS]]
    return [*told, "…"] if len(keys) > MOST_SETTINGS else told


def varying(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys that not all of `settings` give the same value, in order of appearance."""
    keys = dict.fromkeys(key for mapping in settings for key in mapping)
    return [key for key in keys if len({json.dumps(mapping.get(key)) for mapping in settings}) > 1]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A key of the config on which runs differ: each value with the labels of the runs that have it."""

    key: str
    values: tuple[tuple[Any, tuple[str, ...]], ...]


def differing_settings(runs: Sequence[RunRecord]) -> list[Setting]:
    """The settings on which `runs` differ, the run's own folder left out."""
    flat = [{key: value for key, value in flatten(run.config).items() if key != "run.dir"} for run in runs]
    found = []
    for key in varying(flat):
        by_value: dict[str, tuple[Any, list[str]]] = {}
        for run, settings in zip(runs, flat, strict=True):
            value = settings.get(key)
            by_value.setdefault(json.dumps(value), (value, []))[1].append(run.label)
        found.append(Setting(key=key, values=tuple((value, tuple(labels)) for value, labels in by_value.values())))
    return found


def best_groups(groups: Sequence[Group]) -> list[Group]:
    """The groups of the best mean; none where all are equal, or test sets differ."""
    best = max(group.mean for group in groups)
    found = [group for group in groups if math.isclose(group.mean, best, rel_tol=1e-12)]
    comparable = len({group.first.test_set for group in groups}) == 1
    return found if comparable and len(found) < len(groups) else []


def seeds_told(groups: Sequence[Group]) -> str:
    """How far means and spreads can be trusted, in a sentence."""
    single = sum(len(group.runs) == 1 for group in groups)
    if not single:
        return "Each experiment is given as the mean over its seeds, with the sample standard deviation."
    if single == len(groups):
        return "One seed each: nothing can be said of the spread, so small differences may be chance."
    return (
        f"{single} of {len(groups)} experiments have one seed only, so no spread can be given for them; small "
        f"differences may be chance."
    )
