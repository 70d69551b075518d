"""Commands on runs of another config, on devices that are not there, and ends that nobody foresaw."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support.bad_input import Place, contents, refused

# --- runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--resume"]])
def test_a_finished_run_is_not_run_again_which_is_said(made: Place, options: list[str]) -> None:
    before = contents(made.folder)
    ended = made("distill", *options)
    assert ended.code == 0, ended.said
    assert "The run was finished already" in ended.words
    assert contents(made.folder) == before


@pytest.mark.parametrize("options", [[], ["--resume"]])
def test_a_run_of_another_config_is_left_alone(made: Place, options: list[str]) -> None:
    says = [f"{made.run} belongs to a run of another config", "distill.lr: found 0.05, expected 0.1", "run.dir"]
    refused(made.but(distill__lr=0.1), "distill", *options, says=says)


@pytest.mark.parametrize("options", [[], ["--resume"], ["--overwrite"]])
def test_a_folder_that_is_no_run_is_left_alone(fresh: Place, options: list[str]) -> None:
    fresh.run.mkdir()
    (fresh.run / "thesis.txt").write_text("my only copy")
    says = [f"{fresh.run} exists and is not a run (it holds thesis.txt but no config.yaml)", "Set run.dir"]
    refused(fresh, "distill", *options, says=says)


def test_overwriting_a_run_leaves_other_files_alone(copy: Place) -> None:
    (copy.run / "notes.txt").write_text("seed 0 looks odd")
    ended = copy("distill", "--overwrite")
    assert ended.code == 0, ended.said
    assert (copy.run / "notes.txt").read_text() == "seed 0 looks odd"


def test_no_run_to_resume(fresh: Place) -> None:
    refused(fresh, "distill", "--resume", says=[f"there is no run to resume at {fresh.run}", "Leave --resume out"])
    assert not fresh.run.exists()


def test_a_run_whose_config_is_damaged(copy: Place) -> None:
    (copy.run / "config.yaml").write_text("data: [")
    refused(copy, "distill", "--resume", says=[f"{copy.run} is not the folder of a run: no readable config.yaml"])


def test_a_run_whose_store_was_moved_is_still_the_same_run(copy: Place) -> None:
    ended = copy("distill", "--resume")
    assert "The run was finished already" in ended.words, ended.said


def test_overwriting_replaces_a_run_of_another_config_too(copy: Place) -> None:
    ended = copy.but(distill__lr=0.1)("distill", "--overwrite")
    assert ended.code == 0, ended.said
    assert "lr: 0.1" in (copy.run / "config.yaml").read_text()


def test_a_run_is_not_resumed_on_another_store_of_the_same_recipe(copy: Place) -> None:
    """The teacher trained again gives another store that the config cannot tell from the first."""
    (copy.run / "summary.json").unlink()
    origin = json.loads((copy.run / "origin.json").read_text())
    (copy.run / "origin.json").write_text(json.dumps(origin | {"store": "0123456789ab"}))
    refused(
        copy, "distill", "--resume", says=["another config", f"store: found 0123456789ab, expected {origin['store']}"]
    )


@pytest.mark.parametrize("content", [None, "{"])
def test_a_run_whose_origin_is_lost(copy: Place, content: str | None) -> None:
    origin = copy.run / "origin.json"
    origin.write_text(content) if content else origin.unlink()
    refused(copy, "distill", says=["no readable origin.json", "Set run.dir"])
    refused(copy, "distill", "--overwrite", says=["not provably a run of kcd-pipeline", "missing or cannot be read"])


def test_a_folder_of_another_program_is_not_overwritten(fresh: Place) -> None:
    """Files of the names that a run has, and a config that is none of ours."""
    for name in ("checkpoint/last.pt", "tensorboard/events.out.tfevents.0.host", "metrics.jsonl", "best.safetensors"):
        (fresh.run / name).parent.mkdir(parents=True, exist_ok=True)
        (fresh.run / name).write_text("my only copy")
    (fresh.run / "config.yaml").write_text("model: vit\ndata: {root: /mine}\n")
    refused(fresh, "distill", "--overwrite", says=[f"{fresh.run} holds a config.yaml, but is not provably a run"])


NO_CUDA: list[str | Path] = ["run.device (or --device) is 'cuda', but torch", "finds none on this machine"]

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is one here")


@without_cuda
@pytest.mark.parametrize("command", ["extract-teacher", "distill"])
def test_a_device_that_is_not_there(fresh: Place, command: str) -> None:
    refused(fresh.but(run__device="cuda"), command, says=NO_CUDA)


@without_cuda
def test_a_run_resumed_on_a_device_that_is_not_there(made: Place, copy: Place) -> None:
    (copy.run / "summary.json").unlink()
    begun = copy.but(teacher__weights=made.weights, store__path=made.store, run__device="cuda")
    refused(begun, "distill", "--resume", says=NO_CUDA)


@without_cuda
def test_a_device_that_is_not_there_does_not_cost_the_run_that_was_to_be_replaced(copy: Place) -> None:
    refused(copy.but(run__device="cuda"), "distill", "--overwrite", says=NO_CUDA)


def test_training_that_diverges(fresh: Place) -> None:
    says = ["the loss became", ": training has diverged", "Lower the learning rate"]
    refused(fresh.but(distill__lr=1000, distill__momentum=0.99, distill__epochs=8), "distill", code=1, says=says)


# --- the boundary ----------------------------------------------------------------------------------------


def test_debug_shows_the_traceback_and_the_same_message_and_code(fresh: Place) -> None:
    shutil.rmtree(fresh.store)
    ended = fresh("distill", debug=True)
    assert ended.code == 2
    assert "Traceback (most recent call last)" in ended.said
    assert "kcd_stores.errors.StoreUsageError" in ended.said
    assert f"Error: there is no knowledge store at {fresh.store}" in ended.words


def test_a_keyboard_interrupt_ends_with_130_and_how_to_go_on(fresh: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kcd_pipeline.api.students.train_student", interrupted)
    ended = fresh("distill")
    assert ended.code == 130
    assert "Interrupted. What was complete is kept" in ended.words


UNFORESEEN: dict[str, tuple[Callable[[], Exception], int, list[str]]] = {
    "disk full": (lambda: OSError(28, os.strerror(28), "/data/x"), 1, ["the disk is full", "/data/x"]),
    "no permission": (lambda: PermissionError(13, "no", "/data/x"), 2, ["permission denied", "/data/x"]),
    "read-only": (lambda: OSError(30, "no", "/data/x"), 2, ["the file system is read-only", "/data/x"]),
    "memory": (lambda: MemoryError("17 GB"), 1, ["out of memory", "smaller batches"]),
    "memory of numpy": (
        lambda: np._core._exceptions._ArrayMemoryError((1 << 40,), np.dtype("f4")),  # type: ignore[attr-defined]
        1,
        ["out of memory (Unable to allocate 4.00 TiB", "What was complete before is kept"],
    ),
    "memory of torch": (
        lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory"),
        1,
        ["out of memory ([enforce fail", "batch_size"],
    ),
    "memory of the system": (lambda: OSError(12, os.strerror(12)), 1, ["out of memory"]),
    "a bug": (lambda: KeyError("fc"), 1, ["not foreseen: KeyError: 'fc'", "kcd-pipeline --debug"]),
}


@pytest.mark.parametrize("kind", UNFORESEEN)
def test_what_nobody_foresaw_still_ends_in_a_sentence(fresh: Place, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    make, code, says = UNFORESEEN[kind]

    def failing(*_: object, **__: object) -> None:
        raise make()

    monkeypatch.setattr("kcd_pipeline.api.students.train_student", failing)
    ended = fresh("distill")
    assert ended.code == code
    assert [part for part in says if part not in ended.words] == []
    assert "Traceback" not in ended.said
