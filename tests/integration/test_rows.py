"""Runs that end after `distill.rows` samples, in the middle of an epoch, and the predictions that a run ends with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.commands import run_command, succeed
from tests.support.recipes import as_overrides
from tests.support.runs import run_facts

from kcd_pipeline.config import Config, load_config
from kcd_pipeline.data import load_dataset
from kcd_pipeline.distillation import distill
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.errors import UserError
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.runs import RunFolder, open_values, read_predictions
from kcd_pipeline.teacher import train_teacher
from kcd_stores import KnowledgeStore
from kcd_stores.philox import permutation

SAMPLES, EPOCHS, ROWS = 100, 3, 230  # the third epoch is cut short after 30 samples
LIMITS = {"data.limit_per_class": SAMPLES // 10, "data.test_limit_per_class": 10, "run.threads": 1}


def settings(folder: Path, **more: Any) -> Config:
    """Return a recipe of real digits for the run `folder`."""
    chosen = LIMITS | {
        "teacher.weights": folder.parent / "teacher.safetensors",
        "teacher.model": "resnet8",
        "teacher.epochs": 1,
        "store.path": folder.parent / "store.zarr",
        "store.views": 2,
        "store.block_rows": 32,
        "distill.method": "kd",
        "distill.epochs": EPOCHS,
        "distill.batch_size": 32,
        "distill.rows": ROWS,
        "run.dir": folder,
    }
    return load_config("digits", as_overrides(chosen, **more))


def counts(folder: Path, key: str) -> list[int]:
    return [line[key] for line in RunFolder(folder).read_metrics()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher, a store, and a run that was cut short."""
    folder = tmp_path_factory.mktemp("rows")
    config = settings(folder / "cut")
    train_teacher(config)
    extract_teacher(config)
    distill(config)
    return folder


def test_a_run_trains_on_exactly_so_many_rows(home: Path) -> None:
    assert counts(home / "cut", "rows") == counts(home / "cut", "samples") == [100, 100, 30]
    assert counts(home / "cut", "steps") == [4, 4, 1]
    summary = RunFolder(home / "cut").read_summary()
    assert (summary["rows_trained"], summary["samples_trained"], summary["epochs"]) == (ROWS, ROWS, EPOCHS)


def test_the_last_epoch_has_the_first_samples_of_its_order(home: Path) -> None:
    frequency = open_values(RunFolder(home / "cut")).read(EPOCHS - 1)[1]
    first = permutation(0, EPOCHS - 1, np.arange(SAMPLES))[:30]
    assert sorted(np.flatnonzero(frequency == 3)) == sorted(first)
    assert (frequency == 2).sum() == SAMPLES - 30


def test_the_epochs_before_are_those_of_a_run_that_is_not_cut_short(home: Path) -> None:
    distill(settings(home / "whole", distill__rows="null"))
    cut, whole = (open_values(RunFolder(home / name)) for name in ("cut", "whole"))
    for epoch in range(EPOCHS - 1):
        for one, other in zip(cut.read(epoch), whole.read(epoch), strict=True):
            np.testing.assert_array_equal(one, other)
    assert counts(home / "whole", "rows") == [100, 100, 100]


@pytest.mark.loops
def test_a_store_that_is_read_in_windows_gives_exactly_so_many_rows(home: Path) -> None:
    memory = 2 * SAMPLES * KnowledgeStore.open(home / "store.zarr").row_bytes - 1
    distill(settings(home / "windows", store__memory=memory))
    assert "block shuffle" in RunFolder(home / "windows").read_summary()["streaming"]
    assert counts(home / "windows", "rows") == [100, 100, 30]
    frequency = open_values(RunFolder(home / "windows")).read(EPOCHS - 1)[1]
    np.testing.assert_array_equal(frequency, open_values(RunFolder(home / "cut")).read(EPOCHS - 1)[1])


