"""Runs of a small but whole recipe in processes of their own, which are killed or kill themselves."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.support.recipes import as_overrides

from kcd_pipeline.config import Config, load_config
from kcd_pipeline.distillation import distill
from kcd_pipeline.runs import RunFolder
from kcd_stores import PlanStore, ValueStore

EPOCHS = 6


def settings(folder: Path, **more: Any) -> Config:
    """Return a small but whole recipe on real digits: three stages, and two views that epochs use in turn."""
    chosen = {
        "data.limit_per_class": 30,
        "teacher.model": "resnet8",
        "teacher.weights": folder.parent / "teacher.safetensors",
        "teacher.epochs": 3,
        "store.path": folder.parent / "shared.zarr",
        "store.views": 4,
        "store.batch_size": 64,
        "store.block_rows": 64,
        "distill.epochs": EPOCHS,
        "condense.interval": 2,
        "run.dir": folder,
        "run.threads": 1,
    }
    return load_config("digits", as_overrides(chosen, **more))


def start(context: Any, function: Callable[..., object], *args: Any) -> BaseProcess:
    process: BaseProcess = context.Process(target=function, args=args)
    process.start()
    return process


def kill(process: BaseProcess) -> bool:
    """Kill the process; return False if it ended first."""
    assert process.pid is not None
    if process.is_alive():
        with suppress(ProcessLookupError):  # it may end at this moment
            os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert process.exitcode in (-signal.SIGKILL, 0)
    return process.exitcode != 0


def train(config: Config) -> None:
    distill(config)


def train_and_die(config: Config, where: str, occasion: int) -> None:
    """Train, and die just before the `occasion`-th call of the function `where`."""
    import kcd_pipeline.distillation.curriculum as curriculum
    import kcd_pipeline.training.checkpoint as checkpoint
    import kcd_pipeline.training.recorder as recorder

    owners: dict[str, tuple[Any, str]] = {
        "values are written": (ValueStore, "write"),
        "a plan is written": (PlanStore, "write"),
        "the ranking is made": (curriculum, "condense"),
        "metrics are written": (RunFolder, "append_metrics"),
        "best weights are written": (recorder, "save_weights"),
        "a checkpoint is begun": (recorder, "save_checkpoint"),
        "a manifest is written": (checkpoint, "write_manifest"),
        "a checkpoint is renamed": (Path, "rename"),
        "older checkpoints are removed": (checkpoint, "_remove_others"),
        "the summary is written": (RunFolder, "write_summary"),
    }
    owner, name = owners[where]
    original, calls = getattr(owner, name), 0

    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == occasion:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, name, dying)
    distill(config)
