"""Runs whose blends the teacher judges: killed and gone on with, refused without the right teacher, counted."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.commands import run_command, succeed
from tests.support.forks import forks
from tests.support.recipes import as_overrides
from tests.support.runs import run_facts

from kcd_pipeline.config import Config, load_config
from kcd_pipeline.distillation import distill
from kcd_pipeline.errors import FailedError
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.models import build_model, load_weights, save_weights
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.runs.removal import remove_run
from kcd_pipeline.teacher import train_teacher
from kcd_pipeline.teacher_rows import LocalMaker
from kcd_pipeline.training.trainer import Trainer
from kcd_stores import KnowledgeStore, KnowledgeWriter, PlanStore

BLENDS = 89  # 90 of 300 samples are dropped by the second stage: as many are blended, the first of them with 0


def overrides(folder: Path, **more: Any) -> list[str]:
    """Return a small but whole recipe on real digits: two stages, and four views of which each uses two."""
    chosen = {
        "data.limit_per_class": 30,
        "teacher.model": "resnet8",
        "teacher.weights": folder.parent / "teacher.safetensors",
        "teacher.epochs": 2,
        "store.path": folder.parent / "shared.zarr",
        "store.views": 4,
        "store.batch_size": 64,
        "store.block_rows": 32,
        "distill.epochs": 4,
        "condense.interval": 2,
        "condense.perturb": "teacher",
        "run.dir": folder,
        "run.threads": 1,
    }
    return as_overrides(chosen, **more)


def settings(folder: Path, **more: Any) -> Config:
    return load_config("digits", overrides(folder, **more))


def refused(folder: Path, **more: Any) -> str:
    """Require that `distill` refuses a recipe and makes no folder; return what it said."""
    ended = run_command("distill", "digits", *(f"--set={setting}" for setting in overrides(folder, **more)))
    assert ended.exit_code == 2, ended.output
    assert not folder.exists()
    return " ".join(ended.output.split())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained teacher and a whole store."""
    folder = tmp_path_factory.mktemp("judged")
    train_teacher(settings(folder / "run"))
    extract_teacher(settings(folder / "run"))
    return folder


@pytest.fixture(scope="module")
def never_stopped(home: Path) -> Path:
    """The folder of a run that nothing disturbed."""
    distill(settings(home / "never-stopped"))
    return home / "never-stopped"


def train_and_die(config: Config, block: int) -> None:
    """Train, and die just before the `block`-th block of rows is written."""
    original, calls = KnowledgeWriter.write_encoded, 0

    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == block:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    KnowledgeWriter.write_encoded = dying  # type: ignore[method-assign]
    distill(config)


