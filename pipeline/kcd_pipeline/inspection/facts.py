"""The facts of a store or a run as plain data: sizes in bytes, times in seconds, accuracies and fractions 0..1."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kcd_pipeline.config import variant_words
from kcd_pipeline.errors import UserError
from kcd_pipeline.inspection.reading_speed import measure_reading
from kcd_pipeline.reports.collect import (
    chosen_by,
    epoch_accuracy,
    read_checked_epochs,
    read_checked_settings,
    read_checked_summary,
    read_stage_facts,
    training_cost,
)
from kcd_pipeline.runs import AVERAGED, RunFolder, open_values, read_predictions
from kcd_pipeline.store_opening import open_store
from kcd_stores import FolderStorage, KnowledgeStore, open_storage
from kcd_stores.knowledge import condensed_from, is_knowledge_store


def read_facts(where: str | Path) -> dict[str, Any]:
    """Return the facts of the store or run at `where`, a path or the URL of a remote store; `kind` says which it is.

    Raises
    ------
    UserError
        If it is neither a knowledge store nor the folder of a run.
    StoreError
        If it is a store that cannot be read.
    """
    storage = open_storage(where)
    if not isinstance(storage, FolderStorage):
        return store_facts(open_store(storage))
    if RunFolder(storage.path).exists:
        return run_facts(RunFolder(storage.path))
    if storage.path.is_dir() and is_knowledge_store(storage):
        return store_facts(open_store(storage))
    raise UserError(_why_neither(storage.path))


def _why_neither(path: Path) -> str:
    """Return the message for a path that is neither a store nor a run."""
    if not path.exists():
        return f"there is nothing at {path} (in {Path.cwd()}). Give the folder of a knowledge store or of a run."
    if RunFolder(path.parent).exists:
        return f"{path} is a part of the run at {path.parent}. Inspect that: `kcd-pipeline inspect {path.parent}`."
    return (
        f"{path} is neither a knowledge store (a folder with a zarr.json of kind 'knowledge') nor a run (a folder with "
        f"a config.yaml). Give the folder that `kcd-pipeline extract-teacher` or `kcd-pipeline distill` made."
    )


def store_facts(store: KnowledgeStore) -> dict[str, Any]:
    """Return the facts of a store, finished or not."""
    layout, found = store.layout, store.survey()
    complete = found.complete
    rows = int((complete * layout.block_sizes()).sum())
    size = store.inventory.bytes_on_disk()
    return {
        "kind": "knowledge store",
        "path": str(store.location),
        "identity": store.identity,
        "complete": bool(complete.all()),
        "shape": [layout.views, layout.samples, layout.classes],
        "views": layout.views,
        "samples": layout.samples,
        "condensed_from": condensed_from(store),
        "classes": layout.classes,
        "encoding": store.encoding_label,
        "rows": layout.views * layout.samples,
        "rows_complete": rows,
        "blocks": {
            "complete": int(complete.sum()),
            "total": int(complete.size),
            "rows_each": layout.block_rows,
            "complete_by_view": [int(view.sum()) for view in complete],
            "total_by_view": layout.blocks,
        },
        "unreadable_records": found.problems,
        "bytes": size,
        "bytes_per_row": size / rows if rows else None,
        "held_bytes_per_row": store.packing.row_bytes,
        "files": store.inventory.files(),
        "seconds": float(found.seconds[complete].sum()),
        "fidelity": store.fidelity,
        "trial": store.trial,
        "reading": measure_reading(store),
        "made_from": store.made_from,
    }


def run_facts(folder: RunFolder) -> dict[str, Any]:
    """Return the facts of a student's run or of a teacher's training, finished or not.

    Raises
    ------
    UserError
        If its config or its metrics are damaged.
    DamagedError
        If its predictions are not what it wrote.
    """
    config, metrics = read_checked_settings(folder), read_checked_epochs(folder)
    of_student = "student" in config
    section = config["distill" if of_student else "teacher"]
    accuracies, images = [epoch_accuracy(line) for line in metrics], chosen_by(metrics)
    cost = training_cost(metrics)
    files = sorted(file for file in folder.path.rglob("*") if file.is_file())
    facts = {
        "kind": "run" if of_student else "training of a teacher",
        "path": str(folder.path),
        "finished": folder.finished,
        "epochs_done": len(metrics),
        "epochs": section["epochs"],
        "method": section.get("method"),
        "model": config["student"]["model"] if of_student else section["model"],
        "seed": config["seed"],
        "dataset": config["data"]["name"],
        "chosen_by": images,
        f"{images}_accuracy": accuracies[-1] if accuracies else None,
        f"best_{images}_accuracy": max(accuracies, default=None),
        **(_looked_at_once(folder) if images == "validation" else {}),
        **({"ema": section["ema"], **_of_average(folder, metrics)} if section.get("ema") else {}),
        "rows_trained": sum(line["rows"] for line in metrics),
        "samples_trained": cost.samples,
        "steps": cost.steps,
        "bytes_read": cost.bytes_read,
        "teacher_rows": cost.teacher_rows,
        "teacher_seconds": cost.teacher_seconds,
        "seconds": cost.seconds,
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "holds": sorted(entry.name for entry in folder.path.iterdir()),
        "config": config,
    }
    return facts | (_student_facts(folder, config, metrics) if of_student else {})


def _looked_at_once(folder: RunFolder) -> dict[str, float | None]:
    """Return the test accuracies of a training with validation images, which are known once it is finished."""
    summary = folder.read_summary() if folder.finished else {}
    return {key: summary.get(key) for key in ("test_accuracy", "best_test_accuracy")}


def _of_average(folder: RunFolder, metrics: list[dict[str, Any]]) -> dict[str, float]:
    """Return the accuracies of the averaged weights after the newest epoch, and on the test set once it is known."""
    known = {**(metrics[-1] if metrics else {}), **(folder.read_summary() if folder.finished else {})}
    return {key: known[key] for key in (f"{AVERAGED}validation_accuracy", f"{AVERAGED}test_accuracy") if key in known}


def _student_facts(folder: RunFolder, config: Mapping[str, Any], metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the facts that only a student's run has: its store, plans and values."""
    summary = read_checked_summary(folder) if folder.finished else None
    recorded_store = None if summary is None else summary["store"]
    return {
        "top5_accuracy": None if summary is None else _top5(folder, summary.get("predictions_sha256")),
        "teachers": _teacher_facts(config),
        "store": config["store"]["path"],
        "store_identity": recorded_store["identity"] if recorded_store else None,
        "variant": variant_words(config),
        "plans_from": config.get("condense", {}).get("plans_from"),
        "plans": read_stage_facts(folder, metrics),
        "values": _value_facts(folder, len(metrics)),
    }


