"""Arms: runs that differ only by seed, their means and spread, and a name that tells each from the others."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from kcd_pipeline.reports.collect import RunRecord
from kcd_pipeline.reports.compute.frame import StudyFrame
from kcd_pipeline.reports.compute.settings import arm_settings, differing_keys
from kcd_pipeline.reports.compute.stores import knowledge_key
from kcd_pipeline.reports.wording import shortened
from kcd_pipeline.statistics import Interval, t_interval

MOST_SETTINGS = 3  # settings in an arm's name; the table of settings has all of them


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """Runs that differ only by seed, one for each seed, in ascending order of seeds."""

    name: str
    runs: tuple[RunRecord, ...]

    @property
    def first(self) -> RunRecord:
        """The run of the lowest seed, which stands for the arm where only one can be shown."""
        return self.runs[0]

    @property
    def kind(self) -> tuple[str, str]:
        """Student, and method with its variant."""
        return _kind(self.first)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in ascending order."""
        return tuple(run.seed for run in self.runs)

    @property
    def accuracies(self) -> dict[int, float]:
        """Test accuracy after the last epoch, 0..1, by seed."""
        return {run.seed: run.test_accuracy for run in self.runs}

    @property
    def mean_accuracy(self) -> float:
        """Mean test accuracy after the last epoch, 0..1."""
        return statistics.fmean(run.test_accuracy for run in self.runs)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation of the test accuracies after the last epoch; None for a single run."""
        return standard_deviation([run.test_accuracy for run in self.runs])

    @cached_property
    def interval(self) -> Interval:
        """Mean test accuracy after the last epoch and its 95% t interval, 0..1."""
        return t_interval([run.test_accuracy for run in self.runs])

    @property
    def mean_best_accuracy(self) -> float:
        """Mean test accuracy of the best epochs, 0..1."""
        return statistics.fmean(run.best_test_accuracy for run in self.runs)

    @property
    def mean_rows(self) -> float:
        """Mean number of knowledge rows trained on."""
        return statistics.fmean(run.rows_trained for run in self.runs)

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

    def mean_of_metric(self, name: str) -> float | None:
        """Return the mean of a metric of the user's own; None if a run of the arm has no such number."""
        return _mean([run.own_metrics.get(name) for run in self.runs])

    @property
    def mean_seconds(self) -> float:
        """Mean time of training."""
        return statistics.fmean(run.seconds for run in self.runs)


def _kind(run: RunRecord) -> tuple[str, str]:
    return (run.student, run.method_in_words)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def standard_deviation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation (n - 1); None for fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def arms_by_settings(runs: Sequence[RunRecord]) -> tuple[list[Arm], list[str]]:
    """Return the arms of `runs`, in order of appearance, and a warning for each seed that an arm has twice.

    A second run of the same arm with the same seed says nothing about the spread over seeds, so only the first one
    counts.
    """
    found: dict[str, dict[int, RunRecord]] = {}
    warnings = []
    for run in runs:
        key = json.dumps([arm_settings(run), knowledge_key(run), run.test_set], sort_keys=True)
        by_seed = found.setdefault(key, {})
        if run.seed in by_seed:
            warnings.append(
                f"{by_seed[run.seed].label} and {run.label} have the same settings and the same seed {run.seed}: "
                f"mean and spread count only the first of them."
            )
        by_seed.setdefault(run.seed, run)
    members = [_ascending(by_seed) for by_seed in found.values()]
    names = _names([arm[0] for arm in members])
    return [Arm(name=name, runs=arm) for name, arm in zip(names, members, strict=True)], warnings


def arms_of_study(runs: Sequence[RunRecord], frame: StudyFrame) -> tuple[list[Arm], list[str]]:
    """Return those arms of a study that have a finished run, by its names, and a warning for what is not finished."""
    by_folder = {run.path.resolve(): run for run in runs}
    arms, warnings = [], []
    for framed in frame.arms:
        members = [by_folder[folder.resolve()] for folder in framed.folders if folder.resolve() in by_folder]
        if members:
            arms.append(Arm(name=framed.name, runs=_ascending({run.seed: run for run in members})))
        if len(members) < framed.planned:
            warnings.append(
                f"{framed.name}: {len(members) or 'none'} of its {framed.planned} runs "
                f"{'is' if len(members) < 2 else 'are'} finished, and what is said here rests on these."
                if members
                else f"{framed.name} has no finished run of {framed.planned}, so nothing is said about it."
            )
    return arms, warnings


def _ascending(by_seed: dict[int, RunRecord]) -> tuple[RunRecord, ...]:
    return tuple(by_seed[seed] for seed in sorted(by_seed))


def _names(firsts: Sequence[RunRecord]) -> list[str]:
    """Return a name for the arm of each of `firsts`, such as `kcd resnet8 (drop only)`; no two are equal.

    In brackets stands the variant, then whatever tells the arm from others of the same method and student: the
    settings on which they differ; where none do, the store or the test set; at last a number.
    """
    words: dict[RunRecord, list[str]] = {}
    for kind in dict.fromkeys(map(_kind, firsts)):
        words |= _distinctions([run for run in firsts if _kind(run) == kind])
    names: list[str] = []
    for run in firsts:
        details = [*run.variant, *words[run]]
        name = " ".join([run.method, run.student, *([f"({', '.join(details)})"] if details else [])])
        same = sum(known == name or known.startswith(f"{name} #") for known in names)
        names.append(f"{name} #{same + 1}" if same else name)
    return names


def _distinctions(rivals: Sequence[RunRecord]) -> dict[RunRecord, list[str]]:
    """Return, for each of `rivals`, which are of one method and student, words that tell it from the others."""
    settings = _setting_words(rivals)
    found = {}
    for run in rivals:
        alike = [other for other in rivals if settings[other] == settings[run]]
        found[run] = list(settings[run])
        if run.store is not None and len({knowledge_key(other) for other in alike}) > 1:
            identities = " and ".join(store["identity"][:6] for store in run.stores)
            found[run].append(
                f"{'stores' if len(run.stores) > 1 else 'store'} {identities}, {run.store['views']} views"
            )
        if len({other.test_set for other in alike}) > 1:
            found[run].append(f"test set {run.test_set[:6]}")
    return found


def _setting_words(rivals: Sequence[RunRecord]) -> dict[RunRecord, list[str]]:
    """Return, for each of `rivals`, the first few settings on which they differ, with its values."""
    settings = {run: arm_settings(run) for run in rivals}
    keys = differing_keys(list(settings.values()))
    more = ["…"] if len(keys) > MOST_SETTINGS else []
    return {
        run: [*(f"{key.rpartition('.')[2]}={shortened(own.get(key))}" for key in keys[:MOST_SETTINGS]), *more]
        for run, own in settings.items()
    }
