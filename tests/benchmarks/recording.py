"""The cost that recording values adds to a training step, as one line of JSON.

    python tests/benchmarks/recording.py [--model resnet8] [--steps 300] [--samples 50000]

A step is forward, cross-entropy, backward and update of a CIFAR network on 64 images of 32 by 32, no augmentation and
no knowledge, which would only make it longer. Recording is the entropy of its predictions (each step), and values and
frequencies updated and written to disk (at the end of an epoch, shared among its steps). Both are timed in turns, step
by step; medians are compared. Exits with an error if recording takes 1 percent of the step or more.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from kcd_pipeline.condensation import new_values, update_values
from kcd_pipeline.condensation.values import prediction_entropy
from kcd_pipeline.models import build_model
from kcd_stores import ValueStore

BATCH, CLASSES, BOUND = 64, 100, 0.01
EPOCHS = 5
WARM_UP = 10


def seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def measure_steps(name: str, steps: int) -> tuple[float, float]:
    """Return the median seconds of a step without recording, and of computing the entropy that it would record."""
    torch.manual_seed(0)
    model = build_model(name, channels=3, classes=CLASSES).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    images = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (BATCH,))
    entropy = torch.empty(BATCH)
    logits = model(images)

    def step() -> None:
        nonlocal logits
        logits = model(images)
        F.cross_entropy(logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    def record() -> None:
        with torch.no_grad():
            entropy[:] = prediction_entropy(logits)

    taken = [(seconds(step), seconds(record)) for _ in range(WARM_UP + steps)][WARM_UP:]
    return statistics.median(one for one, _ in taken), statistics.median(two for _, two in taken)


def measure_epochs(samples: int) -> float:
    """Return the median seconds of recording the values at the end of an epoch."""
    value, frequency = new_values(samples)
    random = np.random.default_rng(0)
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        store = ValueStore.create(Path(folder) / "values.zarr", epochs=EPOCHS, samples=samples)

        def write(epoch: int) -> None:
            store.write(epoch, value, frequency, value.astype(np.float32))

        for epoch in range(EPOCHS):
            order, entropy = random.permutation(samples), random.random(samples, dtype=np.float32)
            taken.append(
                seconds(partial(update_values, value, frequency, order, entropy)) + seconds(partial(write, epoch))
            )
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="resnet8")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--samples", type=int, default=50_000)
    given = parser.parse_args()
    step, entropy = measure_steps(given.model, given.steps)
    end_of_epoch = measure_epochs(given.samples) / (given.samples / BATCH)
    ratio = (entropy + end_of_epoch) / step
    facts = {
        "benchmark": f"recording / step of {given.model}",
        "ratio": round(ratio, 5),
        "wanted": f"< {BOUND}",
        "step_ms": round(step * 1e3, 3),
        "entropy_ms": round(entropy * 1e3, 4),
        "end_of_epoch_ms_a_step": round(end_of_epoch * 1e3, 4),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(facts))
    if ratio >= BOUND:
        sys.exit("recording costs too much")


if __name__ == "__main__":
    main()
