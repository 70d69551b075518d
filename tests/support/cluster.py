"""Extraction by several processes: small recipes, and a cluster of workers that are started apart from the command."""

import time
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from distributed import Client
from tests.support.recipes import as_overrides

from kcd_pipeline.cli import main
from kcd_pipeline.config import Config, load_config


def options(folder: Path, store: str, **more: Any) -> list[str]:
    chosen = {
        "data.limit_per_class": 30,
        "teacher.model": "resnet8",
        "teacher.weights": folder / "teacher.safetensors",
        "store.path": folder / store,
        "store.views": 3,
        "store.batch_size": 64,
        "store.block_rows": 64,
        "run.threads": 1,  # the last bits of a product of matrices may depend on it
    }
    return as_overrides(chosen, **more)


def settings(folder: Path, store: str, **more: Any) -> Config:
    return load_config("digits", options(folder, store, **more))


def address(client: Client) -> str:
    return str(client.scheduler.address)


def wait_for(client: Client, workers: int) -> None:
    """Wait until so many workers are connected; nannies replace those that die."""
    for _ in range(3000):
        if (
            len(client.nthreads()) == workers
        ):  # asks the scheduler, as `wait_for_workers` uses information that is seconds old
            return
        time.sleep(0.02)
    raise AssertionError(f"{client.nthreads()} instead of {workers} workers")


def scale(client: Client, workers: int) -> None:
    client.cluster.scale(workers)
    wait_for(client, workers)


def run(*arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(main, list(arguments))
    return ended.exit_code, " ".join(ended.output.split())


def with_set(chosen: list[str]) -> list[str]:
    return [word for option in chosen for word in ("--set", option)]


# --- ends ---------------------------------------------------------------------------------------------------


def wait_for_a_block(store: Path) -> None:
    for _ in range(3000):
        if (store / "complete" / "c").exists():
            return
        time.sleep(0.02)
    raise AssertionError(f"no block came to {store}")