def _teacher_facts(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return model, weight and store of each teacher of a run."""
    first = {**config["teacher"], "store": config["store"]["path"]}
    return [
        {"model": teacher["model"], "weight": teacher.get("weight", 1.0), "store": teacher["store"]}
        for teacher in (first, *config.get("other_teachers", ()))
    ]


def _top5(folder: RunFolder, sha256: str | None) -> float | None:
    """Return the share of test images whose class is among the five likeliest; None if no predictions were kept."""
    predictions = read_predictions(folder.predictions, sha256=sha256)
    if predictions is None:
        return None
    return float((predictions.likeliest == predictions.labels[:, np.newaxis]).any(axis=1).mean())


def _value_facts(folder: RunFolder, epochs: int) -> dict[str, Any] | None:
    """Return a summary of the values after the newest epoch; None before the first epoch is done."""
    if epochs == 0 or not folder.values.is_dir():
        return None
    values = open_values(folder)
    value, frequency = values.read(epochs - 1)
    visited = value[~np.isnan(value)]
    some = len(visited) > 0
    return {
        "measure": values.measure,
        "after_epoch": epochs,
        "samples": len(value),
        "never_visited": len(value) - len(visited),
        "mean": float(visited.mean()) if some else None,
        "median": float(np.median(visited)) if some else None,
        "largest": float(visited.max()) if some else None,
        "visits": {"least": int(frequency.min()), "most": int(frequency.max())},
    }
