"""Distillation under a budget that is too small for whole views: it finishes, resumes exactly and perturbs rightly."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests.benchmarks.streaming_memory import make_store, measure
from tests.support.forks import forks
from tests.support.recipes import as_overrides

from kcd_pipeline.cli import main
from kcd_pipeline.condensation import TaughtRows
from kcd_pipeline.config import Config, load_config
from kcd_pipeline.distillation import distill
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.teacher import train_teacher
from kcd_pipeline.training import epoch as epochs
from kcd_stores import KnowledgeStore, PlanStore, Reading, ValueStore, open_stream, plan_streaming, scratch
from kcd_stores.runs import plan as plans
from kcd_stores.streaming import partner_places

EPOCHS = 6
BLOCKS = 9_000  # bytes: two views of 300 samples x 10 classes in float16 take 12,000, two windows and partners 5,160


def options(folder: Path, **more: Any) -> list[str]:
    chosen = {
        "data.limit_per_class": 30,
        "teacher.model": "resnet8",
        "teacher.weights": folder.parent / "teacher.safetensors",
        "teacher.epochs": 2,
        "store.path": folder.parent / "store.zarr",
        "store.views": 2,
        "store.block_rows": 64,
        "store.memory": BLOCKS,
        "distill.epochs": EPOCHS,
        "distill.batch_size": 32,
        "condense.interval": 2,
        "run.dir": folder,
        "run.threads": 1,
    }
    return as_overrides(chosen, **more)


def settings(folder: Path, **more: Any) -> Config:
    return load_config("digits", options(folder, **more))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher, a store, and an undisturbed run that streams in windows."""
    folder = tmp_path_factory.mktemp("budget")
    config = settings(folder / "undisturbed")
    train_teacher(config)
    extract_teacher(config)
    distill(config)
    return folder


def facts(folder: Path) -> dict[str, Any]:
    """Return the results of a run's training."""
    run = RunFolder(folder)
    found = list(PlanStore(run.plans).read_all())
    return {
        "weights": run.weights.read_bytes(),
        "values": [[array.tobytes() for array in ValueStore.open(run.values).read(e)] for e in range(EPOCHS)],
        "plans": [(plan.kept.tolist(), plan.partner.tolist(), plan.epsilon.tolist()) for plan in found],
        "losses": [line["loss"] for line in run.read_metrics()],
    }


def test_a_run_in_windows_finishes_and_trains_on_what_its_plans_keep(home: Path) -> None:
    run = RunFolder(home / "undisturbed")
    summary, metrics = run.read_summary(), run.read_metrics()
    assert summary["streaming"] == "block shuffle (windows of 32, strips of 1; store.memory below 12.0 kB)"
    assert summary["streaming"] == run.read_origin()["streaming"]
    assert [line["samples"] for line in metrics] == [300, 300, 255, 255, 210, 210]
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    frequency = ValueStore.open(run.values).read(EPOCHS - 1)[1]
    assert frequency.sum() == sum(line["samples"] for line in metrics), "each kept sample once an epoch"


