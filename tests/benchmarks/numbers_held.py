"""Memory that a run takes for its values and plans, by the size of the data set; one line of JSON for each.

    python -m tests.benchmarks.numbers_held [--samples 10000000 100000000] [--in-memory] [--folder FOLDER]

For each size a process of its own does what a run does with a number for each sample: it records an epoch, writes the
values, shows their histogram, ranks (70 percent kept, 30 percent blended), writes the plan, goes on from what is on
disk, and looks up the samples of windows. It has no images and no network. A thread reads the anonymous memory of the
process (RssAnon) every 10 ms; what it had before is subtracted. `--in-memory` holds all arrays in memory instead of in
files. It takes about 100 bytes of disk for each sample.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from kcd_pipeline.config import Config, parse_config
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.runs import Record, RunFolder
from kcd_pipeline.training.board import Board
from kcd_pipeline.training.epoch import EpochResult
from kcd_stores import scratch
from kcd_stores.scratch import pieces
from kcd_stores.streaming.order import ONLY_RANK, WindowSizes, plan_windows
from kcd_stores.streaming.partner_places import PartnerPlaces

WINDOWS = WindowSizes(window_rows=1 << 17, strip_rows=1 << 10)
SMALL = 100_000  # samples of a run that is gone through first: what code and libraries take is not counted
KEPT = 0.7


class Watch:
    """Notes the most anonymous memory that this process has, from a thread."""

    def __init__(self) -> None:
        self.most, self._ends = 0, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watch":
        self.before = anonymous()
        self._thread.start()
        return self

    def __exit__(self, *how: object) -> None:
        self._ends.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ends.wait(0.01):
            self.most = max(self.most, anonymous())


def anonymous() -> int:
    """Return the bytes of memory of this process that no file backs."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) * 1024


def recipe(folder: Path) -> Config:
    tree = {
        "data": {"name": "digits"},
        "teacher": {"model": "resnet8", "weights": "none.safetensors"},
        "store": {"path": "none.zarr", "views": 1},
        "student": {"model": "resnet8"},
        "distill": {"epochs": 2, "batch_size": 256},
        "condense": {"interval": 1, "keep_ratio": KEPT, "dropped": "all"},
        "run": {"dir": folder},
    }
    return parse_config(tree, source="the benchmark")


def go_through(path: Path, samples: int) -> dict[str, float]:
    """Do what a run of two epochs and two stages does with its numbers; return the seconds that parts of it take."""
    path.mkdir()
    folder, config, took = RunFolder(path), recipe(path), dict[str, float]()

    started = time.perf_counter()

    def timed(name: str) -> None:
        nonlocal started
        took[name], started = round(time.perf_counter() - started, 2), time.perf_counter()

    curriculum = StudentCurriculum(config, folder, None, samples)
    curriculum.start(0)
    random, place = np.random.default_rng(0), folder.scratch()
    worth = place.empty(samples, np.float32)
    for piece in pieces(samples):
        worth[piece] = random.standard_gamma(2, piece.stop - piece.start)
    order = place.counted(samples)
    timed("begin")
    curriculum.record(0, EpochResult(loss=1, accuracy=0, order=order, worth=worth, steps=1, seconds=1))
    timed("record")
    with Board(folder.tensorboard, 0) as board:
        board.show_values(0, curriculum.values())
    timed("histogram")
    curriculum.lesson(1)
    timed("condense")
    digests = curriculum.digests(1)
    recorded = Record(epochs=1, config="", origin="", metrics="", values=digests["values"], plans=digests["plans"][:1])
    curriculum.close()
    del curriculum, worth, order
    again = StudentCurriculum(config, folder, None, samples)
    again.start(1, recorded)
    again.lesson(1)
    timed("go on")
    reading = again._reading(1)
    assert len(reading.kept) == round(KEPT * samples)
    places = PartnerPlaces(reading, ONLY_RANK, samples, chunk_rows=1 << 10, scratch=place)
    for window in plan_windows(0, 1, reading.kept, WINDOWS, batch_size=256):
        places.add(ONLY_RANK, reading.partners_of(window.order))
        again._perturbation.lookup(window.order[:256])
    found = sum(len(part.needed(ONLY_RANK)) for part in places.by_sample())
    assert found == places.own
    timed("windows")
    return took


def child(path: Path, samples: int) -> None:
    go_through(path / "small", SMALL)
    with Watch() as watch:
        took = go_through(path / "run", samples)
    print(json.dumps({"peak": watch.most - watch.before, "seconds": took}))


def measured(samples: int, folder: Path | None, *, in_memory: bool) -> dict[str, Any]:
    """Measure a run of so many samples in a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as path:
        how = ["--in-memory"] if in_memory else []
        command = [sys.executable, "-m", "tests.benchmarks.numbers_held", "--child", path, "--samples", str(samples)]
        out = subprocess.run([*command, *how], check=True, stdout=subprocess.PIPE, text=True).stdout
    where = "memory" if in_memory else "files"
    return {"benchmark": "numbers held", "samples": samples, "arrays in": where, **json.loads(out.splitlines()[-1])}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, nargs="+", default=[10**7, 10**8])
    parser.add_argument("--in-memory", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--child", type=Path)
    options = parser.parse_args()
    if options.in_memory:
        scratch.LARGEST_IN_MEMORY = sys.maxsize
    if options.child:
        child(options.child, options.samples[0])
        return
    for samples in options.samples:
        print(json.dumps(measured(samples, options.folder, in_memory=options.in_memory)), flush=True)


if __name__ == "__main__":
    main()