@pytest.mark.parametrize(("rows", "epochs"), [(200, 2), (301, 4), (100, 1), (1, 1)])
def test_a_schedule_of_other_epochs_is_refused_with_those_that_fit(home: Path, rows: int, epochs: int) -> None:
    with pytest.raises(UserError, match=f"distill.epochs is 3. Set distill.epochs to {epochs}, so that"):
        distill(settings(home / "refused", distill__rows=rows))
    assert not (home / "refused").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"distill__method": "kcd"}, "rows ends an epoch early, which method kcd cannot"),
        ({"distill__rows": 0}, r"distill\.rows"),
        ({"distill__rows": 1.5}, r"distill\.rows"),
        ({"distill__rows": "true"}, r"distill\.rows"),
    ],
)
def test_what_cannot_be_meant_is_refused(home: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        settings(home / "refused", **change)


def test_a_run_does_not_go_on_with_another_number_of_rows(home: Path) -> None:
    with pytest.raises(UserError, match=r"distill\.rows"):
        distill(settings(home / "cut", distill__rows=231))


def stop(*of: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.loops
def test_a_run_that_is_stopped_at_its_end_is_one_that_was_not(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stopped in its last epoch, and again when its predictions are written and its summary is not."""
    config = settings(home / "stopped")
    record = StudentCurriculum.record

    def stop_in_last_epoch(curriculum: StudentCurriculum, epoch: int, *rest: Any) -> dict[str, float]:
        if epoch == EPOCHS - 1:
            raise KeyboardInterrupt
        return record(curriculum, epoch, *rest)

    for owner, name, stopping in (
        (StudentCurriculum, "record", stop_in_last_epoch),
        (RunFolder, "write_summary", stop),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, stopping)
            with pytest.raises(KeyboardInterrupt):
                distill(config)
    distill(config)
    assert run_facts(config.run_dir) == run_facts(home / "cut")
    one, other = ((home / name / "predictions.safetensors").read_bytes() for name in ("stopped", "cut"))
    assert one == other


def require_right_predictions(config: Config) -> None:
    """Require that the predictions of a run are right as often as its summary says."""
    folder = RunFolder(config.run_dir)
    summary = folder.read_summary()
    found = read_predictions(folder.predictions, sha256=summary["predictions_sha256"])
    assert found is not None
    assert (found.likeliest[:, 0] == found.labels).mean() == summary["test_accuracy"]
    assert found.likeliest.shape == (len(found.labels), 5)
    assert all(len(set(classes)) == 5 for classes in found.likeliest.tolist())
    np.testing.assert_array_equal(found.labels, load_dataset(config.data).test.labels.numpy())


def test_predictions_are_those_that_were_counted(home: Path) -> None:
    require_right_predictions(settings(home / "cut"))


def test_an_inspected_run_shows_its_top5_accuracy(home: Path) -> None:
    found = read_predictions(home / "cut" / "predictions.safetensors")
    assert found is not None
    right = sum(
        label in classes for classes, label in zip(found.likeliest.tolist(), found.labels.tolist(), strict=True)
    )
    shown = succeed("inspect", home / "cut", "--json")
    assert json.loads(shown)["top5_accuracy"] == right / len(found.labels)
    assert f"top-5 accuracy  {100 * right / len(found.labels):.2f}%" in succeed("inspect", home / "cut")


def test_a_report_has_tables_and_figures_for_papers(home: Path, tmp_path: Path) -> None:
    printed = succeed("report", home / "cut", "--latex", "--figures", tmp_path / "new" / "figures")
    assert r"\begin{tabular}" in printed
    kinds = {file.suffix for file in (tmp_path / "new" / "figures").iterdir()}
    assert kinds == {".svg", ".pdf"}
    (outcome,) = [run["outcome"] for run in json.loads(succeed("report", home / "cut", "--json"))["runs"]]
    assert sum(images for _, _, images in outcome["confusion"]) == 100
    refused = run_command("report", home / "cut", "--csv", "--markdown")
    assert refused.exit_code == 2
    assert "--csv and --markdown each fill standard output" in refused.output
    (tmp_path / "file").touch()
    refused = run_command("report", home / "cut", "--figures", tmp_path / "file" / "figures")
    assert refused.exit_code == 2
    assert "Give --figures another path" in " ".join(refused.output.split())


def test_a_student_of_labels_alone_stops_there_and_is_replaced_whole(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It computes in bfloat16: with 8 bits, many images have two classes with the same logit."""
    config = settings(home / "none", distill__method="none", run__precision="bf16")
    distill(config)
    assert counts(home / "none", "samples") == [100, 100, 30]
    assert counts(home / "none", "rows") == [0, 0, 0]
    require_right_predictions(config)
    monkeypatch.setattr(StudentCurriculum, "record", stop)
    with pytest.raises(KeyboardInterrupt):
        distill(config, overwrite=True)
    assert not (home / "none" / "predictions.safetensors").exists()
