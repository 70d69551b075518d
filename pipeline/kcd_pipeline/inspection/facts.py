"""What lies at a path: a knowledge store or a run, finished or not, for people and for machines."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import zarr

from kcd_pipeline.config.variants import variant_words
from kcd_pipeline.errors import UserError
from kcd_pipeline.inspection.printing import print_run, print_store
from kcd_pipeline.report.collect.costs import cost, stages_told
from kcd_pipeline.runs import RunFolder, read_epochs, read_settings
from kcd_stores import FolderStorage, KnowledgeStore, PlanStore, ValueStore, is_condensed, open_storage

READINGS = 3  # of which the fastest counts
READ_BYTES = 64 * 1024 * 1024


def inspect(where: str | Path, *, as_json: bool) -> None:
    """Say on standard output what lies at `where`: a path, or the URL of a remote store.

    Raises
    ------
    UserError
        If it is neither a knowledge store nor the folder of a run.
    StoreError
        If it is a store that cannot be read.
    """
    storage = open_storage(where)
    if isinstance(storage, FolderStorage) and RunFolder(storage.path).exists:
        facts, show = describe_run(RunFolder(storage.path)), print_run
    elif not isinstance(storage, FolderStorage) or _kind(storage.path) == "knowledge":
        facts, show = describe_store(KnowledgeStore.open(storage)), print_store
    else:
        raise UserError(_neither(storage.path))
    if as_json:
        click.echo(json.dumps(facts, indent=2, allow_nan=False))
    else:
        show(facts)


def _kind(path: Path) -> str | None:
    """What the zarr group at `path` says that it is; None where there is none."""
    if not (path / "zarr.json").is_file():
        return None
    try:
        kind = zarr.open_group(path, mode="r").attrs.get("kind")
    except (FileNotFoundError, ValueError):  # an array, or a zarr.json that is not zarr's
        return None
    return None if kind is None else str(kind)


def _neither(path: Path) -> str:
    if not path.exists():
        return f"there is nothing at {path} (in {Path.cwd()}). Give the folder of a knowledge store or of a run."
    if RunFolder(path.parent).exists:
        return f"{path} is a part of the run at {path.parent}. Inspect that: `kcd-pipeline inspect {path.parent}`."
    return (
        f"{path} is neither a knowledge store (a folder with a zarr.json of kind 'knowledge') nor a run (a folder with "
        f"a config.yaml). Give the folder that `kcd-pipeline extract-teacher` or `kcd-pipeline distill` made."
    )


def describe_store(store: KnowledgeStore) -> dict[str, Any]:
    """A store, finished or not, as plain data; sizes in bytes, times in seconds."""
    layout, complete = store.layout, store.complete()
    block_rows = np.array([len(layout.rows(block)) for block in range(layout.blocks)])
    rows = int((complete * block_rows).sum())
    size = store.inventory.bytes_on_disk()
    return {
        "kind": "knowledge store",
        "path": str(store.location),
        "identity": store.identity,
        "complete": bool(complete.all()),
        "shape": [layout.views, layout.samples, layout.classes],
        "views": layout.views,
        "samples": layout.samples,
        "condensed_from": store.made_from["dataset"]["size"] if is_condensed(store) else None,
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
        "bytes": size,
        "bytes_per_row": size / rows if rows else None,
        "files": store.inventory.files(),
        "seconds": store.seconds(),
        "fidelity": store.fidelity,
        "reading": _reading_speed(store),
        "made_from": store.made_from,
    }


def _reading_speed(store: KnowledgeStore) -> dict[str, Any] | None:
    """How fast rows are read and decoded here and now, from complete blocks that follow each other, if there are any.

    Up to READ_BYTES of decoded rows; of a remote store one block.
    """
    layout, complete = store.layout, store.complete()
    if not complete.any():
        return None
    view, block = (int(part) for part in np.argwhere(complete)[0])
    stop = block + 1
    while isinstance(store.storage, FolderStorage) and stop < layout.blocks and complete[view, stop]:
        if (layout.rows(stop).stop - layout.rows(block).start) * store.row_bytes > READ_BYTES:
            break
        stop += 1
    first, last = layout.rows(block).start, layout.rows(stop - 1).stop
    rows = store.read_rows(view, first, last)
    times = [_seconds(lambda: store.read_rows(view, first, last)) for _ in range(READINGS)]
    copies = [_seconds(rows.copy) for _ in range(READINGS)]
    return {
        "rows": len(rows),
        "rows_per_second": len(rows) / min(times),
        "bytes_per_second": rows.nbytes / min(times),
        "over_copy": min(copies) / min(times),
    }


def _seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def describe_run(folder: RunFolder) -> dict[str, Any]:
    """A run, finished or not, of a student or of a teacher, as plain data; accuracies 0..1, times in seconds."""
    config, metrics = read_settings(folder), read_epochs(folder)
    of_student = "student" in config
    part = config["distill" if of_student else "teacher"]
    accuracies = [line["test_accuracy"] for line in metrics]
    files = sorted(file for file in folder.path.rglob("*") if file.is_file())
    facts = {
        "kind": "run" if of_student else "training of a teacher",
        "path": str(folder.path),
        "finished": folder.finished,
        "epochs_done": len(metrics),
        "epochs": part["epochs"],
        "method": part.get("method"),
        "model": config["student"]["model"] if of_student else part["model"],
        "seed": config["seed"],
        "dataset": config["data"]["name"],
        "test_accuracy": accuracies[-1] if accuracies else None,
        "best_test_accuracy": max(accuracies, default=None),
        "rows_trained": sum(line["rows"] for line in metrics),
        "samples_trained": sum(line["samples"] for line in metrics),
        "steps": cost(metrics).steps,
        "bytes_read": cost(metrics).bytes_read,
        "seconds": cost(metrics).seconds,
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "holds": sorted(entry.name for entry in folder.path.iterdir()),
        "config": config,
    }
    return facts | (_student_facts(folder, config, metrics) if of_student else {})


def _student_facts(folder: RunFolder, config: Mapping[str, Any], metrics: list[dict[str, Any]]) -> dict[str, Any]:
    remembered = folder.read_summary().get("store") if folder.finished else None
    return {
        "store": config["store"]["path"],
        "store_identity": remembered["identity"] if remembered else None,
        "variant": variant_words(config),
        "plans_from": config.get("condense", {}).get("plans_from"),
        "plans": stages_told(PlanStore(folder.plans).read_all(), metrics),
        "values": _value_facts(folder, len(metrics)),
    }


def _value_facts(folder: RunFolder, epochs: int) -> dict[str, Any] | None:
    """Of the values after the newest epoch, in nats; None before the first epoch is done."""
    if epochs == 0 or not folder.values.is_dir():
        return None
    value, frequency = ValueStore.open(folder.values).read(epochs - 1)
    visited = value[~np.isnan(value)]
    some = len(visited) > 0
    return {
        "after_epoch": epochs,
        "samples": len(value),
        "never_visited": len(value) - len(visited),
        "mean": float(visited.mean()) if some else None,
        "median": float(np.median(visited)) if some else None,
        "largest": float(visited.max()) if some else None,
        "visits": {"least": int(frequency.min()), "most": int(frequency.max())},
    }
