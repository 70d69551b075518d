"""Extraction by 1, 2 and 4 worker processes over extraction by one process, as ratios of one run; a line of JSON each.

    python tests/benchmarks/extraction_workers.py [--views 16] [--turns 3] [--model resnet32x4] [--workers 1 2 4]
    python tests/benchmarks/extraction_workers.py --photographs FOLDER --views 4 --turns 2 --workers 1 2

scikit-learn's digits through a CIFAR teacher, or the pictures of FOLDER, which holds train/ and test/ folders of ten
classes, scaled to 224 x 224, through EfficientNet-Lite0 (timm). Weights are random: what is computed is the same. Two
ratios: of the rows a second once every worker has made a block, which is what a long extraction gets, and of the whole
command, the start of the workers included; `start_seconds` of it pass before the first block is recorded. What the
command itself imports is loaded already, for all alike. Alternatives take turns, and the fastest of their turns counts.
`load` is what the machine was doing, this benchmark included.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from kcd_pipeline.config import Config, load_config
from kcd_pipeline.extraction import Cluster, extract_teacher
from kcd_pipeline.models import build_model, save_weights
from kcd_stores.knowledge.ledger_writer import Entry, LockedLedgerWriter


def extraction(config: Config, workers: int) -> dict[str, float]:
    """Time one extraction by wall clock: seconds, seconds before its first block, rows a second after its first round.

    Workers that started together end their first blocks together: counted from the first of them, the others were free.
    """
    times: list[tuple[float, int, int]] = []
    original = LockedLedgerWriter.record

    def record(self: LockedLedgerWriter, view: int, block: int, entry: Entry) -> None:
        original(self, view, block, entry)
        times.append((time.perf_counter(), view, block))

    started = time.perf_counter()
    with patch.object(LockedLedgerWriter, "record", record):
        done = extract_teacher(config, overwrite=True, cluster=Cluster(workers=workers) if workers else None)
    whole = time.perf_counter() - started
    layout = done.store.layout
    rows, round_of = [len(layout.rows(block)) for _, _, block in times], max(workers, 1)
    return {
        "rows_per_second": sum(rows[round_of:]) / (times[-1][0] - times[round_of - 1][0]),
        "start_seconds": times[0][0] - started,
        "seconds": whole,
    }


def digits(folder: Path, model: str, views: int) -> Config:
    """Return the recipe of an extraction of digits."""
    torch.manual_seed(0)
    save_weights(folder / "teacher.safetensors", build_model(model, channels=1, classes=10), {})
    chosen: dict[str, Any] = {
        "teacher.model": model,
        "teacher.weights": folder / "teacher.safetensors",
        "store.path": folder / "store.zarr",
        "store.views": views,
        "store.block_rows": 512,
    }
    return load_config("digits", [f"{key}={value}" for key, value in chosen.items()])


def photographs(folder: Path, images: Path, views: int) -> Config:
    """Return the recipe of an extraction of about 500 pictures of ten classes in `images`, scaled to 224 x 224."""
    torch.manual_seed(0)
    model = "timm/tf_efficientnet_lite0"
    save_weights(folder / "teacher.safetensors", build_model(model, channels=3, classes=10), {})
    chosen: dict[str, Any] = {
        "data.root": images,
        "data.image_size": 224,
        "data.limit_per_class": 51,
        "data.test_limit_per_class": 5,
        "data.mean": "[0.485, 0.456, 0.406]",
        "data.std": "[0.229, 0.224, 0.225]",
        "teacher.model": model,
        "teacher.weights": folder / "teacher.safetensors",
        "store.path": folder / "store.zarr",
        "store.views": views,
        "store.batch_size": 64,
        "store.block_rows": 64,
    }
    return load_config("cifar10/imagefolder-resnet20-resnet8", [f"{key}={value}" for key, value in chosen.items()])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photographs", type=Path, metavar="FOLDER", help="in the place of digits")
    parser.add_argument("--views", type=int, default=16)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--model", default="resnet32x4")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.photographs is None:
            config = digits(folder, given.model, given.views)
        else:
            config = photographs(folder, given.photographs, given.views)
        kinds = [0, *given.workers]
        found: dict[int, list[dict[str, float]]] = {kind: [] for kind in kinds}
        for _ in range(given.turns):
            for kind in kinds:
                found[kind].append(extraction(config, kind))
    rate = {kind: max(turn["rows_per_second"] for turn in turns) for kind, turns in found.items()}
    start = {kind: min(turn["start_seconds"] for turn in turns) for kind, turns in found.items()}
    whole = {kind: min(turn["seconds"] for turn in turns) for kind, turns in found.items()}
    for kind in given.workers:
        line = {
            "benchmark": f"extraction by {kind} workers / by one process",
            "model": config.teacher.model,
            "ratio": round(rate[kind] / rate[0], 3),
            "whole_command_ratio": round(whole[0] / whole[kind], 3),
            "rows_per_second": round(rate[kind]),
            "rows_per_second_alone": round(rate[0]),
            "start_seconds": round(start[kind], 1),
            "start_seconds_alone": round(start[0], 1),
            "seconds": round(whole[kind], 1),
            "seconds_alone": round(whole[0], 1),
            "cores": len(os.sched_getaffinity(0)),
            "load": round(os.getloadavg()[0], 1),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
