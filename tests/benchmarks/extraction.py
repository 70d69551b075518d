"""Extraction over the teacher's bare forward passes, as ratios of one run; a line of JSON for each case.

    python tests/benchmarks/extraction.py [--cases 32 32-decoded-ahead 224-decoded-ahead] [--pictures N] [--turns 3]

Three cases, all with a teacher of one thread and random weights:

- `32`: resnet20 over PNGs of 32 x 32, decoded into memory when the command starts;
- `32-decoded-ahead`: the same from files that a worker process decodes while the teacher computes;
- `224-decoded-ahead`: EfficientNet-Lite0 (timm) over JPEGs of 500 x 375, decoded by a worker process to 224 x 224.

The bare passes are over the batches that the extraction makes, augmented and normalised beforehand. The extraction is
all that `extract-teacher` does from the first batch of the first block until its records are durable: decoding,
augmentation, forward passes, encoding, compression, checksums and writing. Both take turns, and the fastest of their
turns counts. `ratio` is of the wall clock, and needs a core for what runs beside the teacher. `cpu_ratio` is of the CPU
seconds of the thread that the teacher runs in, which other programs on the machine disturb less. `command_seconds` is
the whole command without its imports. Pictures are cut out of scikit-learn's two photographs.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from kcd_pipeline.config import Config, load_config
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.models import build_model, save_weights
from kcd_pipeline.teacher_rows import Extractor, LocalMaker
from kcd_pipeline.teacher_rows.kept_memory import memory_is_kept
from kcd_stores import KnowledgeWriter

VIEWS = 2


@dataclass(frozen=True, kw_only=True)
class Case:
    """A teacher, and the pictures that it is shown: `width` x `height` in files named `ending`."""

    model: str
    width: int
    height: int
    ending: str
    pictures: int
    settings: dict[str, Any] = field(default_factory=dict)


AHEAD = {"data.on_the_fly": True, "data.workers": 1}
CASES = {
    "32": Case(model="resnet20", width=32, height=32, ending="png", pictures=4096),
    "32-decoded-ahead": Case(
        model="resnet20", width=32, height=32, ending="png", pictures=4096, settings=AHEAD | {"data.image_size": 32}
    ),
    "224-decoded-ahead": Case(
        model="timm/tf_efficientnet_lite0",
        width=500,
        height=375,
        ending="jpg",
        pictures=512,
        settings=AHEAD | {"data.image_size": 224, "store.batch_size": 64, "store.block_rows": 256},
    ),
}


def write_pictures(folder: Path, case: Case, count: int) -> None:
    """Write `count` training pictures of two classes, and two of the test set."""
    photographs = [Image.fromarray(image) for image in load_sample_images().images]
    random = np.random.default_rng(0)
    for number in range(count + 2):
        picture, split = photographs[number % 2], "train" if number < count else "test"
        left, top = random.integers(0, (picture.width - case.width + 1, picture.height - case.height + 1)).tolist()
        place = folder / split / "ab"[number % 2] / f"{number:06}.{case.ending}"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture.crop((left, top, left + case.width, top + case.height)).save(place, quality=90)


def recipe(folder: Path, case: Case) -> Config:
    """Write pictures and weights to `folder`; return the recipe of their extraction."""
    torch.manual_seed(0)
    weights = folder / "teacher.safetensors"
    save_weights(weights, build_model(case.model, channels=3, classes=2), {})
    chosen = {
        "data.root": folder,
        "data.mean": "[0.48, 0.46, 0.41]",
        "data.std": "[0.23, 0.22, 0.23]",
        "teacher.model": case.model,
        "teacher.weights": weights,
        "store.path": folder / "store.zarr",
        "store.views": VIEWS,
        "run.threads": 1,
        "run.device": "cpu",
    }
    settings = [f"{key}={value}" for key, value in (chosen | case.settings).items()]
    return load_config("cifar10/imagefolder-resnet20-resnet8", settings)


def seconds(action: Any) -> tuple[float, float]:
    """Return the seconds that `action` takes: by the wall clock, and of this thread's CPU."""
    started = time.perf_counter(), time.thread_time()
    action()
    return time.perf_counter() - started[0], time.thread_time() - started[1]


def extraction(config: Config) -> tuple[float, float, float]:
    """Extract; return the seconds of its blocks by wall clock and of this thread's CPU, and of the whole command."""
    found: list[tuple[float, float]] = []
    original = LocalMaker.make

    def make(self: LocalMaker, writer: KnowledgeWriter, missing: Any) -> None:
        def blocks() -> None:
            original(self, writer, missing)
            writer.settle()

        found.append(seconds(blocks))

    with patch.object(LocalMaker, "make", make):
        whole, _ = seconds(lambda: extract_teacher(config, overwrite=True))
    return *found[0], whole


def measure(name: str, pictures: int, turns: int) -> None:
    """Compare one case with its bare passes, and print the result."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder), case, pictures)
        config = recipe(Path(folder), case)
        extractor, batch = Extractor(config), config.store.batch_size
        index = [np.arange(start, min(start + batch, pictures)) for start in range(0, pictures, batch)]
        batches = [images for _, images in extractor.views[0].batches(index, 0)]

        @torch.inference_mode()
        def forward() -> None:
            with memory_is_kept():  # as extraction does
                for images in batches * VIEWS:
                    extractor.model(images)

        bare, whole = [], []
        for _ in range(turns):
            bare.append(seconds(forward))
            whole.append(extraction(config))
    wall, cpu = (min(turn[kind] for turn in bare) for kind in range(2))
    whole_wall, whole_cpu, command = (min(turn[kind] for turn in whole) for kind in range(3))
    rows = pictures * VIEWS
    line = {
        "benchmark": f"extraction / bare forward, {name}",
        "ratio": round(wall / whole_wall, 3),
        "cpu_ratio": round(cpu / whole_cpu, 3),
        "wanted": ">= 0.97",
        "model": case.model,
        "rows": rows,
        "rows_per_second": round(rows / whole_wall, 1),
        "bare_rows_per_second": round(rows / wall, 1),
        "command_seconds": round(command, 2),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--pictures", type=int, help="of each case, in place of its own number")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    for name in given.cases:
        measure(name, given.pictures or CASES[name].pictures, given.turns)


if __name__ == "__main__":
    main()