def test_a_run_killed_while_its_blends_are_judged_ends_with_the_same_weights(
    home: Path, never_stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fourth of six blocks is not written any more; the third is not made again. Then the stage itself is cut."""
    config = settings(home / "killed")
    process = forks().Process(target=train_and_die, args=(config, 4))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    store = KnowledgeStore.open(home / "killed/blends/stage-001.zarr")
    assert store.complete().tolist() == [[True, True, True], [False, False, False]]
    third = home / "killed/blends/stage-001.zarr/logits/c/0/2/0"
    written = third.stat().st_mtime_ns

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_epoch", until_epoch(3, Trainer.train_epoch))
        with pytest.raises(FailedError, match="cut in epoch 3"):
            distill(config, resume=True)
    assert third.stat().st_mtime_ns == written

    monkeypatch.setattr(LocalMaker, "steps", None)  # all rows are there: none is made in the middle of a stage
    distill(config, resume=True)
    assert run_facts(home / "killed") == run_facts(never_stopped)


def until_epoch(cut: int, train_epoch: Any) -> Any:
    """Return `train_epoch`, but for epoch `cut`, which fails."""

    def cut_short(self: Trainer, epoch: int, **how: Any) -> Any:
        if epoch == cut:
            raise FailedError(f"cut in epoch {epoch}")
        return train_epoch(self, epoch, **how)

    return cut_short


def test_rows_and_seconds_of_the_teacher_are_counted(never_stopped: Path) -> None:
    folder = RunFolder(never_stopped)
    metrics, summary = folder.read_metrics(), folder.read_summary()
    assert [line["teacher_rows"] for line in metrics] == [0, 0, 2 * BLENDS, 0]
    assert [line["teacher_seconds"] > 0 for line in metrics] == [False, False, True, False]
    assert summary["teacher_rows"] == 2 * BLENDS
    assert summary["teacher_seconds"] == metrics[2]["teacher_seconds"]
    assert np.count_nonzero(PlanStore(folder.plans).read(1).epsilon) == BLENDS


def test_inspect_and_report_say_what_the_teacher_was_asked(never_stopped: Path) -> None:
    said = " ".join(succeed("inspect", never_stopped).split())
    assert f"blends judged {2 * BLENDS} rows of blended pictures" in said
    said = " ".join(succeed("report", never_stopped).split())
    assert "kcd, judged blends" in said
    assert f"had the teacher judge {2 * BLENDS} rows of blended pictures" in said
    (run,) = json.loads(succeed("report", never_stopped, "--json"))["runs"]
    assert (run["teacher_rows"], run["teacher_seconds"] > 0) == (2 * BLENDS, True)


def test_the_store_of_a_stage_can_be_looked_at_but_not_taught_from(home: Path, never_stopped: Path) -> None:
    store = never_stopped / "blends/stage-001.zarr"
    assert "condensed.views [2, 3]" in " ".join(succeed("inspect", store).split())
    assert "is sound" in succeed("verify", store)
    assert "augmentation.name: found blend" in refused(home / "from-blends", store__path=store, store__views=2)


def test_such_a_run_has_no_condensed_set_to_export(home: Path, never_stopped: Path) -> None:
    ended = run_command("condense", never_stopped, "--export", home / "exported.zarr")
    assert ended.exit_code == 2
    assert "condense.perturb: teacher" in ended.output


@pytest.mark.loops
def test_another_student_follows_its_plans_with_blends_judged_anew(home: Path, never_stopped: Path) -> None:
    followed = home / "followed"
    distill(settings(followed, condense__plans_from=never_stopped, distill__lr=0.01))
    ours, theirs = (KnowledgeStore.open(folder / "blends/stage-001.zarr") for folder in (followed, never_stopped))
    np.testing.assert_array_equal(ours.read_view(1), theirs.read_view(1))
    assert run_facts(followed)["weights"] != run_facts(never_stopped)["weights"]


def test_plans_that_blend_more_than_convexly_are_refused(home: Path) -> None:
    strong = home / "strong"
    distill(settings(strong, condense__perturb="knowledge", condense__epsilon_max=1.5, distill__epochs=3))
    said = refused(home / "refused", condense__plans_from=strong, distill__epochs=3)
    assert "blend with strengths up to 1.5, but perturb: teacher" in said


def test_overwrite_removes_the_blends_and_nothing_else(home: Path, never_stopped: Path) -> None:
    folder = shutil.copytree(never_stopped, home / "replaced")
    (folder / "notes.txt").write_text("mine")
    remove_run(RunFolder(folder))  # what --overwrite does before it begins
    assert not (folder / "blends").exists()
    assert (folder / "notes.txt").read_text() == "mine"


def test_blends_are_refused_without_the_teacher_that_the_store_was_made_by(home: Path) -> None:
    weights = load_weights(home / "teacher.safetensors")
    gone = home / "gone.safetensors"
    said = refused(home / "refused", teacher__weights=gone)
    assert "condense.perturb is teacher" in said
    assert f"its weights, teacher.weights, are not at {gone}" in said
    other = home / "other.safetensors"
    save_weights(other, build_model("resnet8", channels=1, classes=10), weights.facts)
    said = refused(home / "refused", teacher__weights=other)
    assert "teacher.weights_sha256: found" in said
    expected = KnowledgeStore.open(home / "shared.zarr").made_from["teacher"]["weights_sha256"]
    assert expected[:12] in said
