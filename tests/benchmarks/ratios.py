"""Costs and savings of a store, as ratios measured side by side in one run; one line of JSON each.

    python tests/benchmarks/ratios.py CIFAR10_IMAGE_FOLDER [IMAGES_PER_CLASS]
    python tests/benchmarks/ratios.py reading        # only the two that need no photographs
    python tests/benchmarks/ratios.py encodings      # epochs of int8 and topk beside one of float16

CIFAR10_IMAGE_FOLDER holds train/ and test/ folders of photographs. Alternatives take turns, and the fastest of their
turns counts, so that whatever else the machine does falls on both. tests/benchmarks/extraction.py has the extraction.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kcd_pipeline.augmentation import Labels, build_augmentation
from kcd_pipeline.condensation.values import prediction_entropy
from kcd_pipeline.config import Config, load_config
from kcd_pipeline.data import load_dataset
from kcd_pipeline.distillation import distill
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.losses import make_loss
from kcd_pipeline.models import build_model, save_weights
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.training.epoch import StepOutcome
from kcd_pipeline.training.trainer import Trainer
from kcd_stores import Encoding, KnowledgeStore, KnowledgeWriter, choose_layout, make_encoding, row_bytes
from kcd_stores.philox import permutation
from kcd_stores.streaming.rows import read_whole

TURNS = 5


def seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def say(name: str, ratio: float, bound: str, **facts: Any) -> None:
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in facts.items()}
    print(json.dumps({"benchmark": name, "ratio": round(ratio, 4), "wanted": bound, **rounded}), flush=True)


def settings(folder: Path, images: Path, per_class: int, **more: Any) -> Config:
    chosen = {
        "data.root": images,
        "data.limit_per_class": per_class,
        "teacher.weights": folder / "resnet20.safetensors",
        "store.path": folder / "store.zarr",
        "store.views": 2,
        "distill.epochs": 2,
        "run.dir": folder / "run",
    } | {key.replace("__", "."): value for key, value in more.items()}
    return load_config("cifar10/imagefolder-resnet20-resnet8", [f"{key}={value}" for key, value in chosen.items()])


def epoch_seconds(config: Config) -> float:
    """Return the seconds of the fastest epoch of the run."""
    distill(config, overwrite=True)
    return min(line["seconds"] for line in RunFolder(config.run_dir).read_metrics())


def streaming(folder: Path, images: Path, per_class: int) -> float:
    """Compare an epoch of `kd`, its rows streamed, with an epoch of `none`; return the seconds of the former."""
    found: dict[str, list[float]] = {"none": [], "kd": []}
    for _ in range(TURNS):
        for method, times in found.items():
            times.append(epoch_seconds(settings(folder, images, per_class, distill__method=method)))
    none, kd = min(found["none"]), min(found["kd"])
    say("kd epoch from the store / labels-only epoch", kd / none, "<= 1.04", kd_seconds=kd, none_seconds=none)
    return kd


def live_teacher(config: Config, stored_seconds: float) -> None:
    """Compare an epoch of `kd` from the store with one that asks a resnet32x4 teacher at each step."""
    dataset = load_dataset(config.data)
    augmentation = build_augmentation(config.augmentation)
    torch.manual_seed(0)
    channels, classes = dataset.channels, len(dataset.classes)
    teacher = build_model("resnet32x4", channels=channels, classes=classes).to(memory_format=torch.channels_last).eval()
    student = build_model("resnet8", channels=channels, classes=classes)
    trainer = Trainer(student, dataset, augmentation, optimisation=config.distill, run=config.run)
    views = dataset.train_views(augmentation, trainer.accelerator.device)

    def objective(logits: torch.Tensor, labels: Labels, index: np.ndarray) -> StepOutcome:
        with torch.inference_mode():
            targets = teacher(views.batch(index, 0))
        loss = torch.nn.functional.cross_entropy(logits, labels.own)
        knowledge = make_loss(config.distill)(logits, targets.clone(), labels.own).mean()
        loss = config.distill.ce_weight * loss + config.distill.kd_weight * knowledge
        return StepOutcome(loss, prediction_entropy(logits))

    order = permutation(0, 0, np.arange(len(dataset.train)))
    live = seconds(lambda: trainer.train_epoch(0, view=0, samples=len(order), parts=[(order, objective)]))
    say("kd epoch from the store / with a live resnet32x4", stored_seconds / live, "<= 0.15", live_seconds=live)


def reading(folder: Path, rows: int = 1_000_000, classes: int = 100) -> None:
    """Compare reading a view of a million float16 rows, and an epoch of it fully shuffled, with a copy in memory."""
    encoding = make_encoding("float16")
    layout = choose_layout(views=1, samples=rows, classes=classes, row_bytes=row_bytes(encoding, classes))
    writer = KnowledgeWriter.create(folder / "million.zarr", layout=layout, encoding=encoding, made_from={})
    random = np.random.default_rng(0)
    for block in range(layout.blocks):
        logits = random.normal(0, 4, (len(layout.rows(block)), classes)).astype(np.float32)
        writer.write_block(0, block, logits, seconds=0)
    store = writer.store
    order = permutation(0, 0, np.arange(rows))
    batches = np.array_split(order, rows // 256)
    memory = store.read_view(0)

    def epoch_from_disk() -> None:
        rows = read_whole(store, 0)
        for batch in batches:
            rows[batch]

    disk, take, read, copy = [], [], [], []
    for _ in range(TURNS):
        disk.append(seconds(epoch_from_disk))
        take.append(seconds(lambda: np.take(memory, order, axis=0)))
        read.append(seconds(lambda: read_whole(store, 0)))
        copy.append(seconds(memory.copy))
    say("shuffled epoch from disk / numpy take", min(take) / min(disk), ">= 0.3", rows_per_second=rows / min(disk))
    say(
        "reading a view / copying it",
        min(copy) / min(read),
        ">= 0.2",
        gigabytes_per_second=memory.nbytes / min(read) / 1e9,
    )


def encodings(folder: Path, rows: int = 100_000, classes: int = 100) -> None:
    """Compare epochs by encoding: read from disk, held packed, in random order by batches of 256 float32 rows."""
    logits = np.random.default_rng(0).normal(0, 4, (rows, classes)).astype(np.float32)
    batches = np.array_split(permutation(0, 0, np.arange(rows)), rows // 256)
    settings: dict[str, dict[str, float]] = {"float16": {}, "int8": {"low": -30.0, "high": 30.0}, "topk": {"k": 8}}
    stores = {name: _written(folder / name, logits, make_encoding(name, **more)) for name, more in settings.items()}

    def epoch(store: KnowledgeStore) -> None:
        held = read_whole(store, 0)
        for batch in batches:
            held[batch].astype(np.float32, copy=False)  # as losses take them

    wall: dict[str, list[float]] = {name: [] for name in stores}
    processor: dict[str, list[float]] = {name: [] for name in stores}
    for _ in range(TURNS):
        for name, store in stores.items():
            started = time.process_time()
            wall[name].append(seconds(partial(epoch, store)))
            processor[name].append(time.process_time() - started)
    for name, bound in {"int8": ">= 1", "topk": ">= 0.8"}.items():
        say(
            f"epoch of {name} / of float16, in rows a second",
            min(wall["float16"]) / min(wall[name]),
            bound,
            in_cpu_seconds=min(processor["float16"]) / min(processor[name]),
            rows_per_second=rows / min(wall[name]),
            held_bytes=stores[name].packing.row_bytes,
        )


def _written(where: Path, logits: np.ndarray, encoding: Encoding) -> KnowledgeStore:
    """Write `logits[N, C]` as the only view of a store."""
    rows, classes = logits.shape
    layout = choose_layout(views=1, samples=rows, classes=classes, row_bytes=row_bytes(encoding, classes))
    writer = KnowledgeWriter.create(where, layout=layout, encoding=encoding, made_from={})
    for block in range(layout.blocks):
        span = layout.rows(block)
        writer.write_block(0, block, logits[span.start : span.stop], seconds=0)
    return writer.store


def main() -> None:
    alone = {"reading": reading, "encodings": encodings}
    if sys.argv[1] in alone:
        with tempfile.TemporaryDirectory() as name:
            alone[sys.argv[1]](Path(name))
        return
    images, per_class = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = settings(folder, images, per_class)
        torch.manual_seed(0)
        save_weights(config.teacher.weights, build_model("resnet20", channels=3, classes=10), {})
        extract_teacher(config)
        stored = streaming(folder, images, per_class)
        live_teacher(config, stored)
        reading(folder)


if __name__ == "__main__":
    main()
