"""Runs laid side by side: everything that table, page and JSON say, worked out once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kcd_pipeline.report.collect.runs import RunRecord
from kcd_pipeline.report.compute.groups import Group, Setting, best_groups, differing_settings, seed_groups
from kcd_pipeline.report.compute.stores import StoreUse, find_stores, store_warnings, test_set_warnings


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """The runs of a report with their groups, stores, differing settings and warnings; `best` are of `groups`."""

    runs: tuple[RunRecord, ...]
    groups: tuple[Group, ...]
    best: tuple[Group, ...]
    stores: tuple[StoreUse, ...]
    settings: tuple[Setting, ...]
    warnings: tuple[str, ...]

    def store_letter(self, run: RunRecord) -> str | None:
        """The letter of the store that taught `run`; None where it learnt from labels alone."""
        return next((store.letter for store in self.stores if run in store.students), None)

    def as_json(self) -> dict[str, Any]:
        """Plain data; accuracies and fractions 0..1, times in seconds."""
        group_of = {run.label: group.label for group in self.groups for run in group.runs}
        return {
            "runs": [_run(run) | {"group": group_of.get(run.label)} for run in self.runs],
            "groups": [_group(group) | {"best": group in self.best} for group in self.groups],
            "stores": [_store(store) for store in self.stores],
            "settings": {
                setting.key: [{"value": value, "runs": list(labels)} for value, labels in setting.values]
                for setting in self.settings
            },
            "warnings": list(self.warnings),
        }


def compare(runs: Sequence[RunRecord]) -> Comparison:
    """Lay `runs` side by side."""
    groups, seed_warnings = seed_groups(runs)
    stores = find_stores(runs)
    return Comparison(
        runs=tuple(runs),
        groups=tuple(groups),
        best=tuple(best_groups(groups)),
        stores=tuple(stores),
        settings=tuple(differing_settings(runs)),
        warnings=(*test_set_warnings(runs), *store_warnings(stores), *seed_warnings),
    )


def _run(run: RunRecord) -> dict[str, Any]:
    store = run.store or {}
    return {
        "name": run.name,
        "label": run.label,
        "path": str(run.path),
        "method": run.method,
        "variant": list(run.variant),
        "student": run.student,
        "parameters": run.summary.get("parameters"),
        "seed": run.seed,
        "epochs": run.epochs,
        "test_accuracy": run.test_accuracy,
        "best_test_accuracy": run.best_test_accuracy,
        "rows_trained": run.rows_trained,
        "samples_trained": run.samples_trained,
        "kept_fraction": run.kept_fraction,
        "seconds": run.seconds,
        "steps": run.cost.steps,
        "bytes_read": run.cost.bytes_read,
        "stages": run.stages,
        "dataset": run.summary["dataset"]["name"],
        "test_fingerprint": run.test_set,
        "store": store.get("path"),
        "store_identity": store.get("identity"),
        "store_views": store.get("views"),
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "label": group.label,
        "method": group.first.method,
        "variant": list(group.first.variant),
        "student": group.first.student,
        "runs": [run.label for run in group.runs],
        "seeds": [run.seed for run in group.runs],
        "n": len(group.runs),
        "mean_test_accuracy": group.mean,
        "standard_deviation": group.deviation,
        "mean_best_test_accuracy": group.mean_best,
        "mean_samples_trained": group.mean_samples,
        "mean_steps": group.mean_steps,
        "mean_bytes_read": group.mean_bytes_read,
        "mean_seconds": group.mean_seconds,
    }


def _store(store: StoreUse) -> dict[str, Any]:
    cost = store.economics
    live = cost.live_seconds
    return {
        "label": store.letter,
        "path": store.facts["path"],
        "identity": store.facts["identity"],
        "encoding": store.facts["encoding"],
        "views": store.facts["views"],
        "rows": store.facts["rows"],
        "bytes": store.facts["bytes"],
        "seconds": cost.seconds,
        "seconds_per_row": cost.seconds_per_row,
        "runs": [run.label for run in store.runs],
        "students": cost.students,
        "seconds_per_student": cost.share,
        "live_seconds_per_student": sum(live) / len(live) if live else None,
        "pays_off_at": cost.pays_off_at,
        "paid_off": cost.paid_off,
        "saved_seconds": cost.saved_seconds if live else None,
    }
