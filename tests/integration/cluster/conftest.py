"""A teacher, its store and a cluster of two workers."""

from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
import torch
from distributed import Client, LocalCluster
from tests.support.cluster import settings

from kcd_pipeline.dask_settings import NEVER
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.models import build_model, save_weights


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher, another one, and `alone.zarr`, the store that one process makes."""
    folder = tmp_path_factory.mktemp("cluster")
    for name in ("teacher", "other"):
        torch.manual_seed(len(name))
        save_weights(folder / f"{name}.safetensors", build_model("resnet8", channels=1, classes=10), {})
    extract_teacher(settings(folder, "alone.zarr"))
    return folder


@pytest.fixture(scope="module")
def running() -> Iterator[Client]:
    """A cluster of two worker processes, started apart from the command."""
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": NEVER}),
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as made,
        Client(made, set_as_default=False) as client,
    ):
        yield client
