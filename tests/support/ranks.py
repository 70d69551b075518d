"""Several real processes that train one student over gloo: how they are started, and how their runs are compared.

The student computes in double precision: what differs is then how the work is divided, and not how sums are rounded.
"""

import os
import socket
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kcd_pipeline.cli import main
from kcd_pipeline.models import load_weights
from kcd_pipeline.runs import RunFolder, read_predictions
from kcd_stores import PlanStore, ValueStore

EPOCHS = 6

BATCH = 149  # 300 samples: 149, 149 and 2, which is none for the third of three ranks


class Doubled(nn.Module):
    """A small network with batch norm, in float64 from its first to its last layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16, classes),
        ).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(x.double())
        return logits


def doubled(*, channels: int, classes: int) -> nn.Module:
    return Doubled(channels, classes)


def settings(home: Path, name: str, **more: Any) -> list[str]:
    """Return a small but whole recipe on real digits: three stages, and four views that epochs use in turn."""
    chosen = {
        "data.limit_per_class": 30,
        "teacher.model": "resnet8",
        "teacher.weights": home / "teacher.safetensors",
        "teacher.epochs": 2,
        "store.path": home / "store.zarr",
        "store.views": 4,
        "store.block_rows": 64,
        "student.model": f"{__name__}:doubled",
        "distill.epochs": EPOCHS,
        "distill.batch_size": BATCH,
        "distill.lr": 0.01,
        "condense.interval": 2,
        "run.dir": home / name,
        "run.threads": 1,
    } | {key.replace("__", "."): value for key, value in more.items()}
    return ["digits", *(f"--set={key}={value}" for key, value in chosen.items())]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def one_rank(variables: dict[str, str], arguments: Sequence[str], said: Path) -> None:
    """Run `kcd-pipeline distill` as torchrun would, with the variables of a rank; its output goes to a file."""
    os.environ.update(variables)
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        main(["distill", *arguments], prog_name="kcd-pipeline")


class Together:
    """Ranks of one run, started as a launcher would."""

    def __init__(self, context: Any, home: Path, ranks: int, arguments: Sequence[str], **variables: str) -> None:
        self.said = [home / f"said-{time.monotonic_ns()}-{rank}" for rank in range(ranks)]
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(ranks)}
        shared |= {"OMP_NUM_THREADS": "1"} | variables
        self.ranks: list[BaseProcess] = []
        for rank, said in enumerate(self.said):
            own = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else variables
            self.ranks.append(context.Process(target=one_rank, args=(own, arguments, said)))
            self.ranks[-1].start()

    def ended(self, seconds: float = 120) -> list[int | None]:
        """Wait for all; return their exit codes, None for those that are killed because they take too long."""
        until = time.monotonic() + seconds
        for rank in self.ranks:
            rank.join(max(until - time.monotonic(), 0))
        codes = [rank.exitcode for rank in self.ranks]
        for rank in self.ranks:
            rank.kill()
        return codes

    def words(self, rank: int) -> str:
        return self.said[rank].read_text()

    def wait_for(self, folder: RunFolder, epochs: int) -> None:
        while len(folder.read_metrics()) < epochs:
            assert all(rank.is_alive() for rank in self.ranks), self.words(0)
            time.sleep(0.001)


Launch = Callable[..., Together]


def assert_same_run(found: Path, expected: Path, *, tolerance: float = 1e-5) -> None:
    """Compare values and weights within `tolerance`; frequencies, plans and counts exactly."""
    one, other = (ValueStore.open(path / "values.zarr") for path in (found, expected))
    for epoch in range(EPOCHS):
        value, frequency = one.read(epoch)
        np.testing.assert_allclose(value, other.read(epoch)[0], atol=tolerance)
        np.testing.assert_array_equal(frequency, other.read(epoch)[1])
        np.testing.assert_allclose(one.read_latest(epoch), other.read_latest(epoch), atol=tolerance)
    for plan, same in zip(*(PlanStore(path / "plans.zarr").read_all() for path in (found, expected)), strict=True):
        for name in ("kept", "partner", "epsilon"):
            np.testing.assert_array_equal(getattr(plan, name), getattr(same, name))
        np.testing.assert_allclose(plan.weight, same.weight, rtol=tolerance)
    for name in ("weights.safetensors", "best.safetensors"):
        weights, same_weights = (load_weights(path / name).state for path in (found, expected))
        assert weights.keys() == same_weights.keys()
        for key, tensor in weights.items():
            torch.testing.assert_close(tensor, same_weights[key], atol=tolerance, rtol=tolerance)
    predicted, same_predicted = (read_predictions(path / "predictions.safetensors") for path in (found, expected))
    assert predicted is not None
    assert same_predicted is not None
    np.testing.assert_array_equal(predicted.labels, same_predicted.labels)
    assert (predicted.likeliest == same_predicted.likeliest).mean() > 0.99, "what is rounded may turn over two classes"
    for line, same_line in zip(*(RunFolder(path).read_metrics() for path in (found, expected)), strict=True):
        for key in ("epoch", "samples", "rows", "steps", "test_accuracy"):
            assert line[key] == same_line[key], key
        assert line["loss"] == pytest.approx(same_line["loss"], abs=tolerance)
        assert line["train_accuracy"] == pytest.approx(same_line["train_accuracy"])
