"""The cost of a training step with each value function over one with the entropy, as one line of JSON.

    python tests/benchmarks/values.py [--model resnet8] [--steps 300] [--device cpu]

A step is forward, cross-entropy, backward and update of a CIFAR network on 64 images of 32 by 32, no augmentation and
no knowledge, which would only make it longer, and the worths of its samples. The step itself and the worths of its
logits by each function are timed in turns, step by step; medians are compared. Exits with an error if a value makes the
step more than 1.02 times as long as the entropy does.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from kcd_pipeline.condensation import make_worth
from kcd_pipeline.config import VALUE_NAMES, parse_config
from kcd_pipeline.models import build_model

BATCH, CLASSES, BOUND = 64, 100, 1.02
WARM_UP = 20


def worth_of(name: str) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the value function `name` at temperature 4."""
    tree = {
        "data": {"name": "cifar100"},
        "teacher": {"model": "resnet8", "weights": "none.safetensors"},
        "store": {"path": "none.zarr"},
        "student": {"model": "resnet8"},
        "distill": {"epochs": 1, "temperature": 4},
        "condense": {"value": name},
    }
    return make_worth(parse_config(tree, source="the benchmark"))


def seconds(action: Callable[[], Any], device: torch.device) -> float:
    started = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def measure(model_name: str, steps: int, device: torch.device) -> tuple[float, dict[str, float]]:
    """Return the median seconds of a step without worths, and of the worths by each function."""
    torch.manual_seed(0)
    model = (
        build_model(model_name, channels=3, classes=CLASSES).to(device).to(memory_format=torch.channels_last).train()
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    images = torch.randn(BATCH, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (BATCH,), device=device)
    teacher, kept = torch.randn(BATCH, CLASSES, device=device), torch.empty(BATCH, device=device)
    worths = {name: worth_of(name) for name in VALUE_NAMES}
    logits = model(images)

    def step() -> None:
        nonlocal logits
        logits = model(images)
        F.cross_entropy(logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    def record(name: str) -> None:
        kept[:] = worths[name](logits, labels, teacher)

    taken: dict[str, list[float]] = {name: [] for name in ("step", *VALUE_NAMES)}
    for number in range(WARM_UP + steps):
        taken["step"].append(seconds(step, device))
        first = number % len(VALUE_NAMES)  # each has its turn right after a step, where caches are cold
        for name in VALUE_NAMES[first:] + VALUE_NAMES[:first]:
            taken[name].append(seconds(partial(record, name), device))
    median = {name: statistics.median(found[WARM_UP:]) for name, found in taken.items()}
    return median.pop("step"), median


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="resnet8")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--device", default="cpu", type=torch.device)
    given = parser.parse_args()
    step, worths = measure(given.model, given.steps, given.device)
    ratios = {name: (step + taken) / (step + worths["entropy"]) for name, taken in worths.items()}
    facts = {
        "benchmark": f"step of {given.model} with a value / with the entropy",
        "largest": round(max(ratios.values()), 4),
        "wanted": f"<= {BOUND}",
        "ratios": {name: round(ratio, 4) for name, ratio in ratios.items()},
        "step_ms": round(step * 1e3, 3),
        "worth_ms": {name: round(taken * 1e3, 4) for name, taken in worths.items()},
        "device": str(given.device) if given.device.type == "cpu" else torch.cuda.get_device_name(given.device),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(facts))
    if max(ratios.values()) > BOUND:
        sys.exit("a value costs too much")


if __name__ == "__main__":
    main()