def test_another_budget_of_the_same_mode_gives_the_same_run(home: Path) -> None:
    config = settings(home / "other-budget", store__memory=5_400)  # partners now wait in a file
    distill(config)
    assert facts(config.run_dir) == facts(home / "undisturbed")
    assert not [entry for entry in config.run_dir.iterdir() if entry.name.startswith("tmp")]


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return the files of a run's values and plans."""
    run = RunFolder(folder)
    files = [file for top in (run.values, run.plans) for file in top.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def hold_nothing_in_memory() -> None:
    """Have all arrays of samples in files, worked on in pieces, as those of very large sets are."""
    scratch.LARGEST_IN_MEMORY, scratch.PIECE, plans.MARKED = 0, 41, 64
    partner_places.RANGE_ROWS, epochs.LARGEST_ON_DEVICE = 64, 50


def train_in_files(config: Config) -> None:
    hold_nothing_in_memory()
    distill(config)


@pytest.mark.parametrize("memory", [5_400, 10**6])
def test_a_run_with_all_of_its_numbers_in_files_writes_the_same_bytes(home: Path, memory: int) -> None:
    """In windows, and with whole views; a process of its own, since nothing of it may stay."""
    config = settings(home / f"in-files-{memory}", store__memory=memory)
    expected = home / "undisturbed"
    if memory > BLOCKS:
        expected = home / "in-memory"
        distill(settings(expected, store__memory=memory))
    process = forks().Process(target=train_in_files, args=(config,))
    process.start()
    process.join(300)
    assert process.exitcode == 0
    assert facts(config.run_dir) == facts(expected)
    assert bytes_of(config.run_dir) == bytes_of(expected)
    assert sorted(file.name for file in config.run_dir.iterdir()) == sorted(file.name for file in expected.iterdir())


def train(config: Config) -> None:
    distill(config)


@pytest.mark.parametrize("train", [train, train_in_files])
@pytest.mark.parametrize("epoch", [1, 3])
def test_killed_after_an_epoch_and_resumed_it_is_the_run_never_stopped(
    home: Path, epoch: int, train: Callable[[Config], None]
) -> None:
    config = settings(home / f"killed-{train.__name__}-{epoch}", store__memory=5_400)
    process = forks().Process(target=train, args=(config,))
    process.start()
    assert process.pid is not None
    while process.is_alive() and len(RunFolder(config.run_dir).read_metrics()) < epoch:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert not RunFolder(config.run_dir).finished
    distill(settings(config.run_dir), resume=True)  # under another budget of the same mode
    assert facts(config.run_dir) == facts(home / "undisturbed")


def test_a_budget_of_another_mode_is_no_resumption(home: Path) -> None:
    given = ["distill", "digits", "--resume"]
    for option in options(home / "undisturbed", store__memory="1GB"):
        given += ["--set", option]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 2
    assert "streaming: found block shuffle (windows of 32" in result.output
    assert "expected whole views (store.memory of 12.0 kB or more)" in result.output


def test_a_budget_for_less_than_two_windows_is_refused(home: Path) -> None:
    given = ["distill", "digits"]
    for option in options(home / "too-small", store__memory="1kB"):
        given += ["--set", option]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 2
    assert "the memory budget is 1.0 kB, but streaming the store at" in result.output
    assert "Raise store.memory." in result.output
    assert "takes at least 5.3 kB (5280 bytes)" in result.output
    assert not (home / "too-small").exists(), "nothing is claimed for what cannot run"


@pytest.mark.parametrize("space", ["logits", "probabilities"])
def test_what_is_taught_in_windows_is_what_whole_views_teach(home: Path, space: str) -> None:
    store = KnowledgeStore.open(home / "store.zarr")
    plan = PlanStore(RunFolder(home / "undisturbed").plans).read(2)
    assert plan.low.sum() == 45
    taught = TaughtRows(plan, space=space, temperature=4.0, classes=store.layout.classes)
    streaming = plan_streaming(store, memory=BLOCKS, batch_size=32, partners=True)
    stream = open_stream(store, [], streaming, batch_size=32, scratch=home)
    for view in (0, 1):
        whole, visited = store.read_view(view), 0
        for portion in stream.read(Reading(seed=0, epoch=view, view=view, kept=plan.kept, partner=plan.partner)):
            index = portion.order
            assert torch.equal(taught.batch(portion.rows, index), taught.batch(whole, index))
            visited += len(index)
        assert visited == 210
    stream.close()


def test_peak_memory_stays_within_the_budget_and_a_constant(tmp_path: Path) -> None:
    """The benchmark of 500,000 rows, with 120,000: two views of 240 MB each, a budget of 70 MB."""
    make_store(tmp_path / "store.zarr", 120_000, 1000)
    found = measure(tmp_path, "70MB", 0.0)
    assert found["mode"].startswith("block shuffle (windows of 8192")
    assert found["within"], found
    assert np.isfinite(found["rows_per_second"])
