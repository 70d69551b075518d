"""Extraction over the teacher's bare forward passes, as ratios of one run; a line of JSON for each case.

    python tests/benchmarks/extraction.py [--cases 32 32-decoded-ahead 224-decoded-ahead] [--pictures N] [--turns 8]

Three cases, all with a teacher of one thread and random weights:

- `32`: resnet20 over PNGs of 32 x 32, decoded into memory when the command starts;
- `32-decoded-ahead`: the same from files that a worker process decodes while the teacher computes;
- `224-decoded-ahead`: EfficientNet-Lite0 (timm) over JPEGs of 500 x 375, decoded by a worker process to 224 x 224.

The bare passes are over the batches that the extraction makes, augmented and normalised beforehand. The extraction is
all that `extract-teacher` does once its first batch is computed until its records are durable: decoding, augmentation,
forward passes, encoding, compression, checksums and writing. `start_seconds` is what the first batch takes more than
other batches: processes are forked, and memory is touched for the first time. A turn is bare passes, the extraction,
and bare passes again, and its ratio is of the mean of the two to the extraction between them, so that a machine that
grows slower or faster favours neither; `ratio` is the median over the turns, beside which are its quartiles. It is of
the wall clock, and needs a core for what runs beside the teacher. `cpu_ratio` is of the CPU seconds of the thread that
the teacher runs in. `decoding_beside` is what the machine itself allows: bare passes alone over bare passes while
another process, which has nothing of this package, decodes pictures at the teacher's rate. Pictures are cut out of
scikit-learn's two photographs.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from kcd_pipeline.config import Config, load_config
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.freed_memory import memory_is_kept
from kcd_pipeline.models import build_model, save_weights
from kcd_pipeline.teacher_rows import Extractor, LocalMaker, TeacherRows
from kcd_stores import KnowledgeWriter

VIEWS = 2
Times = tuple[float, float]  # seconds by wall clock, and of this thread's CPU


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
    "32": Case(model="resnet20", width=32, height=32, ending="png", pictures=2048),
    "32-decoded-ahead": Case(
        model="resnet20", width=32, height=32, ending="png", pictures=2048, settings=AHEAD | {"data.image_size": 32}
    ),
    "224-decoded-ahead": Case(
        model="timm/tf_efficientnet_lite0",
        width=500,
        height=375,
        ending="jpg",
        pictures=256,
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


def seconds(action: Any) -> Times:
    """Return the seconds that `action` takes: by the wall clock, and of this thread's CPU."""
    started = time.perf_counter(), time.thread_time()
    action()
    return time.perf_counter() - started[0], time.thread_time() - started[1]


def extraction(config: Config) -> tuple[int, Times, float]:
    """Extract; return the rows of its first batch, the seconds from then until all is durable, and those until then."""
    first: list[tuple[int, float, float]] = []
    begun: list[float] = []
    outputs, make = TeacherRows.outputs, LocalMaker.make

    def timed_outputs(self: TeacherRows, images: torch.Tensor) -> Any:
        rows = outputs(self, images)
        if begun and not first:
            first.append((len(rows), time.perf_counter(), time.thread_time()))
        return rows

    def timed_make(self: LocalMaker, writer: KnowledgeWriter, missing: Any) -> None:
        begun.append(time.perf_counter())
        make(self, writer, missing)
        writer.settle()
        begun.extend((time.perf_counter(), time.thread_time()))

    with patch.object(LocalMaker, "make", timed_make), patch.object(TeacherRows, "outputs", timed_outputs):
        extract_teacher(config, overwrite=True)
    (rows, wall, cpu), (began, wall_end, cpu_end) = first[0], begun
    return rows, (wall_end - wall, cpu_end - cpu), wall - began


@contextmanager
def decoding_beside(files: Sequence[Path], rate: float) -> Iterator[None]:
    """Decode `rate` of `files` a second in another process while the context lasts."""
    process = multiprocessing.get_context("spawn").Process(target=decode, args=(files, rate), daemon=True)
    process.start()
    try:
        time.sleep(2)  # until it has its libraries
        yield
    finally:
        process.kill()
        process.join()


def decode(files: Sequence[Path], rate: float) -> None:
    """Decode `files` over and over, `rate` of them a second, or as many as can be."""
    due = time.perf_counter()
    for file in cycle(files):
        np.asarray(Image.open(file).convert("RGB"))
        due += 1 / rate
        time.sleep(max(due - time.perf_counter(), 0))


def measure(name: str, pictures: int, turns: int) -> None:
    """Compare one case with its bare passes, and print the result."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as folder, memory_is_kept():  # as extraction does
        write_pictures(Path(folder), case, pictures)
        config = recipe(Path(folder), case)
        extractor, batch = Extractor(config), config.store.batch_size
        index = [np.arange(start, min(start + batch, pictures)) for start in range(0, pictures, batch)]
        batches = [images for _, images in extractor.views[0].batches(index, 0)]

        @torch.inference_mode()
        def forward() -> None:
            for images in batches:
                extractor.model(images)

        forward()
        ratios = np.array([turn(forward, config, pictures) for _ in range(turns)])
        alone, rate = [], pictures / seconds(forward)[0]
        files = sorted(Path(folder).glob("train/*/*"))
        for _ in range(turns):
            before, _ = seconds(forward)
            with decoding_beside(files, rate):
                beside, _ = seconds(forward)
            after, _ = seconds(forward)
            alone.append((before + after) / 2 / beside)
    start = float(np.median(ratios[:, 2])) - batch / rate
    low, ratio, high = np.quantile(ratios[:, 0], (0.25, 0.5, 0.75)).tolist()
    line = {
        "benchmark": f"extraction / bare forward, {name}",
        "ratio": round(ratio, 3),
        "quartiles": [round(low, 3), round(high, 3)],
        "wanted": ">= 0.97",
        "cpu_ratio": round(float(np.median(ratios[:, 1])), 3),
        "start_seconds": round(start, 2),
        "decoding_beside": round(float(np.median(alone)), 3),
        "model": case.model,
        "rows": pictures * VIEWS,
        "bare_rows_per_second": round(rate, 1),
        "turns": turns,
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(line), flush=True)


def turn(forward: Any, config: Config, pictures: int) -> tuple[float, float, float]:
    """Time bare passes over one view, the extraction of all views, and bare passes over one view.

    Returns the ratios by wall clock and by CPU, and the seconds until the first batch was computed.
    """
    before, (first, whole, start), after = seconds(forward), extraction(config), seconds(forward)
    views = VIEWS - first / pictures
    wall, cpu = ((before[kind] + after[kind]) / 2 * views / whole[kind] for kind in range(2))
    print(f"turn: {wall:.3f} by wall clock, {cpu:.3f} by CPU", file=sys.stderr, flush=True)
    return wall, cpu, start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--pictures", type=int, help="of each case, in place of its own number")
    parser.add_argument("--turns", type=int, default=8)
    given = parser.parse_args()
    for name in given.cases:
        measure(name, given.pictures or CASES[name].pictures, given.turns)


if __name__ == "__main__":
    main()
