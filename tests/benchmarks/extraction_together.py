"""Stores of two teachers made in one pass over the images, and in a pass of each; a line of JSON.

    python -m tests.benchmarks.extraction_together [--pictures 256] [--views 8] [--size 64]

JPEGs of 500 x 375 are decoded by the process itself to `size` pixels a side and augmented by the list `tinyvit`; the
teachers are resnet8 and resnet14 with random weights, in one thread. CPU seconds are of all that `extract-teacher` does
once its libraries are loaded: the blocks, and the trials of each teacher, which both ways have. They take turns, and
the fastest of their turns counts.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tests.benchmarks.extraction import Case, recipe, write_pictures

from kcd_pipeline.config import Config, parse_config
from kcd_pipeline.extraction import extract_teacher, extract_teachers
from kcd_pipeline.models import build_model, save_weights


def two_teachers(folder: Path, case: Case, views: int) -> Config:
    """Return the recipe of both teachers, with the first one's store and the second one's in `folder`."""
    torch.manual_seed(0)
    weights = folder / "second.safetensors"
    save_weights(weights, build_model("resnet14", channels=3, classes=2), {})
    second = {"model": "resnet14", "weights": str(weights), "store": str(folder / "second.zarr")}
    plain = recipe(folder, case).plain()
    store = {**plain["store"], "views": views}
    return parse_config({**plain, "store": store, "other_teachers": [second]}, source="the benchmark")


def measure(action: Callable[[], object], turns: list[float]) -> None:
    """Add the CPU seconds that `action` takes to `turns`."""
    started = time.process_time()
    action()
    turns.append(time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    settings = {
        "data.on_the_fly": True,
        "data.workers": 0,
        "data.image_size": given.size,
        "augmentation.name": "pipeline",
        "augmentation.operations": "tinyvit",
    }
    case = Case(model="resnet8", width=500, height=375, ending="jpg", pictures=given.pictures, settings=settings)
    with tempfile.TemporaryDirectory() as name:
        write_pictures(Path(name), case, given.pictures)
        parts = two_teachers(Path(name), case, given.views).each_teacher()
        together: list[float] = []
        apart: list[float] = []
        for _ in range(given.turns):
            measure(lambda: extract_teachers(parts, overwrite=True), together)
            measure(lambda: [extract_teacher(part, overwrite=True) for part in parts], apart)
    line = {
        "benchmark": "extraction of two teachers, one pass / a pass of each",
        "cpu_ratio": round(min(together) / min(apart), 3),
        "cpu_seconds_together": round(min(together), 2),
        "cpu_seconds_apart": round(min(apart), 2),
        "rows_of_each": given.pictures * given.views,
        "image_size": given.size,
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
