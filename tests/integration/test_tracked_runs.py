"""A run as TensorBoard, MLflow and Weights & Biases are told of it, read by their own readers."""

import importlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.support.recipes import as_overrides

from kcd_pipeline.config import Config, load_config
from kcd_pipeline.distillation import distill
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.runs import RunFolder, open_values
from kcd_pipeline.teacher import train_teacher
from kcd_pipeline.training import recorder
from kcd_pipeline.training.checkpoint import save_checkpoint

EPOCHS = 3
WANDB_HEADER, BLOCK = 7, 32_768  # bytes in front of the log, and of its blocks


def settings(folder: Path, **more: Any) -> Config:
    """Return a recipe of 100 digits, taught by a teacher of one epoch; the learning rate falls after the second."""
    chosen = {
        "data.limit_per_class": 10,
        "data.test_limit_per_class": 10,
        "teacher.weights": folder.parent / "teacher.safetensors",
        "teacher.model": "resnet8",
        "teacher.epochs": 1,
        "store.path": folder.parent / "store.zarr",
        "store.views": 1,
        "distill.method": "kd",
        "distill.epochs": EPOCHS,
        "distill.schedule": "milestones",
        "distill.milestones": "[2]",
        "distill.lr": 0.02,
        "distill.batch_size": 32,
        "run.dir": folder,
        "run.device": "cpu",
        "run.threads": 1,
    }
    return load_config("digits", as_overrides(chosen, **more))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher and its store."""
    folder = tmp_path_factory.mktemp("tracked")
    config = settings(folder / "run")
    train_teacher(config)
    extract_teacher(config)
    return folder


def interrupt_once(monkeypatch: pytest.MonkeyPatch, config: Config) -> None:
    """Train a run whose second epoch is interrupted before its checkpoint, but after everybody was told of it."""

    def save_but_once(accelerator: Any, folder: RunFolder, epoch: int, **how: Any) -> None:
        if epoch == 1:
            raise KeyboardInterrupt
        save_checkpoint(accelerator, folder, epoch, **how)

    with monkeypatch.context() as patched:
        patched.setattr(recorder, "save_checkpoint", save_but_once)
        with pytest.raises(KeyboardInterrupt):
            distill(config)


def test_tensorboard_is_shown_rate_terms_teacher_settings_and_values(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(home / "board")
    interrupt_once(monkeypatch, config)
    folder = distill(config).folder
    board = EventAccumulator(str(folder.tensorboard), size_guidance={"histograms": 0, "scalars": 0}).Reload()
    shown = {tag: [(event.step, event.value) for event in board.Scalars(tag)] for tag in board.Tags()["scalars"]}
    metrics = folder.read_metrics()
    assert [step for step, _ in shown["loss"]] == [0, 1, 2], "the epoch that was trained twice is shown once"
    assert [rate for _, rate in shown["lr"]] == pytest.approx([0.02, 0.02, 0.002])
    terms = np.array([[value for _, value in shown[f"loss_{term}"]] for term in ("ce", "kd")])
    assert terms.sum(axis=0) == pytest.approx([line["loss"] for line in metrics], rel=1e-5)
    assert (terms > 0).all()
    teacher = json.loads((home / "teacher.training" / "summary.json").read_text())["test_accuracy"]
    assert [value for _, value in shown["teacher_test_accuracy"]] == pytest.approx([teacher] * EPOCHS)
    assert "lr" not in metrics[0], "metrics.jsonl is as it was"
    values = open_values(folder).read(EPOCHS - 1)[0]
    histogram = board.Histograms("value")[-1].histogram_value
    assert (histogram.num, histogram.sum) == (len(values), pytest.approx(values.sum(), rel=1e-5))
    hyper_parameters = board.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"distill.temperature" in hyper_parameters


@pytest.mark.loops
def test_mlflow_has_a_resumed_run_as_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(home)
    mlflow.set_tracking_uri(f"file:{home / 'mlruns'}")
    config = settings(home / "mlflow", run__trackers="[mlflow]")
    interrupt_once(monkeypatch, config)
    (begun,) = mlflow.search_runs(experiment_names=["kcd-pipeline"], output_format="list")
    assert begun.info.status == "FAILED"
    folder = distill(config).folder
    (run,) = mlflow.search_runs(experiment_names=["kcd-pipeline"], output_format="list")
    assert (run.info.status, run.info.run_name, run.info.run_id) == ("FINISHED", "mlflow", begun.info.run_id)
    assert run.data.params["distill.lr"] == "0.02"
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "test_accuracy")
    accuracies = [line["test_accuracy"] for line in folder.read_metrics()]
    assert {(point.step, point.value) for point in history} == set(enumerate(accuracies))
    assert json.loads(folder.trackers.read_text()) == {"mlflow": run.info.run_id}


def levels_records(content: bytes) -> Iterator[bytes]:
    """Yield the records of a log of LevelDB, which wandb writes: in blocks, a long record in several pieces."""
    at, pieces = 0, b""
    while at + 7 <= len(content):
        left = BLOCK - (at + WANDB_HEADER) % BLOCK
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", content, at)
        pieces += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # a whole record, or the last piece of one
            yield pieces
            pieces = b""


@pytest.mark.loops
def test_wandb_keeps_a_run_offline(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network it writes a folder for each start of the run, named by one id, which `wandb sync` joins."""
    pytest.importorskip("wandb")
    records = importlib.import_module("wandb.proto.wandb_internal_pb2")  # its hints do not name what protobuf makes
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(home))
    config = settings(home / "wandb-run", run__trackers="[wandb]")
    interrupt_once(monkeypatch, config)
    folder = distill(config).folder
    identity = json.loads(folder.trackers.read_text())["wandb"]
    written = sorted(home.glob(f"wandb/offline-run-*-{identity}/run-{identity}.wandb"))
    assert len(written) == 2
    told: dict[int, float] = {}
    for file in written:
        for data in levels_records(file.read_bytes()[WANDB_HEADER:]):
            record = records.Record()
            record.ParseFromString(data)
            numbers = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            if "loss" in numbers:
                told[int(record.history.step.num)] = numbers["loss"]
    assert told == {line["epoch"]: line["loss"] for line in folder.read_metrics()}


@pytest.mark.loops
def test_a_tracker_that_fails_ends_no_training(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(home)
    mlflow.set_tracking_uri(f"file:{home / 'mlruns'}")

    def fail(*arguments: Any, **how: Any) -> None:
        raise OSError("no space left on the server")

    monkeypatch.setattr(mlflow, "log_metrics", fail)
    done = distill(settings(home / "failing", run__trackers="[mlflow]"))
    assert done.folder.finished
    assert "run.trackers: mlflow has failed (OSError: no space left on the server)" in " ".join(
        capsys.readouterr().err.split()
    )
